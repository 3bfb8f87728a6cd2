"""Keys with random secrets go through everything that handles them, and are found nowhere."""

from __future__ import annotations

import base64
import io
import json
import logging
import secrets
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import cast

import pytest
from django.conf import settings as configured
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.views.debug import ExceptionReporter

from accounts import vault
from accounts.models import ApiCredential, BybitAccount
from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.bybit.ws_client import FrameHandler
from marketdata.bybit.ws_private import PrivateWebSocketClient
from marketdata.capture.accounts import OpenedSecrets, read_roster
from marketdata.capture.journal import Journal
from marketdata.capture.service import CaptureService
from marketdata.models import PrivateExecution
from marketdata.tests.canaries import hits, whole_database
from marketdata.tests.capture.conftest import Running, capture_config, until
from marketdata.tests.capture.outages import database_away


@pytest.fixture
def log(tmp_path):
    """Everything that is logged at DEBUG, by whomever, tracebacks included."""
    path, root = tmp_path / "log", logging.getLogger()
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s %(args)r"))
    names = ["", *logging.root.manager.loggerDict]
    before = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield path
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    root.removeHandler(handler)
    handler.close()


def capture(exchange, journal: Journal) -> bytes:
    """What a capture shows of itself after rows, a frame that cannot be read, a refused key, and
    an end without the database.
    """
    exchange.set_account("charlie/main", refusal="params")
    service = CaptureService(capture_config(exchange, symbols=(), private=True, spool_after=0.0))
    service.books.journal = journal
    running = Running(service)
    running.thread.start()
    for name in ("alice/main", "bob/main"):
        exchange.wait_for_private(name)
    exchange.script("bob/main", 3)
    exchange.send_raw("{broken", None, "bob/main")
    until(PrivateExecution.objects.exists)
    charlie = BybitAccount.objects.unscoped().filter(user__username="charlie")
    until(lambda: charlie.get().status == "error")
    with database_away():
        exchange.script("bob/main", 3)
        exchange.drain()
        report = running.finish()
    return (repr(vars(service.private)) + json.dumps(report.as_json())).encode()


