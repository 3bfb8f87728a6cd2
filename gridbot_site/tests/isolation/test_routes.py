"""Every URL, asked by every method for the rows of somebody else."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import path

from gridbot_site.tests.isolation.asking import wrongs
from gridbot_site.tests.isolation.models import make, tenant_models
from gridbot_site.tests.isolation.routes import KINDS, METHODS, SITE, Route, questions, routes

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("route", routes(), ids=str)
def test_no_page_tells_of_a_stranger(route, scene, browser):
    found, paths = wrongs(route, scene, browser)
    assert found == []
    assert {method for method in METHODS if any(f" {method} " in p for p in paths)} == set(METHODS)


def test_the_pages_do_show_ones_own_rows(scene, browser):
    lists = [route for route in routes() if route.kind == "changelist" and route.model in scene.own]
    shown = 0
    for route in lists:
        answer = browser.ask(next(questions(route, scene)))
        shown += answer.status == 200 and str(scene.own[route.model].pk) in answer.body
    hidden = {"user", "accessattempt"}  # of superusers alone
    assert shown == len({route.model._meta.model_name for route in lists} - hidden)


def test_every_kind_of_page_that_has_a_verdict_exists():
    kinds = {bool(found.model): set() for found in routes()}
    for found in routes():
        kinds[bool(found.model)].add(found.kind)
    assert kinds == {True: set(KINDS), False: set(SITE)}


def test_a_page_without_a_verdict_says_what_to_add(monkeypatch, scene):
    page = admin.site._registry[tenant_models()[-1]]
    urls = [path("secret/", print, name="marketdata_walletsnapshot_secret")]
    monkeypatch.setattr(type(page), "get_urls", lambda self: urls)
    [found] = [Route("/secret/", "secret", page.model)]
    with pytest.raises(AssertionError, match=r"No verdict for the URL .* add its kind to"):
        list(questions(found, scene))


def test_a_model_that_nobody_can_make_says_what_to_add():
    class Diary:
        class _meta:
            label, app_label = "marketdata.Diary", "marketdata"

    with pytest.raises(AssertionError, match="add a DiaryFactory to marketdata/tests/factories"):
        make(Diary, None)
