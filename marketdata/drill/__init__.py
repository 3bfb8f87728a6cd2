"""The drill: break everything around a real capture, and prove that nothing is lost silently."""

from __future__ import annotations
