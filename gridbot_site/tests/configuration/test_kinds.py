"""Kinds of settings: what each takes, and what is said of anything else."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured

from gridbot_site.configuration import kinds, own_kinds
from gridbot_site.configuration.of_data import Capture
from gridbot_site.configuration.setting import Section, Setting


def of(kind, default=""):
    """A setting of a kind, with the name NAME."""

    class Sample(Section):
        NAME = Setting(kind=kind, default=default, purpose="")

    return Sample.NAME


def read(kind, text):
    return of(kind).read({"NAME": text})


def test_what_is_not_given_is_the_default(monkeypatch):
    setting = of(kinds.whole_number(least=1), "7")
    monkeypatch.delenv("NAME", raising=False)
    assert setting.read() == setting.read({}) == 7
    monkeypatch.setenv("NAME", "8")
    assert setting.read() == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), (" YES ", True), ("1", True), ("False", False), ("off", False), ("", False)],
)
def test_a_flag_is_yes_or_no(text, expected):
    assert of(kinds.flag(), str(not expected)).read({"NAME": text}) is expected


@pytest.mark.parametrize("text", ["flase", "2", "tru", "none"])
def test_a_misspelt_flag_is_not_taken_for_a_no(text):
    with pytest.raises(ImproperlyConfigured, match=f"^NAME must be true or false, not '{text}'.$"):
        read(kinds.flag(), text)


@pytest.mark.parametrize("text", ["", "x", "1.5", "0", "-1", "1e3"])
def test_a_whole_number_is_whole_and_large_enough(text):
    with pytest.raises(ImproperlyConfigured, match="NAME must be a whole number, 1 or more, not "):
        read(kinds.whole_number(least=1), text)
    assert read(kinds.whole_number(least=1), " 1 ") == 1


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "0"])
def test_seconds_are_finite_and_above_zero(text):
    with pytest.raises(ImproperlyConfigured, match="NAME must be a number of seconds, above 0"):
        read(kinds.seconds(), text)


def test_seconds_may_be_zero_where_it_is_said():
    assert read(kinds.seconds(positive=False), "0") == 0
    with pytest.raises(ImproperlyConfigured, match="0 or more"):
        read(kinds.seconds(positive=False), "-0.1")


@pytest.mark.parametrize("text", ["", "soon", "1.9", "86401", "nan", "-5"])
def test_a_number_lies_between_its_bounds(text):
    kind = kinds.number(least=2, most=86_400)
    with pytest.raises(ImproperlyConfigured, match="NAME must be a number from 2 to 86400, not "):
        read(kind, text)
    assert [read(kind, "2"), read(kind, "86400")] == [2, 86_400]


def test_words_lose_the_blanks_around_them():
    assert read(kinds.words("symbols"), " BTCUSDT, ETHUSDT ,,") == ["BTCUSDT", "ETHUSDT"]


def test_a_log_level_has_a_name():
    assert read(kinds.log_level(), "debug") == "DEBUG"
    with pytest.raises(
        ImproperlyConfigured, match=r"NAME must be one of DEBUG, INFO.*, not 'LOUD'"
    ):
        read(kinds.log_level(), "loud")


def test_a_token_is_long_or_nothing_and_never_repeated():
    with pytest.raises(ImproperlyConfigured, match=r"^NAME: it must have 32 char") as error:
        read(kinds.token(), "hush")
    assert "hush" not in str(error.value)
    assert [read(kinds.token(), ""), read(kinds.token(), "x" * 32)] == ["", "x" * 32]


def test_an_age_is_between_an_hour_and_a_century_or_for_ever():
    assert read(own_kinds.AGE, "") is None
    assert read(own_kinds.AGE, "90d") == timedelta(days=90)
    with pytest.raises(ImproperlyConfigured, match=r"^NAME: '5m' is no age to keep: from 1h to"):
        read(own_kinds.AGE, "5m")


def test_an_exchange_environment_is_one_that_there_is():
    assert read(own_kinds.ENVIRONMENT, "") is None
    assert read(own_kinds.ENVIRONMENT, " MAINNET ") == "mainnet"
    with pytest.raises(ImproperlyConfigured, match=r"^NAME: Unknown environment 'moon'; it is one"):
        read(own_kinds.ENVIRONMENT, "moon")


def test_networks_are_networks():
    assert read(own_kinds.NETWORKS, "10.0.0.0/24, ::1") == [
        ip_network("10.0.0.0/24"),
        ip_network("::1"),
    ]
    with pytest.raises(ImproperlyConfigured, match=r"^NAME: 10.0.0.1/24 has host bits set"):
        read(own_kinds.NETWORKS, "10.0.0.1/24")


def test_a_server_s_url_is_checked_or_nothing():
    kind = own_kinds.url("https", "http")
    assert [read(kind, ""), read(kind, "http://127.0.0.1:8765/")] == ["", "http://127.0.0.1:8765"]
    with pytest.raises(ImproperlyConfigured, match=r"^NAME must use https: plain http is"):
        read(kind, "http://exchange.example")
    with pytest.raises(ImproperlyConfigured, match=r"^NAME must be a http or https URL"):
        read(kind, "wss://exchange.example")


def test_the_mainnet_is_taken_by_nobody_who_does_not_say_so():
    for given in ({}, {"EVENTSAVER_TESTNET": ""}, {"EVENTSAVER_TESTNET": " "}):
        assert Capture.EVENTSAVER_TESTNET.read(given) is True
    assert Capture.EVENTSAVER_TESTNET.read({"EVENTSAVER_TESTNET": "no"}) is False
