"""What the content security policy would refuse is on no page of ours, and chromium agrees."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest
from django.contrib import admin
from django.contrib.staticfiles import finders

from accounts.tenant_admin import TenantAdmin
from accounts.tests import factories as accounts
from marketdata.tests import factories as facts
from strategies.tests import factories as strategies

INLINE = re.compile(r"<style|<script(?![^>]*\bsrc=)[^>]*>|\sstyle=|\son[a-z]+=|javascript:", re.I)
MODELS = [page.model for page in admin.site._registry.values() if isinstance(page, TenantAdmin)]
PICTURES = ("account-form", "strategy-preview", "trades-list", "order-page")


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


@pytest.mark.timeout(180)
def test_the_pictures_of_the_documents_can_be_taken(tmp_path):
    if importlib.util.find_spec("playwright") is None or shutil.which("chromium") is None:
        pytest.skip("No playwright or no chromium here: no browser looks at the pages.")
    command = [sys.executable, "-m", "docs.make_screenshots", "--folder", tmp_path, *PICTURES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in PICTURES}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
