"""Sign-ins, refusals, sign-outs and lock-outs in the audit log; sessions that end in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django_otp.forms import otp_verification_failed

from accounts.audit import record, record_of_name
from accounts.models import User


@receiver(user_logged_in)
def _signed_in(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    # At a point in time: an age alone would begin anew whenever the session is written to.
    request.session.set_expiry(timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
    record(user, "signed in by password", by=user.get_username())


@receiver(user_logged_out)
def _signed_out(sender: Any, user: User | None, **kwargs: Any) -> None:
    if user is not None:
        record(user, "signed out")


@receiver(user_login_failed)
def _refused(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    # axes has counted by now. While it keeps a name locked out it counts no more, and neither
    # do we: a guesser shall not fill the audit log.
    locked_out = getattr(request, "axes_locked_out", False)
    if locked_out and getattr(request, "axes_failures_since_start", None) is None:
        return
    for event in ("password refused", *(["locked out"] if locked_out else [])):
        record_of_name(credentials.get("username"), event)


@receiver(otp_verification_failed)
def _code_refused(sender: Any, user: User, **kwargs: Any) -> None:
    record(user, "code refused")
