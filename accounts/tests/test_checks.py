"""System checks of the accounts app."""

from __future__ import annotations

import base64

import pytest
from django.contrib import admin

from accounts import checks
from accounts.models import ApiCredential, User


def ids(messages):
    return [message.id for message in messages]


def test_a_usable_key_passes(settings):
    assert checks.credential_keys(None) == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [([], "accounts.E001"), (["nonsense"], "accounts.E002"), ([""], "accounts.E002")],
)
def test_a_missing_or_unusable_key_is_an_error_with_a_hint(settings, keys, expected):
    settings.GRIDBOT_CREDENTIAL_KEYS = keys
    [message] = checks.credential_keys(None)
    assert message.id == expected
    assert "GRIDBOT_CREDENTIAL_KEYS" in str(message.hint)
    assert "nonsense" not in str(message)


def test_a_bad_key_after_a_good_one_is_found(settings):
    settings.GRIDBOT_CREDENTIAL_KEYS = [*settings.GRIDBOT_CREDENTIAL_KEYS, "nonsense"]
    assert ids(checks.credential_keys(None)) == ["accounts.E002"]


def test_the_secret_key_does_not_serve_as_a_credential_key(settings):
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    settings.SECRET_KEY, settings.GRIDBOT_CREDENTIAL_KEYS = key, [key]
    assert ids(checks.credential_keys(None)) == ["accounts.E003"]


def test_every_tenant_model_in_the_admin_keeps_tenants_apart():
    assert checks.tenants_in_the_admin(None) == []


def test_a_tenant_model_with_a_plain_admin_is_an_error(monkeypatch):
    plain = admin.ModelAdmin(ApiCredential, admin.site)
    monkeypatch.setitem(admin.site._registry, ApiCredential, plain)
    [message] = checks.tenants_in_the_admin(None)
    assert (message.id, message.obj) == ("accounts.E004", ApiCredential)


def test_a_user_is_no_tenants_row():
    assert not checks.belongs_to_a_tenant(User)
    assert checks.belongs_to_a_tenant(ApiCredential)
