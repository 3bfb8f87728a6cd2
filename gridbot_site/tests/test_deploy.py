"""The units in deploy/ and docs/install.md, which goes with them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from docs.try_install import PAGE, commands
from gridbot_site.tests.test_settings import ROOT
from gridbot_site.web_server import GRACE_SECONDS
from marketdata.capture.guard import END_SECONDS


def settings(unit):
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[::2] for line in lines if "=" in line and not line.startswith("#")]


def value(unit, name):
    [found] = [found for key, found in settings(unit) if key == name]
    return found


UNITS = sorted((ROOT / "deploy").glob("*.service"))
SERVICES = [unit for unit in UNITS if ("Type", "notify") in settings(unit)]
TIMERS = sorted((ROOT / "deploy").glob("*.timer"))
TYPED = commands(PAGE.read_text(encoding="utf-8"))
SHARED = "# What follows is the same for each of gridbot's services"
WORST_SCORE = 2.0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_calls_it_hardened(unit):
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    [score] = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert float(score) <= WORST_SCORE


def test_all_units_are_hardened_alike():
    texts = [unit.read_text(encoding="utf-8") for unit in UNITS]
    hardened = {text.partition(SHARED)[2].partition("[Install]")[0].rstrip() for text in texts}
    assert len(UNITS) > len(SERVICES) == 3
    assert len(hardened) == 1
    assert "ProtectSystem=strict" in hardened.pop()


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_installed_started_and_upgraded_by_the_page(unit):
    name = unit.stem
    assert value(unit, "User") == value(unit, "Group") == name.partition("-")[0]
    assert any(line.startswith("cp ") and unit.name in line for line in TYPED)
    for verb in ("enable --now", "(try-)?restart", "stop", "start"):
        assert any(re.match(f"systemctl {verb} .*{name}", line) for line in TYPED), verb


@pytest.mark.parametrize("timer", TIMERS, ids=lambda timer: timer.name)
def test_a_timer_has_its_service_and_is_installed_by_the_page(timer):
    assert ("Type", "oneshot") in settings(timer.with_suffix(".service"))
    assert any(line.startswith("cp ") and f"{timer.stem}.*" in line for line in TYPED)
    for verb in ("enable --now", "stop", "start"):
        assert any(re.match(f"systemctl {verb} .*{timer.name}", line) for line in TYPED), verb
    # Whoever looks at the database while it is dropped keeps it.
    assert any(re.match(f"systemctl stop .*{timer.stem}( |$)", line) for line in TYPED)


def test_systemd_waits_for_longer_than_an_orderly_end_takes():
    limits = {unit.stem: int(value(unit, "TimeoutStopSec")) for unit in SERVICES}
    assert limits["gridbot-capture"] > END_SECONDS
    assert limits["gridbot-web"] > GRACE_SECONDS


def test_whoever_types_a_command_has_the_keys_and_settings_of_the_services():
    script = (ROOT / "deploy" / "gridbot").read_text(encoding="utf-8")
    for unit in UNITS:
        given = [each for key, each in settings(unit) if key in ("LoadCredential", "Environment")]
        assert given
        for each in given:
            name, _, path = each.partition(":" if ":" in each else "=")
            assert name in script, each
            assert path in script, each
