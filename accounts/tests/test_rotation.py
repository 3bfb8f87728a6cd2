"""Rotation of the credential keys: all under the first key, none lost, whatever happens."""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
from io import StringIO
from uuid import UUID

import pytest
from auditlog import get_logentry_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import access_log, audit, rotation, vault
from accounts.models import ApiCredential
from accounts.tests.factories import ApiCredentialFactory
from accounts.tests.rotation_campaign import run_campaign


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def stored(settings, db):
    """Five credentials under a key that is the second one now."""
    settings.GRIDBOT_CREDENTIAL_KEYS = [old := new_key()]
    made = {}
    for number in range(5):
        row = ApiCredentialFactory.create(secret=f"secret {number}", is_active=number < 4)
        made[row.pk] = f"secret {number}"
    settings.GRIDBOT_CREDENTIAL_KEYS = [new_key(), old]
    return made


def rows():
    return ApiCredential.objects.unscoped().select_related("account")


def opened():
    return {row.pk: row.open_secret("a test").reveal() for row in rows()}


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("rotate_credential_keys", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_all_are_brought_under_the_first_key_and_open_with_it_alone(stored, settings):
    code, said = run("--batch", "2")
    assert code == 0
    assert "5 credentials: 5 sealed anew, 0 left, 0 failed." in said
    settings.GRIDBOT_CREDENTIAL_KEYS = settings.GRIDBOT_CREDENTIAL_KEYS[:1]
    assert opened() == stored


def test_what_is_done_is_left_alone(stored):
    first = rotation.rotate()
    before = list(rows().values_list("sealed_secret", "updated_at"))
    second = rotation.rotate()
    assert (first.rotated, second.rotated, second.left) == (5, 0, 0)
    assert list(rows().values_list("sealed_secret", "updated_at")) == before


def test_a_dry_run_counts_and_changes_nothing(stored):
    before = list(rows().values_list("sealed_secret", flat=True))
    code, said = run("--dry-run", "--json")
    told = json.loads(said)
    assert (code, told["left"], told["rotated"], told["dry_run"]) == (1, 5, 0, True)
    assert list(rows().values_list("sealed_secret", flat=True)) == before
    run()
    assert run("--dry-run")[0] == 0


def test_it_says_which_keys_may_be_retired(stored, settings):
    first, old = vault.key_ids()
    lone = new_key()
    settings.GRIDBOT_CREDENTIAL_KEYS = [*settings.GRIDBOT_CREDENTIAL_KEYS, lone]
    third = vault.key_ids()[2]
    before = json.loads(run("--dry-run", "--json")[1])["keys"]
    after = json.loads(run("--json")[1])["keys"]
    assert [(key["id"], key["credentials"]) for key in before] == [(first, 0), (old, 5), (third, 0)]
    assert [key["may_be_retired"] for key in before] == [False, False, True]
    assert [key["may_be_retired"] for key in after] == [False, True, True]
    assert [key["seals"] for key in after] == [True, False, False]
    assert f"key 2 (id {old}) opens: 0 credentials: may be retired" in run()[1]


def test_one_that_does_not_open_is_named_and_stops_no_other(stored, settings):
    bad, alien, *_ = stored
    rows().filter(pk=bad).update(sealed_secret=b"nothing of ours")
    row = rows().get(pk=alien)
    settings.GRIDBOT_CREDENTIAL_KEYS, kept = [new_key()], settings.GRIDBOT_CREDENTIAL_KEYS
    row.seal_secret("a lost secret")
    row.save()
    settings.GRIDBOT_CREDENTIAL_KEYS = kept
    code, said = run()
    assert code == 1
    assert "5 credentials: 3 sealed anew, 2 left, 2 failed." in said
    assert f"credential {bad}: The sealed secret is damaged or of an unknown version." in said
    assert f"credential {alien}: The key that sealed this secret is not in" in said
    assert "which is not configured: 1 credentials" in said
    assert "no key: damaged: 1 credentials" in said
    told = json.loads(run("--json")[1])
    assert set(told["failed"]) == {str(bad), str(alien)}


def test_one_that_was_altered_is_not_sealed_as_if_it_were_sound(stored):
    pk = next(iter(stored))
    blob = bytearray(rows().get(pk=pk).sealed_secret)
    blob[-1] ^= 1
    rows().filter(pk=pk).update(sealed_secret=bytes(blob))
    assert rotation.rotate().failed == {
        pk: "The sealed secret was altered or belongs to another row."
    }
    assert bytes(rows().get(pk=pk).sealed_secret) == blob


def test_the_audit_log_says_what_was_sealed_anew_and_by_what(stored):
    old, log = vault.key_ids()[1], get_logentry_model()
    rotation.rotate(batch=2)
    entries = log.objects.filter(additional_data__event=audit.SEALED_ANEW)
    assert sorted(entry.object_pk for entry in entries) == sorted(map(str, stored))
    for entry in entries:
        row = rows().get(pk=entry.object_pk)
        assert entry.additional_data.items() >= {
            "owner": str(row.account.user_id), "from_key": old, "to_key": vault.key_ids()[0],
            "by": access_log.command(),
        }.items()  # fmt: skip


@pytest.mark.parametrize("count", [1, 5])
def test_a_secret_that_is_entered_between_reading_and_writing_stays(stored, monkeypatch, count):
    pk, reseal = min(stored), vault.reseal
    for other in sorted(stored)[count:]:
        rows().filter(pk=other).delete()
        del stored[other]

    def enter_meanwhile(blob, binding):
        row = rows().get(pk=pk)
        if bytes(row.sealed_secret) == blob:
            row.seal_secret("entered meanwhile")
            row.save()
        return reseal(blob, binding)

    monkeypatch.setattr(vault, "reseal", enter_meanwhile)
    result = rotation.rotate()
    assert (result.rotated, result.left) == (count - 1, 0)
    assert opened() == stored | {pk: "entered meanwhile"}


def test_a_row_that_comes_behind_the_walk_is_met_by_the_next(stored, settings):
    first = settings.GRIDBOT_CREDENTIAL_KEYS[0]
    late = []

    def put_in(walk):
        if late:
            return
        settings.GRIDBOT_CREDENTIAL_KEYS = settings.GRIDBOT_CREDENTIAL_KEYS[1:]
        # The smallest id there is: the walk has passed it.
        late.append(ApiCredentialFactory.create(pk=UUID(int=0), secret="late"))
        settings.GRIDBOT_CREDENTIAL_KEYS = [first, *settings.GRIDBOT_CREDENTIAL_KEYS]

    result = rotation.rotate(batch=3, on_progress=put_in)
    assert (result.rotated, result.left, result.total) == (6, 0, 6)


def test_a_page_that_was_read_before_a_rotation_does_not_undo_it(stored):
    pages = [rows().get(pk=pk) for pk in stored]
    rotation.rotate()
    for page in pages:
        page.is_active = False
        page.save()
    assert rotation.rotate(dry_run=True).left == 0
    assert not rows().filter(is_active=True).exists()
    assert opened() == stored


def test_without_a_usable_key_it_says_so(stored, settings):
    for keys in ([], ["nonsense"]):
        settings.GRIDBOT_CREDENTIAL_KEYS = keys
        with pytest.raises(ImproperlyConfigured):
            run()


@pytest.mark.parametrize("batch", ["0", "-1", "x", "10001", "1.5"])
def test_a_batch_is_a_number_of_rows(batch):
    with pytest.raises(CommandError, match="whole number from 1 to 10000"):
        run(f"--batch={batch}")


def test_an_empty_table_is_all_done(db):
    code, said = run()
    assert code == 0
    assert "0 credentials" in said


@pytest.mark.django_db(transaction=True)
def test_a_rotation_that_is_killed_again_and_again_loses_nothing(settings):
    """A small sample: `python -m accounts.tests.rotation_campaign` takes ten thousand."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        own = {"DATABASE_URL": f"sqlite:///{database['NAME']}"}
    else:
        own = {f"GRIDBOT_DB_{key}": str(database[key]) for key in ("NAME", "USER", "PORT")}
        own |= {"GRIDBOT_DB_PASSWORD": str(database["PASSWORD"]), "GRIDBOT_DB_TYPE": "postgresql"}
        own["GRIDBOT_DB_HOST"] = str(database["OPTIONS"].get("host", database["HOST"]))
        own |= {"DATABASE_URL": ""}
    own |= {"DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": ""}
    own["SECRET_KEY"] = os.environ["SECRET_KEY"]
    settings.GRIDBOT_CREDENTIAL_KEYS = [new_key()]
    result = run_campaign(credentials=200, kills=2, chance=random.Random(1), environment=own)
    assert result.is_sound, str(result)
    assert result.half_done > 0, str(result)
