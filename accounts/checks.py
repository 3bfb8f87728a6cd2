"""System checks: what is wrong with the settings is said at start, with a hint."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from accounts import vault

HINT = "Run `make .env`, or put base64 of 32 random bytes into GRIDBOT_CREDENTIAL_KEYS."


@register()
def credential_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Exchange secrets can be sealed only with a usable key of their own."""
    keys = settings.GRIDBOT_CREDENTIAL_KEYS
    if not keys:
        return [Error("No credential key is configured.", hint=HINT, id="accounts.E001")]
    for text in keys:
        try:
            vault.parse_key(text)
        except vault.VaultError as error:
            return [Error(str(error), hint=HINT, id="accounts.E002")]
        if text == settings.SECRET_KEY:
            message = "SECRET_KEY serves as a credential key."
            return [Error(message, hint=HINT, id="accounts.E003")]
    return []
