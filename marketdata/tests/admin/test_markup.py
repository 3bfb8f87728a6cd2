"""What the content security policy would refuse is on no page of ours, and chromium agrees."""

from __future__ import annotations

import importlib
import re

import pytest
from django.contrib import admin
from django.contrib.staticfiles import finders

from accounts.tenant_admin import TenantAdmin
from accounts.tests import factories as accounts
from marketdata.tests import factories as facts
from strategies.tests import factories as strategies

INLINE = re.compile(r"<style|<script(?![^>]*\bsrc=)[^>]*>|\sstyle=|\son[a-z]+=|javascript:", re.I)
OURS = ("accounts", "strategies", "marketdata")
MODELS = [
    page.model
    for page in admin.site._registry.values()
    if isinstance(page, TenantAdmin) and page.model._meta.app_label in OURS
]


def make(model):
    name = f"{model.__name__}Factory"
    return next(
        getattr(m, name) for m in (facts, strategies, accounts) if hasattr(m, name)
    ).create()


@pytest.mark.django_db
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_page_has_scripts_or_styles_of_its_own(olivia_client, model):
    facts.InstrumentFactory.create()
    facts.TickerSnapshotFactory.create()
    row = make(model)
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    for page in ("", "add/", f"{row.pk}/change/", f"{row.pk}/delete/", f"{row.pk}/history/"):
        response = olivia_client.get(path + page)
        # Django's own JSON of the page's messages is data and no script.
        assert response.status_code in (200, 403)
        assert not INLINE.search(response.text), page
        if page in ("", f"{row.pk}/change/"):
            assert "gridbot/admin.css" in response.text


def test_the_stylesheet_is_there():
    assert finders.find("gridbot/admin.css")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["account-form", "strategy-preview", "trades-list", "order-page"])
def test_the_pages_of_the_pictures_are_shown_without_a_complaint(tab, name):
    importlib.import_module("docs.make_screenshots").SCENES[name](tab)
    complaints = [said for said in tab.complaints if "favicon" not in said]
    assert complaints == []
    assert tab.page.locator("#content").is_visible()
