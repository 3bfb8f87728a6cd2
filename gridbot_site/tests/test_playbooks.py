"""docs/playbooks.md: whatever sends an operator there names a section that exists."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

import gridbot_site
from gridbot_site.notifications.conditions import PLAYBOOKS, Key, Kind, Severity
from gridbot_site.notifications.message import LONGEST_LINE, message_of
from gridbot_site.notifications.rules import Event, What
from marketdata.doctor import findings
from marketdata.doctor.findings import Finding, Level

ROOT = Path(gridbot_site.__file__).parent.parent
PAGE = "docs/playbooks.md"
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yml").read_text("utf-8"))[
        "groups"
    ]
    for rule in group["rules"]
]


def sections(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


ADDRESSES = {f"{PAGE}#{each}" for each in sections(ROOT / PAGE)}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_names_its_playbook_which_names_the_alert(rule):
    address = rule["annotations"]["runbook"]
    assert address in ADDRESSES
    anchor = address.partition("#")[2]
    [told] = [text for text in parts() if text.splitlines()[0] == anchor]
    assert f"`{rule['alert']}`" in told


@pytest.mark.parametrize("kind", Kind)
def test_a_condition_names_its_playbook_which_names_the_condition(kind):
    assert Key(kind).playbook in ADDRESSES
    [told] = [text for text in parts() if text.splitlines()[0] == PLAYBOOKS[kind]]
    assert f"`{kind}`" in told


def test_a_message_is_cut_before_its_playbook():
    key = Key(Kind.CAPTURE_DOWN)
    of = {"key": key, "severity": Severity.CRITICAL, "lasted": timedelta(minutes=3)}
    events = [
        Event(what=What.BEGAN, text="x" * 500, **of),
        Event(what=What.OVER, text="", **of),
    ]
    began, over = message_of(events, "host").body.splitlines()
    assert began.endswith(f"xx {key.playbook}")
    assert len(began) == LONGEST_LINE
    assert over == "RECOVERED capture down, after 3 min."


def test_errors_of_the_doctor_name_a_playbook():
    for check, section in findings.PLAYBOOKS.items():
        assert f"{PAGE}#{section}" in ADDRESSES
        assert Finding(check, "", level=Level.ERROR).playbook == f"{PAGE}#{section}"
        assert Finding(check, "", level=Level.WARNING).playbook == ""


def test_every_section_is_in_the_table_at_the_top():
    top = (ROOT / PAGE).read_text(encoding="utf-8").partition("\n## ")[0]
    assert set(re.findall(r"\(#([\w-]+)\)", top)) == sections(ROOT / PAGE) - {"playbooks"}


def parts() -> list[str]:
    """Each section, its heading turned into its anchor."""
    found = (ROOT / PAGE).read_text(encoding="utf-8").split("\n## ")[1:]
    return [each.split("\n")[0].lower().replace(" ", "-") + "\n" + each for each in found]
