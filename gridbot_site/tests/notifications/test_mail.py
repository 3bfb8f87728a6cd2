"""Messages by e-mail, to a server that takes them and to one that does not."""

from __future__ import annotations

import logging

import pytest

from accounts.secret import Secret
from gridbot_site.notifications.conditions import Severity
from gridbot_site.notifications.message import Message
from gridbot_site.notifications.sending import Delivery, send_to_all, targets_of
from gridbot_site.tests.notifications.mail_server import REFUSED, mail_server
from gridbot_site.tests.notifications.receiver import PASSWORD

MESSAGE = Message("gridbot on here: 1 wrong", "CRITICAL capture down", Severity.CRITICAL)


@pytest.fixture
def mail():
    with mail_server() as server:
        yield server


def send(mail, *recipients, scheme="mailto"):
    to = ",".join(recipients or ("to@example.org",))
    url = f"{scheme}://canary:{PASSWORD}@127.0.0.1:{mail.port}?from=of@example.org&to={to}"
    [delivery] = send_to_all(targets_of([Secret(url)]), MESSAGE)
    return delivery


def test_a_letter_arrives_with_its_subject_and_its_lines(mail):
    assert send(mail) == Delivery(1, "mailto")
    [recipient], [letter] = mail.recipients, mail.letters
    assert "to@example.org" in recipient
    assert f"Subject: {MESSAGE.title}" in letter
    assert MESSAGE.body in letter


@pytest.mark.parametrize("scheme", ["mailto", "mailtos"])
def test_a_refusal_of_password_or_encryption_shows_none_of_it(mail, scheme, caplog):
    caplog.set_level(logging.DEBUG)
    mail.takes_password = False
    delivery = send(mail, scheme=scheme)
    assert delivery.problem.startswith("Connection error")
    assert (mail.letters, caplog.text) == ([], "")
    assert not any(part in repr(delivery) for part in ("canary", PASSWORD, "127.0.0.1"))


def test_an_address_of_two_takes_a_message_only_if_both_do(mail):
    assert send(mail, "to@example.org", REFUSED).problem
    assert len(mail.letters) == 1
