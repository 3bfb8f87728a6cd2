"""What a configuration would come to: the grid that the core builds, and its orders in money.

Nothing here decides anything that the core does not decide: prices are those of `Grid`,
quantities those of `create_qty_calculator`, margins those of `calc_initial_margin`. Money is in
quote coin (USDT), fees and steps are in percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from gridcore import (
    Grid,
    GridSideType,
    InstrumentInfo,
    InvalidGrid,
    InvalidNumber,
    calc_initial_margin,
    create_qty_calculator,
)
from strategies.config import StrategyConfig

HUNDRED = Decimal(100)
ZERO = Decimal(0)
# The most of one order is not stored; what is asked of the preview is far below any.
NO_LIMIT = Decimal("1e17")
# An order that rounding makes worth so much more than was asked is worth a word.
ROUNDED_UP = Decimal("1.1")


@dataclass(frozen=True)
class Market:
    """What the preview assumes: the contract's rules, a price, a wallet, a leverage and a fee."""

    symbol: str
    tick_size: Decimal
    qty_step: Decimal
    min_qty: Decimal
    min_notional: Decimal
    last_price: Decimal
    wallet: Decimal | None
    leverage: Decimal
    maker_fee: Decimal  # percent


class Level(NamedTuple):
    """One level; what is None does not apply to it or cannot be known."""

    number: int
    side: str
    price: Decimal
    qty: Decimal | None
    value: Decimal | None
    # The way to the next level up, in percent of this one, and what it earns after both fees.
    step: Decimal | None
    earned: Decimal | None
    remark: str


class Side(NamedTuple):
    """All orders of one side: what a position is worth when every one has filled."""

    name: str
    position: str
    orders: int
    qty: Decimal
    value: Decimal
    margin: Decimal


@dataclass(frozen=True)
class Preview:
    """Levels from the highest price down, both sides, and what is wrong, in words."""

    break_even: Decimal
    levels: Sequence[Level] = ()
    sides: Sequence[Side] = ()
    problems: list[str] = field(default_factory=list)


def break_even_step(maker_fee: Decimal) -> Decimal:
    """The least step up, in percent, that pays the maker's fee (percent) both ways.

    A round trip from p to p(1 + s) earns ps and pays f·p + f·p(1 + s): even at s = 2f / (1 - f).
    """
    rate = maker_fee / HUNDRED
    return 2 * rate / (1 - rate) * HUNDRED


def preview(config: StrategyConfig, market: Market) -> Preview:
    """The grid that `config` makes of `market`; what makes none is said, not raised."""
    break_even = break_even_step(market.maker_fee)
    settings = config.grid
    steps = (settings.grid_count, settings.grid_step, settings.rebalance_threshold)
    try:
        grid = Grid(market.tick_size, *steps)
        grid.build_grid(market.last_price)
    except (InvalidGrid, InvalidNumber) as error:
        return Preview(break_even, problems=[f"There is no such grid: {error}."])
    levels = _levels(grid, config.amount, market)
    sides = [
        _side(levels, GridSideType.BUY, "long", market),
        _side(levels, GridSideType.SELL, "short", market),
    ]
    problems = _problems(config, market, levels, sides, break_even)
    return Preview(break_even, levels[::-1], sides, problems)


def _levels(grid: Grid, amount: str | None, market: Market) -> list[Level]:
    quantity = _Quantity(amount, market)
    fee = market.maker_fee / HUNDRED
    found = []
    above = [level["price"] for level in grid.grid[1:]] + [None]
    for level, upper in zip(grid.grid, above, strict=True):
        price = level["price"]
        waits = level["side"] == GridSideType.WAIT
        qty, remark = (None, "") if waits else quantity.at(price)
        gap = None if upper is None else upper - price
        earned = None
        if upper is not None and gap is not None and qty:
            earned = qty * (gap - fee * (upper + price))
        found.append(
            Level(
                number=level["level"],
                side=str(level["side"]),
                price=price,
                qty=qty,
                value=None if qty is None else qty * price,
                step=None if gap is None else gap / price * HUNDRED,
                earned=earned,
                remark=remark,
            )
        )
    return found


class _Price(NamedTuple):
    price: Decimal


class _Quantity:
    """The quantity of an order at a price, and what is remarkable about it."""

    def __init__(self, amount: str | None, market: Market) -> None:
        self._market = market
        rules = InstrumentInfo(
            market.symbol, market.qty_step, market.tick_size, market.min_qty, NO_LIMIT
        )
        self._is_known = amount is not None and not (
            amount.startswith("x") and market.wallet is None
        )
        self._rounded = create_qty_calculator(amount or "1", rules)
        self._exact = create_qty_calculator(amount or "1")

    def at(self, price: Decimal) -> tuple[Decimal | None, str]:
        if not self._is_known:
            return None, ""
        wallet = self._market.wallet or ZERO
        qty = self._rounded(_Price(price), wallet)
        wanted = self._exact(_Price(price), wallet)
        if qty == 0:
            return ZERO, f"no order: below the least quantity, {self._market.min_qty.normalize():f}"
        if qty * price < self._market.min_notional:
            return qty, f"refused: worth less than {self._market.min_notional.normalize():f}"
        if qty > wanted * ROUNDED_UP:
            return qty, f"rounded up from {wanted * price:.2f}"
        return qty, ""


def _side(levels: list[Level], side: GridSideType, position: str, market: Market) -> Side:
    orders = [level for level in levels if level.side == side and level.qty]
    value = sum((level.value or ZERO for level in orders), ZERO)
    # The exchange takes the margin of the leverage, and never less than the tier asks for.
    tiered, _ = calc_initial_margin(value, market.leverage, market.symbol)
    return Side(
        name=str(side),
        position=position,
        orders=len(orders),
        qty=sum((level.qty or ZERO for level in orders), ZERO),
        value=value,
        margin=max(value / market.leverage, tiered),
    )


def _problems(
    config: StrategyConfig,
    market: Market,
    levels: list[Level],
    sides: list[Side],
    break_even: Decimal,
) -> list[str]:
    problems = []
    if config.amount is None:
        problems.append("No amount is set: there are levels, but nothing would be ordered.")
    elif config.amount.startswith("x") and market.wallet is None:
        problems.append("The amount is a share of the wallet, and no balance is known: enter one.")
    narrow = [level for level in levels if level.step is not None and level.step <= break_even]
    if narrow:
        problems.append(
            f"{len(narrow)} of {len(levels) - 1} steps do not earn what both fees cost: a step "
            f"must be above {break_even:.4f} %."
        )
    for word, what in (("no order", "too small to be ordered"), ("refused", "worth too little")):
        count = sum(level.remark.startswith(word) for level in levels)
        if count:
            problems.append(f"{count} orders are {what}.")
    dear = [side for side in sides if market.wallet is not None and side.margin > market.wallet]
    problems += [
        f"The margin of the {side.position}, {side.margin:.2f}, is more than the wallet of "
        f"{market.wallet:.2f}."
        for side in dear
    ]
    return problems
