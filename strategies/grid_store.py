"""Where the grids of an account's strategies survive a restart: the table of grid states."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import BybitAccount
from accounts.tenancy import TenantQuerySet
from gridcore.persistence import Levels, check_strat_id, make_entry, read_entry
from strategies.models import GridState, Strategy


class GridStateStore:
    """A `gridcore.persistence.GridStore` on the database; `strat_id` is a strategy's id.

    It knows the strategies of its account and no others.
    """

    def __init__(self, account: BybitAccount) -> None:
        self._account = account

    def load(self, strat_id: str) -> dict[str, Any] | None:
        """See `GridStore`."""
        state = self._states(strat_id).first()
        if state is None:
            return None
        names = ("anchor_price", "grid_step", "grid_count", "grid")
        return read_entry(strat_id, {name: getattr(state, name) for name in names})

    def save(
        self,
        strat_id: str,
        anchor_price: Decimal | None,
        grid_step: float | Decimal,
        grid_count: int,
        grid: Levels | None = None,
    ) -> None:
        """See `GridStore`; ValueError also for a strategy that the account does not have.

        And for numbers that the database would round: 12 decimals on PostgreSQL, 15 digits on
        SQLite.
        """
        check_strat_id(strat_id)
        entry = make_entry(anchor_price, grid_step, grid_count, grid)
        levels = [{**level, "price": str(level["price"])} for level in entry.pop("grid", ())]
        strategies = Strategy.objects.for_account(self._account).filter(pk=_uuid(strat_id))
        with transaction.atomic():
            # Whoever saves the same grid waits here, so that both cannot find it missing.
            strategy = strategies.select_for_update(no_key=True).first()
            if strategy is None:
                raise ValueError(f"strat_id must be a strategy of the account, not {strat_id!r}")
            state = self._states(strat_id).first()
            state = state or GridState(account=self._account, strategy=strategy)
            for name, value in (entry | {"grid": levels}).items():
                setattr(state, name, value)
            _save_exactly(state, entry)

    def delete(self, strat_id: str) -> None:
        """See `GridStore`."""
        self._states(strat_id).delete()

    def _states(self, strat_id: str) -> TenantQuerySet:
        check_strat_id(strat_id)
        states: TenantQuerySet = GridState.objects.for_account(self._account)
        return states.filter(strategy_id=_uuid(strat_id))


def _uuid(strat_id: str) -> UUID | None:
    try:
        return UUID(strat_id)
    except ValueError:
        return None


def _save_exactly(state: GridState, numbers: dict[str, Any]) -> None:
    try:
        state.clean_fields(exclude={"user", "account", "strategy", "grid"})
    except ValidationError as error:
        raise ValueError(f"the database cannot hold this grid: {error.message_dict}") from None
    state.save()
    state.refresh_from_db(fields=list(numbers))
    for name, number in numbers.items():
        if getattr(state, name) != number:
            raise ValueError(f"the database cannot hold {name} {number} exactly")
