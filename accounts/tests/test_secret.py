"""A secret shows itself to nobody who does not ask."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import sys
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import pytest
from django.views.debug import ExceptionReporter

from accounts.redaction import REDACTED, without_secrets
from accounts.secret import Secret, held_secrets

CANARY = "canary-0123456789-canary"


@dataclass
class Holder:
    secret: Secret


def test_it_is_revealed_on_demand_alone():
    secret = Secret(CANARY)
    assert secret.reveal() == Secret(secret).reveal() == CANARY
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>9}", f"{secret:x}", "%s" % secret]  # noqa: UP031
    shown += [repr([secret]), repr({"a": secret}), repr(Holder(secret)), "{}".format(secret)]  # noqa: UP032
    assert "canary" not in "".join(shown)


def test_no_log_holds_it(caplog):
    caplog.set_level(logging.DEBUG)
    try:
        raise ValueError(Secret(CANARY))
    except ValueError:
        logging.getLogger("a").exception("with %s and %r", Secret(CANARY), Holder(Secret(CANARY)))
    assert "<secret>" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "take", [copy.copy, copy.deepcopy, json.dumps, object.__reduce__, lambda s: s.__getstate__()]
)
def test_it_is_neither_copied_nor_written_as_json(take):
    with pytest.raises(TypeError) as error:
        take(Secret(CANARY))
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol):
    with pytest.raises(TypeError):
        pickle.dumps(Holder(Secret(CANARY)), protocol)


def test_an_error_report_shows_its_frames_without_it(rf):
    def fail(holder):
        secret = holder.secret
        raise RuntimeError(secret)

    try:
        fail(Holder(Secret(CANARY)))
    except RuntimeError:
        report = ExceptionReporter(rf.get("/"), *sys.exc_info())
    assert "&lt;secret&gt;" in (page := report.get_traceback_html())
    assert '"secret' not in page
    # The test's own text is in the page: its source line, and no value of a variable.
    values = [value for frame in report.get_traceback_frames() for value in frame["vars"]]
    assert values
    assert CANARY not in str(values)


def test_two_are_equal_when_their_texts_are():
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert {Secret("ä\ud800"): 1}[Secret("ä\ud800")] == 1
    assert Secret("a")
    assert not Secret("")


@pytest.mark.parametrize(
    "write",
    [str, quote, quote_plus, lambda text: base64.b64encode(text.encode()).decode()],
    ids=["plain", "in a URL", "in a query", "base64"],
)
def test_what_is_held_is_taken_out_of_every_text(write):
    secret = Secret("c4nary+4 /711=é")
    # What fills base64 up to its end says nothing.
    told = without_secrets(f"it is {write(secret.reveal())}.").replace("=", "")
    assert told == f"it is {REDACTED}."
    del secret
    assert without_secrets("it is c4nary+4 /711=é.") == "it is c4nary+4 /711=é."


@pytest.mark.parametrize("write", [repr, json.dumps, lambda text: repr({"it": ValueError(text)})])
@pytest.mark.parametrize("text", ["c4nary-\\-'-\"-é", "c4nary-'-0123", 'c4nary-"-0123\n'])
def test_what_is_held_is_taken_out_of_what_quotes_it(write, text):
    secret = Secret(text)
    told = without_secrets(f"it is {write(secret.reveal())}")
    assert "c4nary" not in told
    assert REDACTED in told


def test_what_is_short_is_found_in_words_and_left_there():
    secret = Secret("word")
    assert without_secrets("a password in words") == "a password in words"
    assert secret


def test_two_of_one_text_are_held_until_both_are_gone():
    text = "held twice, 0123456789"
    first, second = Secret(text), Secret(text)
    del first
    assert without_secrets(text) == REDACTED
    del second
    assert text not in held_secrets()


@pytest.mark.parametrize(
    "address", ["postgresql://me:hush@host/db", "https://me:hush@very@host/a?b=c", "x://hush@host"]
)
def test_who_signs_in_at_an_address_is_taken_out_of_it(address):
    told = without_secrets(f"connection to {address} failed")
    assert "hush" not in told
    assert f"://{REDACTED}@host" in told
