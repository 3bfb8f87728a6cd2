"""Pages of what was captured: public facts, private facts, and how complete they are."""

from __future__ import annotations

# Importing these modules registers their pages.
from marketdata.admin import coverage, private, public

__all__ = ["coverage", "private", "public"]
