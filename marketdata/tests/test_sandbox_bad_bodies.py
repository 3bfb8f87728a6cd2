"""Bodies that a client should not send are refused in the words of the exchange, never with HTTP 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from marketdata.tests import test_sandbox_trading_errors as errors
from marketdata.tests.test_sandbox_trading_errors import BATCH, CREATE, GOOD

sandbox, client = errors.sandbox, errors.client

TOO_LARGE = " " * (1 << 20) + "{}"


def nested(levels):
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["symbol", "orderLinkId"])
@pytest.mark.parametrize("value", [nested(300), {"a": 1}, 7, True, None])
def test_a_batch_echoes_texts_only(client, name, value):
    answer = client.post(BATCH, request=[GOOD, GOOD | {name: value, "qty": "0"}])
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 10001]
    assert answer["result"]["list"][1][name] == ""
    assert len(client.listed("/v5/order/realtime", symbol="BTCUSDT")) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_compressed_as_it_says(client, encoding):
    client._session.headers["Content-Encoding"] = encoding
    answer = client.post(CREATE, **GOOD)
    assert (answer["retCode"], answer["retMsg"]) == (
        10001, "params error: The body is not compressed as its headers say.",
    )  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_the_sandbox_says_so_of_a_body_for_itself(sandbox, method):
    url, headers = f"{sandbox.rest_url}/sandbox/fault", {"Content-Encoding": "gzip"}
    answer = requests.request(method, url, data=b"{}", headers=headers, timeout=20)
    assert (answer.status_code, answer.json()) == (
        400, {"error": "The body is not compressed as its headers say."},
    )  # fmt: skip


@pytest.mark.parametrize("path", [CREATE, BATCH])
def test_a_body_that_is_too_large(client, path):
    answer = client.post_raw(path, TOO_LARGE)
    assert (answer["retCode"], answer["retMsg"], answer["result"]) == (
        10001, "params error: The body is too large.", {},
    )  # fmt: skip


@pytest.mark.parametrize("value", [["x"], {"x": 1}, 7, None, nested(300)])
@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("break", "how"), ("break", "channel"), ("break", "account"), ("send", "text"),
        ("send", "topic"), ("send", "account"), ("account", "account"), ("account", "action"),
        ("account", "rate"), ("account", "refusal"), ("fault", "name"), ("fault", "seconds"),
        ("refuse", "seconds"), ("drain", "timeout"),
    ],
)  # fmt: skip
def test_a_value_of_any_kind_is_refused_or_done(sandbox, action, name, value):
    given = {"send": {"text": "x"}, "account": {"account": "alice"}, "fault": {"name": "freeze"}}
    body = json.dumps(given.get(action, {}) | {name: value})
    answer = requests.post(f"{sandbox.rest_url}/sandbox/{action}", data=body, timeout=20)
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or answer.json()["error"]
