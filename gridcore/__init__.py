"""The grid strategy: events in, intents out; no I/O, no clock, no framework."""

from __future__ import annotations

from gridcore.config import GridConfig
from gridcore.engine import GridEngine
from gridcore.errors import (
    DuplicateOrder,
    GridcoreError,
    InvalidEvent,
    InvalidGrid,
    InvalidNumber,
    InvalidOrder,
    NothingToReduce,
    UnknownOrder,
)
from gridcore.events import (
    Event,
    EventType,
    ExecutionEvent,
    OrderUpdateEvent,
    PublicTradeEvent,
    TickerEvent,
)
from gridcore.grid import Grid, GridLevel, GridSideType
from gridcore.instrument import InstrumentInfo
from gridcore.intents import CancelIntent, PlaceLimitIntent, extract_client_order_prefix
from gridcore.matching import FILL_MODELS, Cancelled, Fill, FillModel, MatchingBook
from gridcore.persistence import GridAnchorStore
from gridcore.pnl import (
    MM_TIERS,
    MM_TIERS_DEFAULT,
    MMTiers,
    calc_initial_margin,
    calc_liq_ratio,
    calc_maintenance_margin,
    calc_margin_ratio,
    calc_position_value,
    calc_unrealised_pnl,
    calc_unrealised_pnl_pct,
    parse_risk_limit_tiers,
)
from gridcore.position import (
    DirectionType,
    LinkedPair,
    Position,
    PositionRiskManager,
    PositionState,
    RiskConfig,
    SideType,
)
from gridcore.qty import apply_early_imbalance, create_qty_calculator

# Sorted as text, which is how it is checked.
__all__ = [  # noqa: RUF022
    "CancelIntent",
    "Cancelled",
    "DirectionType",
    "DuplicateOrder",
    "Event",
    "EventType",
    "ExecutionEvent",
    "FILL_MODELS",
    "Fill",
    "FillModel",
    "Grid",
    "GridAnchorStore",
    "GridConfig",
    "GridEngine",
    "GridLevel",
    "GridSideType",
    "GridcoreError",
    "InstrumentInfo",
    "InvalidEvent",
    "InvalidGrid",
    "InvalidNumber",
    "InvalidOrder",
    "LinkedPair",
    "MMTiers",
    "MM_TIERS",
    "MM_TIERS_DEFAULT",
    "MatchingBook",
    "NothingToReduce",
    "OrderUpdateEvent",
    "PlaceLimitIntent",
    "Position",
    "PositionRiskManager",
    "PositionState",
    "PublicTradeEvent",
    "RiskConfig",
    "SideType",
    "TickerEvent",
    "UnknownOrder",
    "apply_early_imbalance",
    "calc_initial_margin",
    "calc_liq_ratio",
    "calc_maintenance_margin",
    "calc_margin_ratio",
    "calc_position_value",
    "calc_unrealised_pnl",
    "calc_unrealised_pnl_pct",
    "create_qty_calculator",
    "extract_client_order_prefix",
    "parse_risk_limit_tiers",
]
__version__ = "0.1.0"
