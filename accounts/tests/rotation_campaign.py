"""kill -9 at random moments of a rotation of the credential keys, while tenants enter new secrets.

`python -m accounts.tests.rotation_campaign --credentials 10000 --kills 20 --seed 1` makes so many
credentials in a database of its own (an SQLite file, or the empty one that DATABASE_URL names),
kills so many runs of `manage.py rotate_credential_keys`, lets the last one end, and opens every
secret with the new key alone. Beside them a tenant enters new secrets and saves pages that it has
read before. Ends with 1 when a secret is lost, or left under the old key.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]
BATCH = 50
# At some twenty milliseconds each: a page is saved a second or two after it was read.
OPEN_PAGES = 80


@dataclass
class Result:
    """What became of the credentials over all kills; `left` are under the old key."""

    credentials: int
    killed: int = 0
    ended_before: int = 0
    half_done: int = 0
    entered_meanwhile: int = 0
    pages_saved: int = 0
    sealed_anew: int = 0
    opened_with_new_key: int = 0
    lost: int = 0
    left: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost and nothing left, and each was sealed anew once."""
        return (
            (self.lost, self.left) == (0, 0)
            and self.opened_with_new_key == self.credentials
            # Those that a tenant entered anew before their turn needed no rotation.
            and self.credentials - self.entered_meanwhile <= self.sealed_anew <= self.credentials
        )

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in asdict(self).items())


class Tenant(threading.Thread):
    """Enters secrets and saves pages, until told to stop; `secrets` is what must be there."""

    def __init__(self, secrets: dict[UUID, str], chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.secrets, self.entered, self.saved = secrets, set[UUID](), 0
        self.failure: BaseException | None = None
        self._ids, self._chance, self._ended = list(secrets), chance, threading.Event()

    def run(self) -> None:
        """Read pages, and save each when so many more have been read."""
        from django.db import connection

        from accounts.models import ApiCredential

        pages: deque[tuple[Any, str]] = deque()
        try:
            while not self._ended.wait(0.01):
                pk = self._chance.choice(self._ids)
                page = ApiCredential.objects.unscoped().select_related("account").get(pk=pk)
                pages.append((page, self._chance.choice(["", self._chance.randbytes(18).hex()])))
                if len(pages) > OPEN_PAGES:
                    self._save(*pages.popleft())
            # Even the pages that were read while the last rotation worked.
            for page, text in pages:
                self._save(page, text)
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            self.failure = error
        finally:
            connection.close()

    def _save(self, page: Any, text: str) -> None:
        if text:
            page.seal_secret(text)
        page.save()
        if text:
            self.secrets[page.pk] = text
            self.entered.add(page.pk)
        self.saved += not text

    def finish(self) -> None:
        """Stop it."""
        self._ended.set()
        self.join()
        if self.failure is not None:
            raise self.failure


def make_credentials(count: int, chance: random.Random) -> dict[UUID, str]:
    """Credentials of one tenant, all under the first key; their secrets by id."""
    from accounts.models import ApiCredential, BybitAccount, User

    user = User.objects.create(username="campaign")
    account = BybitAccount.objects.create(user=user, account_name="main", environment="sandbox")
    secrets, rows = {}, []
    for number in range(count):
        row = ApiCredential(account=account, user=user, api_key=f"key-{number}", is_active=False)
        secrets[row.pk] = chance.randbytes(18).hex()
        row.seal_secret(secrets[row.pk])
        rows.append(row)
    ApiCredential.objects.bulk_create(rows, batch_size=500)
    return secrets


def run_campaign(
    *, credentials: int, kills: int, chance: random.Random, environment: Mapping[str, str]
) -> Result:
    """Rotate in Django's present database, which is the children's in `environment`, too."""
    from django.conf import settings

    result = Result(credentials)
    (old,) = settings.GRIDBOT_CREDENTIAL_KEYS
    new = base64.b64encode(chance.randbytes(32)).decode()
    secrets = make_credentials(credentials, chance)
    settings.GRIDBOT_CREDENTIAL_KEYS = [new, old]
    children = {**os.environ, **environment, "GRIDBOT_CREDENTIAL_KEYS": f"{new},{old}"}
    tenant = Tenant(secrets, random.Random(chance.random()))
    tenant.start()
    # Each is killed in its own share of the batches, so that the last begins with some left.
    most = max(1, credentials // BATCH // (kills + 1))
    for _ in range(kills):
        killed = kill_once(children, batches=chance.randint(1, most), seconds=chance.random() / 50)
        result.killed += killed
        result.ended_before += not killed
        result.half_done += 0 < under_first_key() < credentials
    subprocess.run(command(), env=children, check=True, stdout=subprocess.DEVNULL)
    tenant.finish()
    result.entered_meanwhile, result.pages_saved = len(tenant.entered), tenant.saved
    settings.GRIDBOT_CREDENTIAL_KEYS = [new]
    judge(result, secrets)
    return result


def kill_once(environment: Mapping[str, str], *, batches: int, seconds: float) -> bool:
    """Kill a rotation so long after so many batches; False when it had ended by itself."""
    with subprocess.Popen(
        command(), env=dict(environment), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(batches):
            process.stdout.readline()
        threading.Event().wait(seconds)
        process.kill()
    return process.returncode < 0


def command() -> list[str]:
    """A rotation in small batches."""
    return [
        sys.executable,
        str(ROOT / "manage.py"),
        "rotate_credential_keys",
        "--batch",
        str(BATCH),
    ]


def under_first_key() -> int:
    """How many credentials are done."""
    from accounts import vault

    return sum(vault.is_current(blob) for blob in blobs())


def blobs() -> list[bytes]:
    """All that is sealed."""
    from accounts.models import ApiCredential

    return [bytes(b) for b in ApiCredential.objects.values_list("sealed_secret", flat=True)]


def judge(result: Result, secrets: Mapping[UUID, str]) -> None:
    """Open everything with the new key alone."""
    from auditlog import get_logentry_model

    from accounts import vault
    from accounts.models import ApiCredential

    for row in ApiCredential.objects.unscoped().select_related("account"):
        blob = bytes(row.sealed_secret)
        try:
            secret = vault.open_sealed(blob, row.binding()).reveal()
        except vault.VaultError:
            result.left += 1
        else:
            result.opened_with_new_key += 1
            result.lost += secret != secrets[row.pk]
    result.lost += len(secrets) - (result.left + result.opened_with_new_key)
    result.sealed_anew = (
        get_logentry_model().objects.filter(additional_data__has_key="from_key").count()
    )


def main() -> None:
    """Run in a database of its own and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--credentials", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridbot-rotation-") as folder:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/rotation.sqlite3")
        environment: dict[str, Any] = {
            "GRIDBOT_ENV_FILE": "",
            "SECRET_KEY": os.urandom(40).hex(),
            "GRIDBOT_CREDENTIAL_KEYS": base64.b64encode(os.urandom(32)).decode(),
            "DJANGO_SETTINGS_MODULE": "gridbot_site.settings",
            "GRIDBOT_LOG_LEVEL": "WARNING",
        }
        os.environ.update(environment)
        import django
        from django.core.management import call_command
        from django.db import connection

        django.setup()
        call_command("migrate", verbosity=0)
        result = run_campaign(
            credentials=arguments.credentials,
            kills=arguments.kills,
            chance=random.Random(arguments.seed),
            environment=environment,
        )
        vendor = connection.vendor
        connection.close()
    sys.stdout.write(f"{vendor}, seed {arguments.seed}: {result}\n")
    if arguments.json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    sys.exit(not result.is_sound)


if __name__ == "__main__":
    main()
