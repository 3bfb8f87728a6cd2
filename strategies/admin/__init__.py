"""Pages of strategies, their runs, and the grids that these left behind."""

from __future__ import annotations

# Importing a module registers its pages.
from strategies.admin import backtests, pages, runs

__all__ = ["backtests", "pages", "runs"]
