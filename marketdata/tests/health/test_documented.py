"""docs/health.md and the example alerts, taken at their word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import marketdata
from marketdata.capture import pulse, repairs, watchdog
from marketdata.doctor import exchange, machine
from marketdata.health import metrics
from marketdata.health.metrics import as_markdown

ROOT = Path(marketdata.__file__).parent.parent
PAGE = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
UNIT = (ROOT / "deploy" / "gridbot-capture.service").read_text(encoding="utf-8")
KNOWN = {each.name: each for each in (*metrics.CAPTURE, *metrics.WEB)}
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yml").read_text("utf-8"))[
        "groups"
    ]
    for rule in group["rules"]
]
UNITS = ("_seconds", "_bytes", "_total", "_rows", "_files")


@pytest.mark.parametrize("described", [metrics.CAPTURE, metrics.WEB], ids=["capture", "site"])
def test_the_page_has_every_metric_as_it_is_exported(described):
    assert as_markdown(described) in PAGE


@pytest.mark.parametrize("each", KNOWN.values(), ids=KNOWN)
def test_names_follow_the_conventions(each):
    assert each.name.startswith("gridbot_")
    assert re.fullmatch(r"[a-z_]+", each.name)
    assert all(re.fullmatch(r"[a-z]+", label) for label in each.labels)
    assert not {"symbol", "account", "order", "user"} & set(each.labels)
    assert each.meaning.endswith(".")
    measured = re.search("^(Since|From|Bytes|Size|How long|By how much)", each.meaning)
    assert not measured or each.name.endswith(UNITS)


def test_no_metric_is_described_twice():
    assert len(KNOWN) == len(metrics.CAPTURE) + len(metrics.WEB)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_exported(rule):
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[0-9]+[smh]", rule.get("for", "0s"))
    assert rule["labels"]["severity"] in ("warning", "critical")
    expression, asked = rule["expr"], re.findall(r"gridbot_\w+", rule["expr"])
    assert asked
    assert set(asked) <= KNOWN.keys()
    assert [expression.count(each) for each in "([{"] == [expression.count(each) for each in ")]}"]
    for name, selector in re.findall(r"(gridbot_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", selector)) <= set(KNOWN[name].labels)
    shared = set.intersection(*(set(KNOWN[name].labels) for name in asked))
    assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= shared
    is_counter = [name for name in asked if KNOWN[name].kind == "counter"]
    assert all(re.search(rf"increase\({name}(\{{.*?\}})?\[", expression) for name in is_counter)


def test_alerts_have_names_of_their_own():
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) > 10


def test_the_stated_times_are_those_of_the_watchdog():
    [seconds] = re.findall(r"^WatchdogSec=([0-9]+)$", UNIT, re.MULTILINE)
    words = " ".join(PAGE.split())
    look = watchdog.LOOK_SECONDS
    assert f"makes no progress for {pulse.HUNG_SECONDS:.0f} seconds" in words
    assert f"the reconciler: {repairs.HUNG_SECONDS:.0f}, a repair" in words
    assert f"at most {look:.0f} seconds later" in words
    least = pulse.HUNG_SECONDS + look + int(seconds)
    most = repairs.HUNG_SECONDS + look + int(seconds)
    assert f"within {least:.0f} seconds (the reconciler: {most:.0f})" in words


def test_every_check_of_the_doctor_is_explained():
    explained = set(re.findall(r"^\| `([\w ]+)` \| ", PAGE.split("## doctor")[1], re.MULTILINE))
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "marketdata" / "doctor").glob("*.py")
    )
    called = re.findall(r"(?:Finding|error|warning)\(\s*\"([\w ]+)\",", source)
    assert explained == set(called)
    assert (machine.LOW_BYTES, machine.LEAST_BYTES) == (2 * 2**30, 200 * 2**20)
    assert (exchange.SKEW_WARNING, exchange.MOST_AHEAD, exchange.MOST_BEHIND) == (0.5, 1.0, 5.0)
