"""How faults are switched on and off, checked, timed, counted and told of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from marketdata.management.commands.sandbox import HELP
from marketdata.sandbox import SandboxConfig, SandboxServer
from marketdata.sandbox.faults import FAULTS, FaultBook, markdown, parse_order, read_order
from marketdata.sandbox.faults.table import PARAMETERS
from marketdata.sandbox.ledger import Ledger

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/sandbox.md"


def call(sandbox, method, path="fault", **body):
    return requests.request(method, f"{sandbox.rest_url}/sandbox/{path}", json=body, timeout=20)


class Book(FaultBook):
    """A book whose time stands still until it is told."""

    def __init__(self, seed=1):
        self.time = 100.0
        super().__init__(
            seed=seed, ledger=Ledger.off(), clock=lambda: 7, monotonic=lambda: self.time
        )

    def draws(self, occasions=100):
        return [self.fires("garbage") is not None for _ in range(occasions)]


# --- over HTTP -------------------------------------------------------------------------------


def test_a_fault_is_switched_on_listed_and_switched_off(sandbox):
    on = call(sandbox, "POST", name="late", delay=3, probability=0.5).json()
    assert on == {
        "number": 1, "name": "late", "delay": 3.0, "probability": 0.5, "fired": 0, "missed": 0,
    }  # fmt: skip
    call(sandbox, "POST", name="garbage")
    call(sandbox, "POST", name="garbage", count=2)
    assert [one["number"] for one in call(sandbox, "GET").json()["active"]] == [1, 2, 3]
    assert call(sandbox, "DELETE", number=3).json() == {"ended": 1}
    assert call(sandbox, "DELETE", name="garbage").json() == {"ended": 1}
    assert call(sandbox, "DELETE").json() == {"ended": 1}
    assert call(sandbox, "GET").json() == {"active": [], "fired": {}}


def test_what_fired_is_counted_logged_and_in_the_ledger(sandbox):
    call(sandbox, "POST", name="burst", trades=3)
    assert call(sandbox, "POST", name="reset").json()["missed"] == 1
    assert call(sandbox, "GET").json() == {"active": [], "fired": {"burst": 1}}
    (line,) = call(sandbox, "GET", "faults/log").json()["log"]
    assert (line["name"], line["hit"]) == ("burst", {"symbol": "BTCUSDT", "trades": 3})
    (recorded,) = [one for one in sandbox.ledger() if one["event"] == "fault"]
    assert recorded == {"event": "fault"} | line
    assert sandbox.fault_log() == [line]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"name": "nope"}, f"There is no fault 'nope'; there are {', '.join(FAULTS)}."),
        ({}, f"There is no fault None; there are {', '.join(FAULTS)}."),
        ({"name": ["reset"]}, f"There is no fault ['reset']; there are {', '.join(FAULTS)}."),
        (
            {"name": "reset", "seconds": 1},
            "reset takes no seconds; it takes channel, account, after, every, count.",
        ),
        (
            {"name": "freeze", "seconds": -1},
            "seconds cannot be -1: how long it lasts, at most 3600.",
        ),
        (
            {"name": "garbage", "probability": 2},
            "probability cannot be 2: of each occasion, from 0 to 1.",
        ),
        ({"name": "garbage", "count": 1.5}, "count cannot be 1.5: how often it fires at most."),
        ({"name": "garbage", "count": True}, "count cannot be True: how often it fires at most."),
        (
            {"name": "rate_limit", "reset": "now"},
            "reset cannot be 'now': the header that says when to return.",
        ),
        ({"name": "reset", "account": "nobody"}, "There is no account 'nobody'."),
        ({"name": "burst", "symbol": "NOPEUSDT"}, "There is no symbol 'NOPEUSDT'."),
        *(
            (
                {"name": "silence", "topic": topic},
                f"There is no topic {topic!r}; there are execution, order, position, publicTrade, "
                "tickers, wallet.",
            )
            for topic in ("publicTrades", "publicTrade.NOPEUSDT", "linear")
        ),
    ],
)
def test_a_wrong_order_is_told_so_in_a_sentence(sandbox, body, sentence):
    answer = call(sandbox, "POST", **body)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})
    assert call(sandbox, "GET").json()["active"] == []


def test_wrong_words_to_end_faults_are_told_so(sandbox):
    answer = call(sandbox, "DELETE", number="3")
    assert answer.json() == {"error": "name is a string, and number a whole number."}


# --- on the command line ---------------------------------------------------------------------


def test_faults_of_the_command_line_are_read_with_their_parameters():
    order = parse_order("rate_limit:path=/v5/order,reset=past,count=3,probability=0.25")
    assert (order.name, order.values) == (
        "rate_limit",
        {"path": "/v5/order", "reset": "past", "count": 3, "probability": 0.25},
    )
    assert parse_order("freeze").values == {"seconds": 1.0}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nope", "There is no fault 'nope'"),
        ("freeze:seconds", "'seconds' of fault freeze is no key=value."),
        ("freeze:seconds=nan", "seconds cannot be 'nan'"),
        ("freeze:seconds=", "seconds cannot be ''"),
    ],
)
def test_a_wrong_fault_on_the_command_line_is_a_usage_error(text, sentence):
    with pytest.raises(CommandError) as caught:
        call_command("sandbox", "--port", "0", "--fault", text)
    assert caught.value.returncode == 2
    assert str(caught.value).startswith(sentence)


def test_a_sandbox_may_begin_with_faults():
    orders = tuple(map(parse_order, ("garbage", "burst:trades=2,count=3,every=0.01")))
    with SandboxServer(SandboxConfig(rate=0, faults=orders)) as sandbox:
        sandbox.wait_for(lambda status: status["traded"]["BTCUSDT"] == 6)
        sandbox.wait_for(lambda status: status["traded"]["BTCUSDT"] == 6)
        assert sandbox.faults()["fired"] == {"burst": 3}


def test_an_act_that_is_ended_leaves_nothing_behind():
    orders = (parse_order("burst:after=3600"), parse_order("refuse:after=3600"))
    with SandboxServer(SandboxConfig(rate=0, faults=orders)) as sandbox:
        assert sandbox.end_faults() == 2
        assert sandbox.faults() == {"active": [], "fired": {}}


def test_a_port_that_was_shut_opens_by_itself(sandbox):
    sandbox.fault("refuse", seconds=0.01)
    while sandbox.faults()["active"]:
        pass
    assert requests.get(f"{sandbox.rest_url}/v5/market/time", timeout=20).status_code == 200


# --- when they fire --------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_occasions():
    first, second, other = Book(), Book(), Book(seed=2)
    for book in (first, second, other):
        book.arm(parse_order("garbage:probability=0.5"))
    draws = first.draws()
    assert draws == second.draws() != other.draws()
    assert 30 < sum(draws) < 70
    assert first.fired["garbage"] == sum(draws)


def test_a_fault_lasts_as_long_and_fires_as_often_as_it_is_told():
    book = Book()
    book.arm(parse_order("garbage:after=10,seconds=5,count=2"))
    assert book.draws(3) == [False] * 3
    book.time += 10
    assert book.draws(3) == [True, True, False]
    book.arm(parse_order("garbage:seconds=5"))
    book.time += 5
    assert book.draws(3) == [False] * 3
    assert book.is_quiet


def test_a_fault_concerns_what_it_names_alone():
    order = read_order("silence", {"topic": "publicTrade", "symbol": "BTCUSDT"})
    assert order.concerns({"topic": "publicTrade.BTCUSDT", "symbol": "BTCUSDT"})
    assert not order.concerns({"topic": "publicTrade.ETHUSDT", "symbol": "ETHUSDT"})
    assert not order.concerns({"topic": "tickers.BTCUSDT", "symbol": "BTCUSDT"})
    assert not order.concerns({})


# --- documents -------------------------------------------------------------------------------


def test_help_and_documents_follow_from_the_table():
    assert all(re.search(rf"^  {name} +\S", HELP, re.MULTILINE) for name in FAULTS)
    assert markdown() in DOCUMENT.read_text()


def test_every_parameter_of_a_fault_is_one_that_is_read():
    assert {name for fault in FAULTS.values() for name in fault.takes} == PARAMETERS.keys()
    for fault in FAULTS.values():
        assert json.dumps(dict(read_order(fault.name, fault.defaults).values))
