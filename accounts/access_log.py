"""Entries of the audit log about secrets: who opened one, for what, and who sealed one anew.

An entry names the credential, the purpose and the command, and holds nothing of the secret.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditlog import get_logentry_model
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, transaction

if TYPE_CHECKING:
    from accounts.models import ApiCredential

logger = logging.getLogger(__name__)

# Programs whose first argument is a command, and no secret.
DJANGO = ("manage.py", "django-admin")


def note_opening(credential: ApiCredential, purpose: str) -> None:
    """Write down that a secret was opened.

    A database that does not take the entry stops nobody: capture would lose rows for want of a
    line about itself. Then the process's own log holds it, as a warning.
    """
    model = get_logentry_model()
    entry = _entry(credential, model.Action.ACCESS, additional_data=_circumstances(purpose))
    try:
        # A savepoint: what fails here must not end the transaction around it.
        with transaction.atomic():
            entry.save()
    except DatabaseError as error:
        logger.warning(
            "the secret of credential %s was opened for %r by %r, and the audit log did not take it: %s",
            credential.pk, purpose, command(), type(error).__name__,
        )  # fmt: skip


def note_resealing(resealed: Iterable[tuple[ApiCredential, str, str]]) -> None:
    """Write down which credentials were sealed anew, each with its old and new key's id."""
    model = get_logentry_model()
    model.objects.bulk_create(
        _entry(
            credential,
            model.Action.UPDATE,
            changes={"sealed_secret": [f"under key {old}", f"under key {new}"]},
            additional_data=_circumstances("rotation"),
        )
        for credential, old, new in resealed
    )


def command() -> str:
    """The command that runs here, without its arguments: `manage.py capture`, `gunicorn`."""
    program = Path(sys.argv[0]).name
    return " ".join([program, *sys.argv[1:2]]) if program in DJANGO else program


def _circumstances(purpose: str) -> dict[str, str]:
    return {"purpose": purpose, "command": command()}


def _entry(credential: ApiCredential, action: int, **fields: Any) -> Any:
    return get_logentry_model()(
        content_type=ContentType.objects.get_for_model(credential),
        object_pk=str(credential.pk),
        object_repr=str(credential),
        action=action,
        **fields,
    )
