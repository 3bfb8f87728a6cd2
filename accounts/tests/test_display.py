"""Values as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts.display import coloured_amount, coloured_side, readable, redacted_text
from accounts.redaction import REDACTED, names_a_secret, redacted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (Decimal("0.000000120000"), "0.00000012"),
        (Decimal("1000.000000000000"), "1000"),
        (Decimal("0E-12"), "0"),
        (Decimal("-1.50"), "-1.5"),
        (
            datetime(2026, 1, 2, 3, 4, 5, 6789, tzinfo=UTC),
            '<span class="nowrap">2026-01-02 03:04:05.006</span>',
        ),
        ({"é": ["<"]}, "<pre>{\n &quot;é&quot;: [\n  &quot;&lt;&quot;\n ]\n}</pre>"),
        ([], "<pre>[]</pre>"),
        ("a text in JSON", "a text in JSON"),
    ],
)
def test_a_value_is_shown_as_a_person_reads_it(value, text):
    assert str(readable(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Buy", '<span class="side-buy">Buy</span>'),
        ("Sell", '<span class="side-sell">Sell</span>'),
        ("", "-"),
        ("<b>", "<b>"),
    ],
)
def test_a_side_has_its_colour(value, text):
    assert coloured_side(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (Decimal("0E-12"), "0"),
        (Decimal("1.50"), '<span class="gain">+1.5</span>'),
        (Decimal("-1.50"), '<span class="loss">-1.5</span>'),
    ],
)
def test_a_profit_has_its_sign_and_its_colour(value, text):
    assert coloured_amount(value) == text


@pytest.mark.parametrize(
    "key",
    [
        *("apiKey", "api_key", "API-KEY", "apikey", "X-BAPI-API-KEY", "X-BAPI-SIGN", "secret"),
        *("apiSecret", "client_secret", "sign", "signature", "token", "accessToken", "password"),
        *("dbPassword", "passphrase", "Authorization", "privateKey", "secretKey", "SECRET"),
        *("apiKeys", "secrets", "passwd", "Set-Cookie", "bearer", "otp_token"),
        *("sessionid", "__Host-sessionid", "csrftoken", "csrfmiddlewaretoken", "X-CSRFToken"),
    ],
)
def test_keys_of_secrets_are_known(key):
    assert names_a_secret(key)


@pytest.mark.parametrize(
    "key",
    ["orderId", "side", "signal", "assigned", "design", "key", "keyword", "tokens_left", "symbol"],
)
def test_other_keys_are_left_alone(key):
    assert not names_a_secret(key)


def test_json_is_redacted_at_any_depth_and_not_changed():
    value = {"a": [{"apiKey": "canary", "b": 1}], "secret": {"deep": ["canary"]}, "sign": None}
    before = str(value)
    assert redacted(value) == {"a": [{"apiKey": REDACTED, "b": 1}], "secret": REDACTED} | {
        "sign": REDACTED
    }
    assert str(value) == before
    assert "canary" not in readable(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"apiKey": "canary", "b": 1}',
        '[{"sign": "canary"}]',
        '{"op": "auth", "secret": "canary", "b": … cut',
        "{'token': 'canary'}",
        "https://example.com/?api_key=canary&b=1",
        "password: canary",
        "Authorization: Bearer canary",
        '{"secret": "two canary", cut',
        '{"secret": "a \\"canary\\"", cut',
        '{"text": "{\\"secret\\": \\"canary\\"}", cut',
        '{"token": ["a", "canary"], cut',
        '{"text": "{\\"secret\\": \\"canary\\"}"}',
        '{"url": "https://example.com/?api_key=canary"}',
        '{"headers": [["X-BAPI-SIGN", "canary"]]}',
        '{"op": "auth", "args": ["canary", 1700000000000, "canary"]}',
    ],
)
def test_a_text_as_received_loses_what_looks_like_a_secret(text):
    shown = redacted_text(text)
    assert "canary" not in shown
    assert REDACTED in shown


def test_a_text_as_received_is_otherwise_as_it_was():
    assert redacted_text("price: abc <b>") == "<pre>price: abc &lt;b&gt;</pre>"
    assert redacted_text('{"p": "abc"}') == "<pre>{\n &quot;p&quot;: &quot;abc&quot;\n}</pre>"
    assert "[[[[" in redacted_text("[" * 100_000)


@pytest.mark.parametrize("piece", ["a", "a-", "a ", "\\", '\\"', "secret:"])
def test_a_long_text_is_no_work(piece):
    # As long as quarantine keeps them. Work that grows with the square ends at the time limit.
    text = "a" + piece * (65_536 // len(piece))
    assert redacted_text(text).startswith("<pre>a")
    assert piece[0] in readable({"text": text})
