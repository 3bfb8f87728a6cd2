"""What is to be traded: strategies of accounts, and configurations from files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accounts.models import BybitAccount
from marketdata.capture.accounts import full_name, named
from marketdata.exits import ConfigurationError
from strategies.config import StrategyConfig
from strategies.models import Strategy


@dataclass(frozen=True, kw_only=True)
class Job:
    """One configuration to trade; without an account its result is not stored."""

    name: str
    symbol: str
    config: StrategyConfig
    config_json: dict[str, Any]
    strategy: Strategy | None = None
    account: BybitAccount | None = None


def jobs_of(
    strategies: Sequence[str], files: Sequence[Path], *, symbol: str, account: str
) -> list[Job]:
    """Return a job for each strategy and file; ConfigurationError says what is wrong with one.

    All trade one symbol: `symbol`, or the one that the strategies have in common.
    """
    found = [_of_strategy(_strategy(name)) for name in strategies]
    symbols = {job.symbol for job in found} | ({symbol} if symbol else set())
    if len(symbols) > 1:
        raise ConfigurationError(
            f"One backtest trades one symbol, and these are {', '.join(sorted(symbols))}."
        )
    if not symbols:
        raise ConfigurationError("A --config says nothing of its market: name it with --symbol.")
    keeper = _account(account) if account else None
    [traded] = symbols
    return found + [_of_file(path, traded, keeper) for path in files]


def _of_strategy(strategy: Strategy) -> Job:
    name = f"{full_name(strategy.account)}/{strategy.name}"
    return Job(
        name=name,
        symbol=strategy.symbol,
        config=_config(strategy.config, f"The configuration of {name}"),
        config_json=strategy.config,
        strategy=strategy,
        account=strategy.account,
    )


def _of_file(path: Path, symbol: str, account: BybitAccount | None) -> Job:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is no JSON: {error}.") from None
    if not isinstance(config, dict):
        raise ConfigurationError(f'{path} must hold a JSON object, like {{"grid_count": 50}}.')
    return Job(
        name=path.stem,
        symbol=symbol,
        config=_config(config, str(path)),
        config_json=config,
        account=account,
    )


def _config(config: dict[str, Any], what: str) -> StrategyConfig:
    try:
        read = StrategyConfig.from_json(config)
    except ValueError as error:
        raise ConfigurationError(f"{what} is refused: {error}.") from None
    if read.amount is None:
        raise ConfigurationError(
            f'{what} has no amount: how much to order is not decided. "50" orders for 50 USDT, '
            '"x0.01" for a hundredth of the wallet.'
        )
    return read


def _strategy(name: str) -> Strategy:
    """The strategy that is meant: as with accounts an id goes before longer names, and those
    before shorter ones, so that nobody's choice of a name passes for another's strategy."""
    rows: list[Strategy] = list(Strategy.objects.unscoped().select_related("account__user"))
    for spelled in SPELLINGS:
        found = [row for row in rows if spelled(row) == name]
        if len(found) > 1:
            names = sorted(f"{full_name(row.account)}/{row.name}" for row in found)
            raise ConfigurationError(f"{name} may be {' or '.join(names)}: say which.")
        if found:
            return found[0]
    # A strategy's own name may have a slash in it, too.
    *account, own = name.rsplit("/", 1) if "/" in name else (name,)
    whose = f" of {account[0]}" if account else ""
    raise ConfigurationError(f"No strategy{whose} is called {own}.")


SPELLINGS: tuple[Callable[[Strategy], str], ...] = (
    lambda row: str(row.pk),
    lambda row: f"{full_name(row.account)}/{row.name}",
    lambda row: f"{row.account_id}/{row.name}",
    lambda row: f"{row.account.account_name}/{row.name}",
    lambda row: row.name,
)


def _account(name: str) -> BybitAccount:
    account = named([name]).get(name)
    if account is None:
        raise ConfigurationError(
            f"No account, or more than one, is called {name}: say USER/NAME or its id."
        )
    return account
