"""What the audit log is told about secrets: who opened one, for what, and who sealed one anew.

An entry names the credential, the purpose and the command, and holds nothing of the secret.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import Error, transaction

from accounts import audit

if TYPE_CHECKING:
    from accounts.models import ApiCredential

logger = logging.getLogger(__name__)

OPENED = "secret opened"
# Programs whose first argument is a command, and no secret.
DJANGO = ("manage.py", "django-admin")


def note_opening(credential: ApiCredential, purpose: str) -> None:
    """Write down that a secret was opened.

    A database that does not take the entry stops nobody: capture would lose rows for want of a
    line about itself. Then the process's own log holds it, as a warning.
    """
    try:
        # A savepoint: what fails here must not end the transaction around it.
        with transaction.atomic():
            audit.record(credential, OPENED, by=command(), purpose=purpose)
    except Error as error:  # InterfaceError is no DatabaseError
        logger.warning(
            "the secret of credential %s was opened for %r by %r, and the audit log did not take it: %s",
            credential.pk, purpose, command(), type(error).__name__,
        )  # fmt: skip


def note_resealing(resealed: Iterable[tuple[ApiCredential, str, str]]) -> None:
    """Write down which credentials were sealed anew, each with its old and new key's id."""
    audit.record_all(
        (credential, {"event": audit.SEALED_ANEW, "from_key": old, "to_key": new, "by": command()})
        for credential, old, new in resealed
    )


def command() -> str:
    """The command that runs here, without its arguments: `manage.py capture`, `gunicorn`."""
    program = Path(sys.argv[0]).name
    return " ".join([program, *sys.argv[1:2]]) if program in DJANGO else program
