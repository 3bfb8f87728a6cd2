"""The scene, set once for the tests of a module: whatever a question does is undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from gridbot_site.tests.isolation.asking import Browser
from gridbot_site.tests.isolation.models import Scene, set_the_scene


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker: Any) -> Iterator[Scene]:
    """A row of each kind of the tenant and of the stranger, in a transaction around the tests'."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield set_the_scene()
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def browser(scene: Scene) -> Browser:
    """The tenant's browser."""
    return Browser(scene)
