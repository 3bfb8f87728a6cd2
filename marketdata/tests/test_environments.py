"""Environments, and which endpoints are accepted."""

from __future__ import annotations

import pytest

from marketdata.bybit.environments import (
    Environment,
    checked_url,
    host_and_port,
    is_loopback,
)


@pytest.mark.parametrize("text", ["mainnet", "testnet", "demo", "sandbox"])
def test_an_environment_is_known_by_its_name(text):
    assert Environment.parse(f" {text.upper()} ") == text


def test_without_a_name_the_testnet_flag_decides():
    assert Environment.parse("") is Environment.TESTNET
    assert Environment.parse("", testnet=False) is Environment.MAINNET


def test_a_name_wins_over_the_testnet_flag():
    assert Environment.parse("mainnet", testnet=True) is Environment.MAINNET


def test_an_unknown_environment_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"'prod'; it is one of mainnet, testnet, demo, sandbox"):
        Environment.parse("prod")


@pytest.mark.parametrize(
    "url",
    [
        "http://exchange.example",
        "http://192.168.1.10:8080",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://[2001:db8::1]",
    ],
)
def test_plain_http_is_refused_anywhere_but_on_loopback(url):
    with pytest.raises(ValueError, match="BYBIT_REST_URL must use https"):
        checked_url(url, "BYBIT_REST_URL", {"http", "https"})


@pytest.mark.parametrize(
    "url",
    ["exchange.example", "ws://127.0.0.1", "https://", "ftp://127.0.0.1", "http://127.0.0.1:port",
     "http://[::1", "http://127.0.0.1:99999", "//127.0.0.1", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_http_url_is_refused(url):
    with pytest.raises(ValueError, match="must be a http or https URL"):
        checked_url(url, "BYBIT_REST_URL", {"http", "https"})


@pytest.mark.parametrize(
    "url",
    ["https://me:canary@exchange.example", "https://me@exchange.example",
     "https://exchange.example?canary=1", "https://exchange.example/#canary"],
)  # fmt: skip
def test_a_url_with_more_than_host_port_and_path_is_refused_without_repeating_it(url):
    with pytest.raises(ValueError, match="of host, port and path alone") as caught:
        checked_url(url, "BYBIT_REST_URL", {"https"})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_known_by_name_and_address(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "0.0.0.0", "::", "localhost.example", "127.1"])
def test_other_hosts_are_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("db.example:65535", ("db.example", 65_535)),
        ("[::1]:9464", ("::1", 9464)),
    ],
)
def test_a_place_is_a_host_and_a_port(text, place):
    assert host_and_port(text) == place


@pytest.mark.parametrize(
    "text",
    ["", "9464", "host", "host:", ":1", "host:65536", "host:1a", "host:\u0661", "host:-1", "a b:1",
     "::1:9464", "[::1:9464", "[]:1", "[::1]9464"],
)  # fmt: skip
def test_what_is_no_place_is_refused(text):
    with pytest.raises(ValueError, match="is no HOST:PORT"):
        host_and_port(text)
