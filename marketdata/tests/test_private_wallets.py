"""Wallets: one record per coin, with the account's totals."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.tests.test_normalizer import payload
from marketdata.tests.test_private_samples import RECEIVED


def frame(*coins, **totals):
    """The real frame with a coin for each of these changes, and other totals."""
    message = payload("ws_private_wallet")
    [account] = message["data"]
    [coin] = account["coin"]
    account |= totals
    account["coin"] = [coin | change for change in coins or ({},)]
    return message


def test_a_dust_coin_costs_no_other_coin_its_record(normalizer):
    message = frame({"coin": "DUST", "walletBalance": ""}, {}, {"coin": "BTC"})
    records, [reject] = normalizer.wallet_records(message, RECEIVED)
    assert [record.coin for record in records] == ["USDT", "BTC"]
    assert reject.reason == "walletBalance is not a decimal number: ''"
    assert [coin["coin"] for coin in json.loads(reject.raw)["coin"]] == ["DUST"]


def test_each_coin_keeps_the_account_and_itself_alone(normalizer):
    message = frame({}, {"coin": "BTC"})
    first, second = normalizer.wallet_records(message, RECEIVED).records
    account = message["data"][0]
    assert first.raw_json == account | {"coin": [account["coin"][0]]}
    assert second.raw_json == account | {"coin": [account["coin"][1]]}
    assert len(account["coin"]) == 2


@pytest.mark.parametrize("value", ["", None])
def test_totals_that_are_not_given_are_empty(normalizer, value):
    totals = dict.fromkeys(
        ("totalEquity", "totalWalletBalance", "totalMarginBalance", "totalAvailableBalance",
         "totalInitialMargin", "totalMaintenanceMargin", "totalPerpUPL"), value,
    )  # fmt: skip
    [record], [] = normalizer.wallet_records(frame({"equity": value}, **totals), RECEIVED)
    assert record[-6:] == (None,) * 6
    assert (record.equity, record.wallet_balance) == (None, Decimal("11.47724524"))


def test_what_is_available_is_the_account_s(normalizer):
    message = frame({"availableToWithdraw": "999"}, totalAvailableBalance="6.5")
    [record], [] = normalizer.wallet_records(message, RECEIVED)
    assert record.available_balance == Decimal("6.5")


def test_the_other_spelling_of_a_total_is_taken(normalizer):
    message = frame()
    account = message["data"][0]
    account["totalPerpUpl"] = account.pop("totalPerpUPL")
    [record], [] = normalizer.wallet_records(message, RECEIVED)
    assert record.raw_json["totalPerpUpl"] == "0.00180123"


def test_a_debt_is_a_negative_balance(normalizer):
    [record], [] = normalizer.wallet_records(frame({"walletBalance": "-5"}), RECEIVED)
    assert record.wallet_balance == -5


def test_a_total_that_is_no_number_is_a_reject_for_each_coin(normalizer):
    parsed = normalizer.wallet_records(frame({}, {"coin": "BTC"}, totalEquity="x"), RECEIVED)
    assert parsed.records == []
    assert [reject.reason for reject in parsed.rejects] == [
        "totalEquity is not a decimal number: 'x'"
    ] * 2


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (None, "row is not an object: None"),
        ({}, "coin is missing"),
        ({"coin": {}}, "coin is not a list: a dict"),
        ({"coin": ["USDT"]}, "coin is not an object: 'USDT'"),
        ({"coin": [{}]}, "coin is missing"),
        ({"coin": [{"coin": ""}]}, "coin is not a plain word: ''"),
        ({"coin": [{"coin": "A", "walletBalance": "0", "x": "\x00"}]}, r"row holds NUL: '\x00'"),
    ],
)
def test_an_account_that_cannot_be_read_costs_no_other_its_coins(normalizer, account, reason):
    message = frame()
    message["data"].insert(0, account)
    records, [reject] = normalizer.wallet_records(message, RECEIVED)
    assert len(records) == 1
    assert (reject.topic, reject.reason) == ("wallet", reason)


def test_without_its_time_a_frame_is_refused_whole(normalizer):
    message = frame()
    del message["creationTime"]
    with pytest.raises(MalformedMessage, match="creationTime is missing"):
        normalizer.wallet_records(message, RECEIVED)


def test_a_frame_sent_twice_has_one_digest_and_another_state_another(normalizer):
    first, again, other = (
        BybitNormalizer().wallet_records(message, RECEIVED).records[0]
        for message in (frame(), frame({"equity": "11.479045240"}), frame({"equity": "11.48"}))
    )
    assert first.digest == again.digest != other.digest