def commands() -> bytes:
    """What the commands say that open secrets."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        for command in (
            ("check_account", "--all"),
            ("check_account", "--all", "--json"),
            ("rotate_credential_keys",),
            ("rotate_credential_keys", "--json"),
        ):
            with suppress(SystemExit):
                call_command(*command, stdout=said, stderr=said)
    return said.getvalue().encode()


def reports(endpoints: Endpoints, rf) -> dict[str, bytes]:
    """A traceback with everything in its frames that holds a secret, as logged and as a page."""

    def fail() -> None:
        context = read_roster(secrets=(opened := OpenedSecrets("a test"))).contexts[0]
        credential = (
            ApiCredential.objects.filter(account=context.account_id).select_related("account").get()
        )
        keys = context.api_key, context.api_secret
        rest = BybitRestClient(*keys, environment=Environment.SANDBOX, endpoints=endpoints)
        stream = PrivateWebSocketClient(
            *keys, cast(FrameHandler, print), environment=Environment.SANDBOX, endpoints=endpoints
        )
        secret = credential.open_secret("a test")
        held = [vars(opened), vars(stream), vars(credential), context, rest, stream, secret]
        raise RuntimeError(held)

    try:
        fail()
    except RuntimeError as error:
        logging.getLogger("a.test").exception("deliberate: %s %r", error, error.args)
        report = ExceptionReporter(rf.get("/"), *sys.exc_info())
        page, text = report.get_traceback_html(), report.get_traceback_text()
    return {"the page of an error": page.encode(), "the text of an error": text.encode()}


def pages(browser) -> dict[str, bytes]:
    """Every list and form of the admin, and all pages of what has to do with keys."""
    urls = []
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        urls += [reverse(f"{name}_changelist"), reverse(f"{name}_add")]
        if model._meta.model_name in ("apicredential", "bybitaccount", "logentry"):
            for row in model._default_manager.all():
                kinds = ("change", "history", "delete")
                urls += [reverse(f"{name}_{kind}", args=[row.pk]) for kind in kinds]
    return {url: browser.get(url).content for url in urls}


@pytest.mark.django_db(transaction=True)
def test_no_canary_is_found_anywhere(
    exchange,
    tenants,
    log,
    tmp_path,
    spool_folder,
    settings,
    olivia_client,
    rf,
    monkeypatch,
    record_property,
):
    monkeypatch.setattr("marketdata.capture.service.WRITER_STOP_SECONDS", 0.5)
    config = capture_config(exchange)
    settings.BYBIT_ENDPOINTS = config.endpoints
    with Journal(tmp_path / "journal") as journal:
        places = {"what capture shows": capture(exchange, journal)}
    connection.close()
    fresh = base64.b64encode(secrets.token_bytes(32)).decode()
    settings.GRIDBOT_CREDENTIAL_KEYS = [fresh, *settings.GRIDBOT_CREDENTIAL_KEYS]
    exchange.set_account("alice/main", key={"permissions": {"Wallet": ["Withdraw"]}})
    exchange.set_account("bob/main", refusal="10004")
    places["what commands say"] = commands()
    exchange.set_account("bob/main", refusal="")
    # API keys are no secrets to their owners, and stored as they are; but nothing logs them.
    without_api_keys = {"log so far": log.read_bytes(), **places}
    places |= reports(config.endpoints, rf) | pages(olivia_client)
    dump = io.StringIO()
    call_command("dumpdata", stdout=dump)
    places["dumpdata"] = dump.getvalue().encode()
    places |= dict(whole_database())
    left = {file: file.read_bytes() for folder in (spool_folder, tmp_path / "journal")
            for file in folder.rglob("*") if file.is_file()}  # fmt: skip
    places |= {f"file {file.name}": content for file, content in left.items()}
    places["log"] = log.read_bytes()

    canaries = [known.api_secret.encode() for known in exchange.accounts.values()]
    keys = [key for text in configured.GRIDBOT_CREDENTIAL_KEYS
            for key in (text.encode(), vault.parse_key(text))]  # fmt: skip
    assert hits(places, [*canaries, *keys]) == []
    api_keys = [known.api_key.encode() for known in exchange.accounts.values()]
    without_api_keys |= {f"file {file.name}": content for file, content in left.items()}
    assert hits(without_api_keys, api_keys) == []
    size = sum(map(len, places.values()))
    record_property(
        "searched", f"{len(places)} places, {size:,} bytes, {len(canaries + keys)} keys"
    )
    # That there was something to find: the same search finds what is there.
    assert hits({"log": places["log"]}, [b"deliberate"])
    assert hits({"dump": places["dumpdata"]}, api_keys)
    assert any(b"bob/main" in text or b"execId" in text for text in left.values())
    assert {file.parent.parent.name for file in left} | {file.parent.name for file in left} >= {
        "journal", "spool",
    }  # fmt: skip
    assert b"Set, ends with" in b"".join(places.values())
    assert b"refused" in places["what commands say"]
    assert b"&lt;secret&gt;" in places["the page of an error"]


@pytest.mark.parametrize("lead", range(4))
@pytest.mark.parametrize(
    "write", [bytes, lambda b: b.hex().encode(), lambda b: b.hex().upper().encode(),
              base64.b64encode, base64.urlsafe_b64encode],
)  # fmt: skip
def test_the_search_finds_a_secret_in_each_disguise(write, lead):
    secret = secrets.token_bytes(32)
    content = write(b"x" * lead + secret + b"y" * lead)
    assert hits({"here": b"..." + content + b"..."}, [secret]) != []
    assert hits({"here": content}, [secrets.token_bytes(32)]) == []
