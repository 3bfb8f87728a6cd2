"""System checks: what is wrong with the settings is said at start, with a hint."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import models

from accounts import vault

# Checks of what nothing starts without, not even a web server, which runs no others.
START = "start"
HINT = "Run `make .env`, or put base64 of 32 random bytes into GRIDBOT_CREDENTIAL_KEYS."


@register(START)
def credential_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Exchange secrets can be sealed only with a usable key of their own."""
    texts = settings.GRIDBOT_CREDENTIAL_KEYS
    if not texts:
        return [Error("No credential key is configured.", hint=HINT, id="accounts.E001")]
    try:
        keys = [vault.parse_key(text) for text in texts]
    except vault.VaultError as error:
        return [Error(str(error), hint=HINT, id="accounts.E002")]
    if vault.has_key_of_secret_key(keys):
        message = "SECRET_KEY serves as a credential key."
        return [Error(message, hint=HINT, id="accounts.E003")]
    if not settings.DEBUG and any(_is_sample(key) for key in keys):
        message = "A credential key is a sample, or words: it is not random."
        return [Error(message, hint=HINT, id="accounts.E005")]
    return []


def _is_sample(key: bytes) -> bool:
    """Whether somebody thought this key up: text, a count, or few different bytes.

    Of 32 random bytes about 30 differ; fewer than 20, or 32 printable ones, occur by chance
    once in more than 10**13 keys.
    """
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    printable = all(32 <= byte < 127 for byte in key)
    return len(set(key)) < 20 or len(steps) == 1 or printable


@register(Tags.admin)
def tenants_in_the_admin(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A model with an exchange account is shown by the admin class that keeps tenants apart."""
    from accounts.tenant_admin import TenantAdmin

    return [
        Error(
            f"{model._meta.label} is a tenant's, and its admin is not a TenantAdmin.",
            hint="Derive it from accounts.tenant_admin.TenantAdmin.",
            obj=model,
            id="accounts.E004",
        )
        for model, model_admin in admin.site._registry.items()
        if belongs_to_a_tenant(model) and not isinstance(model_admin, TenantAdmin)
    ]


def belongs_to_a_tenant(model: type[models.Model]) -> bool:
    """Whether rows of `model` are of an exchange account, or are one."""
    account = apps.get_model("accounts", "BybitAccount")
    return model is account or any(
        field.related_model is account for field in model._meta.concrete_fields
    )
