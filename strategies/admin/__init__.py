"""Pages of strategies, their runs, and the grids that these left behind."""

from __future__ import annotations

# Importing the module registers its pages.
from strategies.admin import pages

__all__ = ["pages"]
