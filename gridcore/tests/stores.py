"""A grid to be stored, and a store's file written by others."""

from __future__ import annotations

import json
from decimal import Decimal

D = Decimal
GRID = [
    {"side": "Buy", "price": D("99.8"), "level": -1},
    {"side": "Wait", "price": D("100.0"), "level": 0},
    {"side": "Sell", "price": D("100.2"), "level": 1},
]
ENTRY = {"anchor_price": D("100.0"), "grid_step": D("0.2"), "grid_count": 2}


def put(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
