"""Commands, querysets and permissions; and every filter, taken away."""

from __future__ import annotations

import pytest

from gridbot_site.tests.isolation import commands, doors
from gridbot_site.tests.isolation.campaign import killers, size
from gridbot_site.tests.isolation.filters import FILTERS, NO_FILTERS, looks_like_filters, mutated
from gridbot_site.tests.isolation.models import tenant_models
from gridbot_site.tests.isolation.routes import METHODS, routes

pytestmark = pytest.mark.django_db


def test_no_command_tells_a_tenant_of_a_stranger(scene):
    found, count = commands.wrongs(scene)
    assert found == []
    assert count == 16


def test_every_command_has_a_verdict():
    assert commands.unjudged() == []


def test_a_command_without_a_verdict_says_what_to_add(monkeypatch):
    monkeypatch.delitem(commands.ASKED, "coverage")
    [said] = commands.unjudged()
    assert "manage.py coverage has no verdict: add it to ASKED" in said


def test_no_door_opens_to_a_stranger(scene):
    found, count = doors.wrongs(scene)
    assert found == []
    assert count > 40


def test_every_model_is_looked_for_on_every_path(scene):
    found = size(scene)
    assert found.models == len(tenant_models())
    assert found.paths > len(routes()) * len(METHODS)
    assert found.pairs == found.models * found.paths


def test_every_filter_is_known():
    known = {each.where for each in FILTERS} | NO_FILTERS.keys()
    unknown = sorted(looks_like_filters() - known)
    assert unknown == [], "add them to FILTERS, or to NO_FILTERS with a reason, in filters.py"


@pytest.mark.parametrize("each", FILTERS, ids=lambda each: f"{each.where} {each.words}")
def test_without_a_filter_something_shows(each, scene):
    with mutated(each):
        assert killers(each.asked, scene)
