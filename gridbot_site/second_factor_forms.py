"""Forms of the second factor's pages."""

from __future__ import annotations

import time
from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.views.decorators.debug import sensitive_variables
from django_otp.forms import OTPTokenForm
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

CODE = {"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}


def recovery_digest(code: str) -> str:
    """How a recovery code is stored: 64 bits of an HMAC under SECRET_KEY, as hexadecimal."""
    plain = "".join(code.split()).replace("-", "").lower()
    return salted_hmac("gridbot.recovery_code", plain, algorithm="sha256").hexdigest()[:16]


class CodeForm(OTPTokenForm):  # type: ignore[misc]
    """A device of the user, and a code of it."""

    otp_device = forms.ChoiceField(label="From")
    otp_token = forms.CharField(
        label="Code",
        widget=forms.TextInput(attrs=CODE),
        help_text="Six digits of your app, or a recovery code.",
    )
    otp_challenge = None

    def __init__(self, user: Any, request: HttpRequest, data: Any = None) -> None:
        super().__init__(user, request, data)
        device = self.fields["otp_device"]
        device.choices = [choice for choice in device.choices if choice[0]]
        app = TOTPDevice.objects.filter(user=user, confirmed=True).first()
        device.initial = app and app.persistent_id

    def clean_otp_token(self) -> str:
        """The code as the chosen device knows it: recovery codes are kept as digests."""
        code: str = self.cleaned_data["otp_token"]
        chosen = self.cleaned_data.get("otp_device", "")
        if chosen.startswith(f"{StaticDevice.model_label()}/"):
            return recovery_digest(code)
        return "".join(code.split())


@sensitive_variables()
def is_own_password(request: HttpRequest, password: str) -> bool:
    """Whether it is the password of who is signed in; a wrong one counts like one at the sign-in."""
    user = authenticate(request, username=request.user.get_username(), password=password)
    return user is not None and user.pk == request.user.pk


class PasswordForm(forms.Form):
    """The password once more; wrong ones count towards a lock-out."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(data)
        self.request = request

    def clean_password(self) -> str:
        """The user's own password."""
        password: str = self.cleaned_data["password"]
        if not is_own_password(self.request, password):
            raise forms.ValidationError("That is not your password.")
        return password


class EnrolForm(PasswordForm):
    """A name for a new app, and a code that proves that it has the key."""

    name = forms.CharField(max_length=64, initial="Phone", help_text="To tell your apps apart.")
    code = forms.CharField(
        max_length=20, widget=forms.TextInput(attrs=CODE), help_text="Six digits of the app."
    )
    field_order = ("name", "code", "password")

    def __init__(self, request: HttpRequest, device: TOTPDevice, data: Any = None) -> None:
        super().__init__(request, data)
        self.device = device

    def clean_code(self) -> str:
        """A code of the new app, which then is used up."""
        code = "".join(str(self.cleaned_data["code"]).split())
        totp = TOTP(self.device.bin_key)
        totp.time = time.time()
        if not code.isdecimal() or not totp.verify(int(code), self.device.tolerance):
            raise forms.ValidationError("That is not the code of this key; try the next one.")
        self.device.last_t = totp.t()
        return code


class RemoveForm(PasswordForm):
    """One of several apps."""

    device: forms.ModelChoiceField[TOTPDevice] = forms.ModelChoiceField(
        queryset=TOTPDevice.objects.none(), label="App"
    )
    field_order = ("device", "password")

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(request, data)
        self.apps = TOTPDevice.objects.filter(user=request.user, confirmed=True)
        field: Any = self.fields["device"]
        field.queryset, field.label_from_instance = self.apps, lambda app: app.name

    def clean_device(self) -> TOTPDevice:
        """An app, unless it is the last."""
        if len(self.apps) < 2:
            raise forms.ValidationError("It is your only app: add another one first.")
        return self.cleaned_data["device"]
