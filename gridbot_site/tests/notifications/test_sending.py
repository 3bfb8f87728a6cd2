"""Messages reach a real server, hang at none, and show no address."""

from __future__ import annotations

import io
import logging
import re
import urllib.parse

import pytest
from django.core.management import CommandError, call_command
from django.views.debug import technical_500_response

from accounts.secret import Secret
from gridbot_site import checks
from gridbot_site.notifications import sending
from gridbot_site.notifications.conditions import Severity
from gridbot_site.notifications.message import Message
from gridbot_site.notifications.sending import BUSY, LATE, Delivery, send_to_all, targets_of
from gridbot_site.tests.notifications.receiver import PASSWORD, TOKEN
from gridbot_site.tests.test_settings import manage

MESSAGE = Message("gridbot on here: 1 wrong", "CRITICAL capture down: ...", Severity.CRITICAL)
CANARIES = (TOKEN, PASSWORD, urllib.parse.unquote(PASSWORD))
NOT_ONE = Secret("nosuch://canary-token-4711")


def notify(*options):
    """What the command says, and its exit code."""
    said, code = io.StringIO(), 0
    try:
        call_command("notify", *options, stdout=said, stderr=said)
    except SystemExit as error:
        code = error.code
    return said.getvalue(), code


def test_a_message_arrives_with_its_title_its_lines_and_how_grave_it_is(receiver):
    [delivery] = send_to_all(targets_of([receiver.url]), MESSAGE)
    assert delivery == Delivery(1, "json")
    [got] = receiver.received
    assert (got["title"], got["message"], got["type"]) == (MESSAGE.title, MESSAGE.body, "failure")


def test_a_refusal_is_said_without_any_part_of_the_address(receiver, caplog):
    caplog.set_level(logging.DEBUG)
    receiver.status = 403
    [delivery] = send_to_all(targets_of([receiver.url]), MESSAGE)
    assert "403" in delivery.problem
    assert not any(canary in f"{delivery} {caplog.text}" for canary in (*CANARIES, "127.0.0.1"))
    assert (TOKEN in receiver.url.reveal(), caplog.text) == (True, "")


def test_nobody_listens(receiver, unused_port):
    url = Secret(f"json://user:{PASSWORD}@127.0.0.1:{unused_port}/{TOKEN}")
    first, second = send_to_all(targets_of([url, receiver.url]), MESSAGE)
    assert first.problem
    assert not any(canary in repr(first) for canary in CANARIES)
    assert second == Delivery(2, "json")


def test_one_that_never_answers_holds_up_nobody(receiver, monkeypatch):
    # The server lets go when the test is over: who waited for it would not come back.
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.3)
    receiver.status = 0
    targets = targets_of([receiver.url])
    assert send_to_all(targets, MESSAGE) == [Delivery(1, "json", LATE.format(0.3))]
    assert receiver.arrived.wait(10)
    assert send_to_all(targets, MESSAGE) == [Delivery(1, "json", BUSY)]
    assert len(receiver.received) == 1


@pytest.mark.parametrize("part", [*CANARIES, "127.0.0.1", "canary%2Fpass@127.0.0.1"])
def test_what_apprise_repeats_of_an_address_is_not_passed_on(receiver, monkeypatch, part):
    def refuse(*args, **kwargs):
        logging.getLogger("apprise").warning("POST to %s: %s", part, "no")
        return False

    monkeypatch.setattr("apprise.NotifyBase.notify", refuse)
    [delivery] = send_to_all(targets_of([receiver.url]), MESSAGE)
    assert part not in delivery.problem
    assert re.fullmatch(r"POST to \S+: no", delivery.problem)


def test_a_plug_in_that_fails_is_named_by_its_error_alone(receiver, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("apprise.NotifyBase.notify", fail)
    assert send_to_all(targets_of([receiver.url]), MESSAGE) == [Delivery(1, "json", "RuntimeError")]


def test_an_address_that_apprise_does_not_know_is_named_by_its_position(settings, receiver, caplog):
    caplog.set_level(logging.DEBUG)
    settings.GRIDBOT_NOTIFY_URLS = (receiver.url, NOT_ONE, Secret("canary-token-4711"))
    wrong = checks.notification_addresses(None)
    assert [each.id for each in wrong] == ["gridbot.E005"] * 2
    assert [each.msg.partition("address ")[2][0] for each in wrong] == ["2", "3"]
    for command in ("notify", "watch"):
        with pytest.raises(CommandError, match="address 2 is no address") as caught:
            call_command(command)
        assert caught.value.returncode == 4
    assert not any(canary in f"{wrong} {caplog.text}" for canary in CANARIES)


def test_without_addresses_nothing_is_checked_and_the_command_says_so(settings):
    settings.GRIDBOT_NOTIFY_URLS = ()
    assert checks.notification_addresses(None) == []
    with pytest.raises(CommandError, match="no address") as caught:
        call_command("notify", "--test")
    assert caught.value.returncode == 4


def test_a_file_of_comments_ends_only_what_sends_to_its_addresses(tmp_path):
    (tmp_path / "gridbot-notify-urls").write_text("# tgram://TOKEN/CHAT\n", encoding="utf-8")
    given = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert (done := manage("check", **given)).returncode == 0, done.stderr
    said = "CREDENTIALS_DIRECTORY/gridbot-notify-urls holds no address: write one on each line."
    for command in (("notify",), ("watch", "--once")):
        done = manage(*command, **given)
        assert (done.returncode, said in done.stderr) == (4, True), done.stderr


def test_the_command_lists_and_tries_each_address(settings, receiver):
    settings.GRIDBOT_NOTIFY_URLS = (receiver.url, receiver.url)
    assert notify() == ("1 json\n2 json\n", 0)
    assert receiver.received == []
    assert notify("--test") == ("1 json: taken\n2 json: taken\n", 0)
    assert len(receiver.received) == 2
    receiver.status = 500
    said, code = notify("--test")
    assert (code, "1 json: " in said, "taken" in said) == (1, True, False)
    assert not any(canary in said for canary in CANARIES)


@pytest.mark.parametrize("name", ["GRIDBOT_NOTIFY_URLS", "DATABASE_URL", "EVENTSAVER_DATABASE_URL"])
def test_no_error_page_shows_an_address(rf, name):
    # As under runserver, where the environment of the process is part of each request.
    request = rf.get(
        "/", **{name: f"json://user:{PASSWORD}@here/{TOKEN}", "LANG": "canary-of-ours"}
    )
    html = technical_500_response(request, ValueError, ValueError("?"), None).content.decode()
    assert (name in html, "canary-of-ours" in html) == (True, True)
    assert not any(canary in html for canary in CANARIES)


def test_no_setting_shows_an_address(settings, receiver):
    settings.GRIDBOT_NOTIFY_URLS = (receiver.url,)
    assert repr(settings.GRIDBOT_NOTIFY_URLS) == "(<secret>,)"
