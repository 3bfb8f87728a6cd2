"""Readers of single settings."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from gridbot_site import environment


@pytest.fixture
def given(monkeypatch):
    return lambda value: monkeypatch.setenv("NAME", value)


def test_what_is_not_given_is_the_default():
    assert environment.flag("NAME", default=True) is True
    assert environment.whole_number("NAME", default=7, least=1) == 7
    assert environment.seconds("NAME", default=0.5) == 0.5
    assert environment.words("NAME", default=["a"]) == ["a"]
    assert environment.log_level("NAME", default="INFO") == "INFO"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), (" YES ", True), ("1", True), ("False", False), ("off", False), ("", False)],
)
def test_a_flag_is_yes_or_no(given, text, expected):
    given(text)
    assert environment.flag("NAME", default=not expected) is expected


@pytest.mark.parametrize("text", ["flase", "2", "tru", "none"])
def test_a_misspelt_flag_is_not_taken_for_a_no(given, text):
    given(text)
    with pytest.raises(ImproperlyConfigured, match=f"NAME must be true or false, not '{text}'"):
        environment.flag("NAME", default=True)


@pytest.mark.parametrize("text", ["", "x", "1.5", "0", "-1", "1e3"])
def test_a_whole_number_is_whole_and_large_enough(given, text):
    given(text)
    with pytest.raises(ImproperlyConfigured, match="NAME must be a whole number, 1 or more"):
        environment.whole_number("NAME", default=7, least=1)


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "0"])
def test_seconds_are_finite_and_above_zero(given, text):
    given(text)
    with pytest.raises(ImproperlyConfigured, match="NAME must be a number of seconds, above 0"):
        environment.seconds("NAME", default=7.0)


def test_seconds_may_be_zero_where_it_is_said(given):
    given("0")
    assert environment.seconds("NAME", default=7.0, positive=False) == 0
    given("-0.1")
    with pytest.raises(ImproperlyConfigured, match="0 or more"):
        environment.seconds("NAME", default=7.0, positive=False)


def test_words_lose_the_blanks_around_them(given):
    given(" BTCUSDT, ETHUSDT ,,")
    assert environment.words("NAME", default=[]) == ["BTCUSDT", "ETHUSDT"]


def test_a_log_level_has_a_name(given):
    given("debug")
    assert environment.log_level("NAME", default="INFO") == "DEBUG"
    given("LOUD")
    with pytest.raises(ImproperlyConfigured, match="NAME must be one of DEBUG, INFO"):
        environment.log_level("NAME", default="INFO")


def test_a_value_error_becomes_one_of_configuration():
    with pytest.raises(ImproperlyConfigured, match=r"^NAME: invalid literal"):
        environment.configured(lambda: int("x"), name="NAME")
    with pytest.raises(ImproperlyConfigured, match=r"^invalid literal"):
        environment.configured(lambda: int("x"))
    assert environment.configured(lambda: 1) == 1
