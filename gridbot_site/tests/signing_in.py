"""Signing in as a person does, and every URL that they could ask for."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from django.test import Client
from django.urls import URLPattern, get_resolver
from django.urls.resolvers import RegexPattern
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User
from accounts.tests.factories import PASSWORD

LOGIN = "/admin/login/"
VERIFY = "/admin/second-factor/verify/"


def device_of(user: User, **values: Any) -> TOTPDevice:
    """An authenticator app of `user`."""
    return TOTPDevice.objects.create(user=user, **{"name": "phone", **values})


def code_of(device: TOTPDevice) -> str:
    """What the app shows now; the next of them if the current one is used up."""
    device.refresh_from_db()
    totp = TOTP(device.bin_key)
    totp.time = max(time.time(), (device.last_t + 1) * device.step)
    return f"{totp.token():06d}"


def give_password(client: Client, user: User | str, password: str = PASSWORD, **extra: Any) -> Any:
    """Send the form of the sign-in page."""
    data = {"username": str(user), "password": password, "next": "/admin/"}
    return client.post(LOGIN, data, **extra)


def give_code(client: Client, device: Any, code: str) -> Any:
    """Send the form of the second page."""
    return client.post(VERIFY, {"otp_device": device.persistent_id, "otp_token": code})


def sign_in(client: Client, user: User) -> TOTPDevice:
    """Sign `user` in with a new app; the app."""
    device = device_of(user)
    assert give_password(client, user).status_code == 302
    assert give_code(client, device, code_of(device)).status_code == 302
    return device


def every_url() -> list[str]:
    """A URL for every pattern of the site; where a pattern wants a row, one that is missing."""
    return sorted(set(_urls(get_resolver().url_patterns, "/")))


def _urls(patterns: Any, prefix: str) -> Iterator[str]:
    for entry in patterns:
        url = prefix + _example(entry.pattern)
        if isinstance(entry, URLPattern):
            yield url
        else:
            yield from _urls(entry.url_patterns, url)


def _example(pattern: Any) -> str:
    if isinstance(pattern, RegexPattern):
        text = re.sub(r"\(\?P<\w+>(\w*)[^)]*\)", r"\1", str(pattern))
        return text.strip("^$")
    return re.sub(r"<[^>]+>", "1", str(pattern))
