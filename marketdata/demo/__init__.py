"""The demo: capture from the sandbox for a minute, and prove that nothing was lost."""

from __future__ import annotations
