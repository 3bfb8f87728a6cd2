"""The second factor: codes of an authenticator app (TOTP, RFC 6238) and recovery codes.

django-otp keeps the devices, checks codes, takes each once and slows guessing down. Here are
the rules and pages around it: who is asked, and how devices come and go. Pages that change
anything ask for the password again, so that an open browser is not enough.

A new app's key lives in the session until a code proves that the app has it: a key that is
stored and shown before could be known to somebody else who came by with the password. Recovery
codes are stored as keyed digests, so that a copy of the database holds none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django_otp import devices_for_user, user_has_device
from django_otp import login as remember_device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.qr import write_qrcode_image
from django_otp.util import random_hex

from accounts.audit import record
from accounts.models import User
from gridbot_site.second_factor_forms import (
    CodeForm,
    EnrolForm,
    PasswordForm,
    RemoveForm,
    recovery_digest,
)

RECOVERY_CODES = 10
KEY = "second_factor_key"
View = Callable[[HttpRequest], HttpResponse]


def code_wanted(user: Any) -> bool:
    """Whether `user` has yet to give a code: staff always, and whoever has a device."""
    if getattr(user, "otp_device", None) is not None:
        return False
    return bool(settings.GRIDBOT_REQUIRE_OTP or user_has_device(user))


@sensitive_variables()
def new_recovery_codes(user: User) -> list[str]:
    """Ten new recovery codes in place of the old ones; they can be read here and never again."""
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    with transaction.atomic():
        StaticDevice.objects.filter(user=user).delete()
        device = StaticDevice.objects.create(user=user, name="recovery codes")
        device.token_set.bulk_create(
            StaticToken(device=device, token=recovery_digest(code)) for code in codes
        )
        record(user, "recovery codes made")
    return [f"{code[:4]}-{code[4:]}" for code in codes]


def reset(user: User, *, by: str) -> int:
    """Take all devices and recovery codes from `user`; how many devices there were."""
    with transaction.atomic():
        devices = list(devices_for_user(user, confirmed=None))
        for device in devices:
            device.delete()
        record(user, "second factor reset", by=by)
    return len(devices)


def half_signed_in(view: View) -> View:
    """Let in members of staff whose password is known, and put no secret into error reports."""

    @wraps(view)
    @sensitive_post_parameters()
    def inner(request: HttpRequest) -> HttpResponse:
        if not (request.user.is_active and request.user.is_staff):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return view(request)

    return inner


def signed_in(view: View) -> View:
    """Let in whoever has given a code; those who have no device only where they add one."""

    @half_signed_in
    @wraps(view)
    def inner(request: HttpRequest) -> HttpResponse:
        if not user_has_device(request.user):
            target = reverse("admin:second_factor_add")
            return view(request) if request.path == target else redirect(target)
        if code_wanted(request.user):
            return redirect("admin:second_factor_verify")
        return view(request)

    return inner


@half_signed_in
def verify(request: HttpRequest) -> HttpResponse:
    """Ask for a code, and let in."""
    user: Any = request.user
    if not code_wanted(user):
        return redirect(_after(request))
    if not user_has_device(user):
        return redirect("admin:second_factor_add")
    form = CodeForm(user, request, request.POST or None)
    if not form.is_valid():
        context = {"next": _after(request), "submit": "Sign in"}
        return _page(request, "Enter your code", form, **context)
    remember_device(request, user.otp_device)
    request.session.cycle_key()
    if isinstance(user.otp_device, StaticDevice):
        left = user.otp_device.token_set.count()
        record(user, "recovery code used", left=left)
        messages.warning(request, f"Recovery codes left: {left}. Each works once.")
    else:
        record(user, "code accepted", device=user.otp_device.name)
    return redirect(_after(request))


@signed_in
@sensitive_variables()
def add(request: HttpRequest) -> HttpResponse:
    """Show the key of a new app; keep it once a code proves that the app has it."""
    user: Any = request.user
    key = request.session.setdefault(KEY, random_hex(20))
    device = TOTPDevice(user=user, key=key)
    form = EnrolForm(request, device, request.POST or None)
    if not form.is_valid():
        context = {"qr": _qr(device), "key": _spaced(device), "submit": "Confirm"}
        return _page(request, "Add an authenticator app", form, **context)
    device.name = form.cleaned_data["name"]
    with transaction.atomic():
        device.save()
        record(user, "second factor added", device=device.name)
    del request.session[KEY]
    remember_device(request, device)
    request.session.cycle_key()
    if StaticDevice.objects.filter(user=user).exists():
        return redirect("admin:second_factor")
    return _page(request, "Your recovery codes", codes=new_recovery_codes(user))


@signed_in
@sensitive_variables()
def codes(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes; the old ones end."""
    form = PasswordForm(request, request.POST or None)
    if form.is_valid():
        user: Any = request.user
        return _page(request, "Your recovery codes", codes=new_recovery_codes(user))
    return _page(request, "New recovery codes", form, submit="Make ten new codes")


@signed_in
def remove(request: HttpRequest) -> HttpResponse:
    """Take an app away; the last one stays until another is there."""
    form = RemoveForm(request, request.POST or None)
    if not form.is_valid():
        return _page(request, "Remove an authenticator app", form, submit="Remove")
    device = form.cleaned_data["device"]
    user: Any = request.user
    with transaction.atomic():
        device.delete()
        record(user, "second factor removed", device=device.name)
    return redirect("admin:second_factor")


@signed_in
def overview(request: HttpRequest) -> HttpResponse:
    """The apps and how many recovery codes are left."""
    user: Any = request.user
    apps = TOTPDevice.objects.filter(user=user, confirmed=True)
    left = StaticToken.objects.filter(device__user=user).count()
    return _page(request, "Second factor", apps=apps, left=left)


urls = [
    path("", overview, name="second_factor"),
    path("verify/", verify, name="second_factor_verify"),
    path("add/", add, name="second_factor_add"),
    path("remove/", remove, name="second_factor_remove"),
    path("recovery-codes/", codes, name="second_factor_codes"),
]


def _page(
    request: HttpRequest, title: str, form: Form | None = None, **context: Any
) -> HttpResponse:
    site = admin.site
    shown = site.each_context(request) if site.has_permission(request) else {}
    names = {"site_header": site.site_header, "site_title": site.site_title}
    return TemplateResponse(
        request,
        "admin/second_factor.html",
        names | shown | {"title": title, "form": form} | context,
    )


def _after(request: HttpRequest) -> str:
    """Where to go on: what was asked for, if it is ours."""
    asked = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME) or ""
    ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return asked if ours else reverse("admin:index")


def _qr(device: TOTPDevice) -> str:
    image = BytesIO()
    write_qrcode_image(device.config_url, image)
    return f"data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode()}"


def _spaced(device: TOTPDevice) -> str:
    """The key as apps ask for it by hand: base32 in groups of four."""
    key = base64.b32encode(device.bin_key).decode()
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))
