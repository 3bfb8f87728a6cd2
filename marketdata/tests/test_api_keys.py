"""What the exchange says of a key: read strictly, judged by what it permits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from marketdata.bybit.api_keys import api_key_information
from marketdata.bybit.errors import MalformedMessage
from marketdata.key_check import ANYWHERE, NOT_UNIFIED, refusal_of, warnings_of
from marketdata.tests import test_rest_client as rest
from marketdata.tests.test_normalizer import payload

server = rest.server
client = rest.client

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def result(**changes):
    answer = payload("http_get_api_key_information")["result"] | changes
    return {name: value for name, value in answer.items() if value is not ...}


def test_a_documented_answer_is_read(server, client):
    server.say(payload("http_get_api_key_information"))
    known = client.get_api_key_information()
    assert server.requests[-1][0] == "/v5/user/query-api"
    assert (known.uid, known.read_only, known.addresses) == (24617703, False, ())
    assert known.permissions["Wallet"] == ("AccountTransfer", "SubMemberTransferList")
    assert known.permissions["Earn"] == ()
    assert known.expires_at == datetime(2026, 12, 22, 7, 20, 25, tzinfo=UTC)
    assert known.is_unified is False


def test_nothing_of_the_key_itself_is_kept():
    assert "canary" not in repr(api_key_information(result()))


@pytest.mark.parametrize(
    ("text", "expires_at"),
    [
        ("2026-12-22T07:20:25Z", datetime(2026, 12, 22, 7, 20, 25, tzinfo=UTC)),
        ("2026-12-22T10:20:25+03:00", datetime(2026, 12, 22, 7, 20, 25, tzinfo=UTC)),
        ("", None), (None, None), (..., None), ("1970-01-01T00:00:00Z", None),
    ],
)  # fmt: skip
def test_a_key_without_an_expiry_has_none(text, expires_at):
    assert api_key_information(result(expiredAt=text)).expires_at == expires_at


def test_addresses_are_those_it_is_bound_to():
    assert api_key_information(result(ips=["10.0.0.1", "::1"])).addresses == ("10.0.0.1", "::1")
    assert api_key_information(result(ips=["10.0.0.1", "*"])).addresses == ()
    assert api_key_information(result(ips=[])).addresses == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"permissions": ...}, {"permissions": None}, {"permissions": []},
        {"permissions": {"Wallet": None}}, {"permissions": {"Wallet": "Withdraw"}},
        {"permissions": {"Wallet": [1]}}, {"permissions": {"Wallet": ["With draw"]}},
        {"permissions": {"Wal\nlet": []}}, {"permissions": {"x" * 65: []}},
        {"readOnly": ...}, {"readOnly": 2}, {"readOnly": True}, {"readOnly": "0"},
        {"userID": ...}, {"userID": "1"}, {"ips": ...}, {"ips": "*"}, {"ips": [None]},
        {"expiredAt": 5}, {"expiredAt": "soon"}, {"expiredAt": "2026-12-22T07:20:25"},
        {"uta": "1"}, {"uta": 7},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_as_a_whole(wrong):
    with pytest.raises(MalformedMessage):
        api_key_information(result(**wrong))


DANGEROUS = [
    ("Wallet", "Withdraw"), ("Wallet", "AccountTransfer"), ("Wallet", "SubMemberTransfer"),
    ("Wallet", "SubMemberTransferList"), ("Earn", "WITHDRAWAL"), ("New", "FiatTransferOut"),
]  # fmt: skip
HARMLESS = [
    ("ContractTrade", "Order"), ("ContractTrade", "Position"), ("Spot", "SpotTrade"),
    ("Options", "OptionsTrade"), ("Derivatives", "DerivativesTrade"),
    ("CopyTrading", "CopyTrading"), ("BlockTrade", "BlockTrade"), ("Exchange", "ExchangeHistory"),
    ("NFT", "NFTQueryProductList"), ("Affiliate", "Affiliate"), ("Earn", "Earn"),
]  # fmt: skip


@pytest.mark.parametrize(("group", "name"), DANGEROUS)
@pytest.mark.parametrize("read_only", [0, 1])
def test_a_key_that_may_move_money_is_refused(group, name, read_only):
    rights = {"ContractTrade": ["Order"], "Other": [], group: [name]}
    known = api_key_information(result(permissions=rights, readOnly=read_only))
    assert refusal_of(known) == f"The key may move money ({group}: {name}): make one that may not."


@pytest.mark.parametrize(("group", "name"), HARMLESS)
def test_other_permissions_are_no_reason_to_refuse_it(group, name):
    assert refusal_of(api_key_information(result(permissions={group: [name], "Wallet": []}))) == ""


def test_all_that_is_wrong_with_it_is_named():
    said = refusal_of(api_key_information(result()))
    assert "(Wallet: AccountTransfer, Wallet: SubMemberTransferList)" in said


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=14, seconds=1), None),
        (timedelta(days=14), "14 days"),
        (timedelta(days=7, seconds=1), "14 days"),
        (timedelta(days=7), "7 days"),
        (timedelta(days=1, seconds=1), "7 days"),
        (timedelta(days=1), "1 day:"),
        (timedelta(seconds=-1), "1 day:"),
    ],
)
def test_it_is_said_before_a_key_expires(left, said):
    known = api_key_information(result(ips=["10.0.0.1"], uta=1))
    found = warnings_of(replace(known, expires_at=NOW + left), NOW)
    assert len(found) == (said is not None)
    assert said is None or f"expires within {said}" in found[0]


def test_other_warnings():
    sound = result(ips=["10.0.0.1"], uta=1, expiredAt="")
    assert warnings_of(api_key_information(sound), NOW) == []
    assert warnings_of(api_key_information(sound | {"ips": ["*"]}), NOW) == [ANYWHERE]
    assert warnings_of(api_key_information(sound | {"uta": 0}), NOW) == [NOT_UNIFIED]
