"""A strategy's configuration: JSON outside, what the core is built of inside.

    {"grid_count": 50, "grid_step": 0.2, "rebalance_threshold": 0.3,
     "amount": "x0.01",
     "risk": {"min_liq_ratio": 0.8, "max_liq_ratio": 1.2, "max_margin": 8.0,
              "min_total_margin": 0.15, "increase_same_position_on_low_margin": false}}

What the keys mean stands at GridConfig, RiskConfig and create_qty_calculator. Every key may be
left out: the limits above are the defaults, an amount has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gridcore import GridConfig, RiskConfig, create_qty_calculator

GRID_KEYS = tuple(field.name for field in fields(GridConfig))
RISK_KEYS = tuple(field.name for field in fields(RiskConfig))
# 500 active orders of a symbol (V5 docs, "Place Order"), and the long and the short have a ladder.
MOST_LEVELS = 250
# A step of 100 percent down from any price is no price.
WHOLE = 100
DEFAULT_GRID = asdict(GridConfig())
DEFAULT_RISK = asdict(RiskConfig(0.8, 1.2, 8.0, 0.15))


@dataclass(frozen=True)
class StrategyConfig:
    """The grid, the amount of an order as text (None: not decided) and the limits of risk."""

    grid: GridConfig
    amount: str | None
    risk: RiskConfig

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> StrategyConfig:
        """Build what the keys describe; ValueError naming the key and the value refused."""
        _check_keys(config, (*GRID_KEYS, "amount", "risk"))
        grid = GridConfig(**{key: config[key] for key in GRID_KEYS if key in config})
        _check_tradable(grid)
        amount = _amount(config["amount"]) if "amount" in config else None
        return cls(grid=grid, amount=amount, risk=_risk(config.get("risk", {})))


def _check_tradable(grid: GridConfig) -> None:
    if grid.grid_count > MOST_LEVELS:
        raise ValueError(
            f"grid_count must be at most {MOST_LEVELS}, not {grid.grid_count}: two ladders of more "
            "are more orders than the exchange takes"
        )
    if grid.grid_step >= WHOLE:
        raise ValueError(f"grid_step must be below {WHOLE} percent, not {grid.grid_step}")


def _amount(amount: object) -> str:
    if not isinstance(amount, str):
        raise ValueError(f'amount must be a text like "50" or "x0.01", not {amount!r}')
    try:
        create_qty_calculator(amount)
    except ValueError as error:
        raise ValueError(f"amount: {error}") from None
    return amount


def _risk(limits: object) -> RiskConfig:
    if not isinstance(limits, dict):
        raise ValueError(f"risk must be an object, not {limits!r}")
    _check_keys(limits, RISK_KEYS, prefix="risk.")
    for key, value in limits.items():
        # The core reads numbers from texts; in JSON a text is a slip, as it is for the grid.
        if isinstance(value, str):
            raise ValueError(f"risk.{key} must not be a text, as {value!r} is")
    try:
        return RiskConfig(**{**DEFAULT_RISK, **limits})
    except ValueError as error:
        raise ValueError(f"risk.{error}") from None


def _check_keys(values: Mapping[str, Any], known: tuple[str, ...], *, prefix: str = "") -> None:
    if unknown := sorted(map(str, set(values) - set(known))):
        names = ", ".join(prefix + key for key in known)
        raise ValueError(f"Unknown key {prefix + unknown[0]!r}; the keys are {names}")
