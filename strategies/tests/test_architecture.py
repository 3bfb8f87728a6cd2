"""The place of the strategies app among the others."""

from __future__ import annotations

from pathlib import Path

import strategies


def test_the_package_itself_is_empty():
    # marketdata's models refer to strategies.models: whatever the package imported would come
    # along, and much of it lies above marketdata.
    assert Path(strategies.__file__).read_text(encoding="utf-8") == ""
