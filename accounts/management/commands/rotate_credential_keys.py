"""`manage.py rotate_credential_keys`: seal every exchange secret with the first key."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from accounts import rotation, vault
from accounts.management.teaching import TeachingCommand
from accounts.models import ApiCredential
from accounts.rotation import Rotation

HELP = """\
Seal every stored exchange secret anew with the first of the credential keys.

The whole procedure, with capture and the web running:

  1. Make a key:
       python -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())"
  2. Add it BEHIND the present one, wherever the keys are kept (GRIDBOT_CREDENTIAL_KEYS, the file,
     systemd's credential), and restart every process: now all of them can open what it seals.
  3. Move it to the FRONT and restart every process again: now it seals.
  4. manage.py rotate_credential_keys
     May be interrupted at any moment, even with kill -9, and started again: what is done is done.
  5. It ends with 0 and names the keys that may be retired: take those away, restart, and run
     it again with --dry-run, which must end with 0.
  6. Keep a retired key as long as a backup of the database from before step 4 is kept.

A key that was stolen together with the database has given the secrets away: rotating does not
help then. Delete the API keys at the exchange and enter new ones.
Exit codes: 0 nothing is left under another key, 1 something is (with --dry-run too), 2 usage,
4 no usable key is configured, 75 the database cannot be reached."""


class Command(TeachingCommand):
    """Rotate the credential keys."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--batch",
            type=_batch,
            default=rotation.BATCH,
            metavar="N",
            help=f"rows in one transaction; the default is {rotation.BATCH}",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
        parser.add_argument(
            "--json",
            action="store_true",
            help="end with one machine-readable line and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate, report."""
        total, quiet = ApiCredential.objects.unscoped().count(), options["json"]

        def say(walk: Rotation) -> None:
            if not quiet:
                self.stdout.write(
                    f"{walk.total:,} of {total:,} looked at, {walk.rotated:,} rotated"
                )
                self.stdout.flush()

        try:
            result = rotation.rotate(
                batch=options["batch"], dry_run=options["dry_run"], on_progress=say
            )
        except vault.VaultError as error:
            raise ImproperlyConfigured(str(error)) from None
        if quiet:
            self.stdout.write(json.dumps(as_json(result, dry_run=options["dry_run"])))
        else:
            self.stdout.write("\n".join(lines(result)))
        if result.left:
            sys.exit(1)


def as_json(result: Rotation, *, dry_run: bool) -> dict[str, Any]:
    """The result as plain values."""
    ids = vault.key_ids()
    return {
        "credentials": result.total,
        "rotated": result.rotated,
        "left": result.left,
        "failed": {str(pk): reason for pk, reason in result.failed.items()},
        "keys": [
            {
                "id": key_id,
                "seals": key_id == ids[0],
                "credentials": result.under[key_id],
                "may_be_retired": result.may_be_retired(key_id),
            }
            for key_id in ids
        ],
        "not_configured": {
            key_id: count for key_id, count in result.under.items() if key_id not in ids
        },
        "dry_run": dry_run,
    }


def lines(result: Rotation) -> Iterator[str]:
    """The result for people."""
    yield (
        f"{result.total:,} credentials: {result.rotated:,} sealed anew, {result.left:,} left, "
        f"{len(result.failed):,} failed."
    )
    for pk, reason in result.failed.items():
        yield f"credential {pk}: {reason}"
    ids = vault.key_ids()
    for place, key_id in enumerate(ids, 1):
        role = "seals" if place == 1 else "opens"
        retire = ": may be retired" if result.may_be_retired(key_id) else ""
        yield f"key {place} (id {key_id}) {role}: {result.under[key_id]:,} credentials{retire}"
    for key_id in sorted(result.under.keys() - set(ids)):
        whose = f"key {key_id}, which is not configured" if key_id else "no key: damaged"
        yield f"{whose}: {result.under[key_id]:,} credentials"


def _batch(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 10_000):
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 10000")
    return int(text)
