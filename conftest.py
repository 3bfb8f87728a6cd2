"""What every app's tests share: the cast, a real browser, how the database is emptied, and order."""

from __future__ import annotations

import pytest

pytest_plugins = [
    "accounts.tests.cast",
    "gridbot_site.tests.browser",
    "gridbot_site.tests.emptying",
]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that are given more time than others.

    They wait more than they compute: one worker is busy with them while the others compute. One
    that began last would leave the others idle.
    """
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)
