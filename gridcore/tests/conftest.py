"""A store of grids in a folder that is not there yet."""

from __future__ import annotations

import pytest

from gridcore.persistence import GridAnchorStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db" / "anchors.json"


@pytest.fixture
def store(path):
    return GridAnchorStore(path)
