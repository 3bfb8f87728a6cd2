"""What is complete, what is not, and how a gap is filled from the exchange's REST."""

from __future__ import annotations
