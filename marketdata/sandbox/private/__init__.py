"""The private half of the sandbox: accounts, their stream, their lists, and what happens on them."""

from __future__ import annotations
