"""The demo, whole: a child process for the exchange, real pybit, the verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from django.conf import settings
from django.core.management.base import CommandError

from accounts.models import User
from marketdata.capture.public_writers import TradeWriter
from marketdata.demo.database import make_operator, make_tenants, prepare_database
from marketdata.demo.display import verdict_text
from marketdata.demo.runner import Demo
from marketdata.demo.sabotage import sabotaged_writer
from marketdata.exits import ConfigurationError
from marketdata.management.commands.demo import seconds_from
from marketdata.models import EnvironmentStamp


def demo(**changes) -> Demo:
    changes.setdefault("accounts", make_tenants())
    options: dict[str, Any] = {
        "seconds": 2,
        "seed": 3,
        "rate": 1500,
        "trade_writer_class": TradeWriter,
    }
    return Demo(**options | changes)


@pytest.mark.django_db(transaction=True)
def test_a_demo_loses_doubles_and_alters_nothing_although_the_connection_breaks():
    report, verdict = demo().run(threading.Event(), lambda service: None)
    assert verdict.problems == []
    assert verdict.is_green
    assert report.reconnects == 4
    assert verdict.stored["public_trades"] > 500
    assert "nothing was lost" in verdict_text(verdict)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("way", "kind"), [("drop", "lost"), ("double", "duplicated"), ("alter", "mutated")]
)
def test_one_row_in_ten_thousand_that_a_writer_spoils_turns_the_verdict_red(way, kind):
    _, verdict = demo(trade_writer_class=sabotaged_writer(way)).run(
        threading.Event(), lambda service: None
    )
    assert getattr(verdict, kind) == 1
    assert not verdict.is_green
    assert "NOT what was sent" in verdict_text(verdict)


def test_the_command_ends_with_one_json_line_and_exit_code_zero(tmp_path):
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": "",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'own.sqlite3'}", "DEMO_SECONDS": "2",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, settings.BASE_DIR / "manage.py", "demo", "--seed", "1"],
        env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer.pop("stored")["public_trades"] > 100
    assert answer == {"lost": 0, "duplicated": 0, "mutated": 0, "quarantined": 0}
    assert "as user demo with password" in done.stdout


@pytest.mark.django_db
def test_a_database_with_other_data_is_refused():
    with pytest.raises(ConfigurationError, match="neither"):
        prepare_database()


@pytest.mark.django_db
def test_a_database_with_sandbox_data_is_taken_again():
    EnvironmentStamp.objects.create(environment="sandbox")
    prepare_database()


@pytest.mark.django_db
def test_the_tenant_gets_a_new_password_each_time():
    first, second = make_operator(), make_operator()
    user = User.objects.get()
    assert not user.check_password(first)
    assert user.check_password(second)


@pytest.mark.parametrize("text", ["", "soon", "1", "nan", "1e9"])
def test_a_senseless_duration_is_refused(text):
    with pytest.raises(CommandError, match="DEMO_SECONDS"):
        seconds_from(text)
