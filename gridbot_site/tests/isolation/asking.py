"""Asking the site as the tenant, and judging what it says."""

from __future__ import annotations

import re
from html import escape
from http.cookies import SimpleCookie
from typing import NamedTuple
from urllib.parse import quote

from django.contrib.messages import get_messages
from django.db import transaction
from django.test import Client

from gridbot_site import second_factor
from gridbot_site.tests.isolation.models import Scene
from gridbot_site.tests.isolation.routes import EXPECTED, Question, Route, questions

NEW_EACH_TIME = re.compile(
    r"""csrf\w*"? (?:value=|: )?"\w+"|name="csrfmiddlewaretoken" value="\w+\""""
)

# Times of the answer, and the length of a body that repeats what was asked for.
NOT_TOLD = ("Expires", "Last-Modified", "Content-Length")


class Answer(NamedTuple):
    """All that an answer tells, without what was asked for and what is new each time."""

    status: int
    headers: str
    messages: str
    body: str


class Browser:
    """The tenant's browser; whatever it does is undone."""

    def __init__(self, scene: Scene) -> None:
        from django_otp import DEVICE_ID_SESSION_KEY
        from django_otp.plugins.otp_totp.models import TOTPDevice

        self._clients = {True: Client(raise_request_exception=False), False: Client()}
        for client in self._clients.values():
            client.force_login(scene.tenant)
        session = self._clients[True].session
        session[DEVICE_ID_SESSION_KEY] = scene.own[TOTPDevice].persistent_id
        # Made for the session when a page first shows it.
        session[second_factor.KEY] = "00" * 20
        session.save()
        self._cookies = {key: SimpleCookie(client.cookies) for key, client in self._clients.items()}

    def ask(self, question: Question) -> Answer:
        """The answer to a question."""
        client = self._clients[question.signed_in]
        # Whatever an answer left behind is no part of the next one.
        client.cookies = SimpleCookie(self._cookies[question.signed_in])
        client.cookies.pop("messages", None)
        with transaction.atomic():
            send = getattr(client, question.method.lower())
            response = (
                send(question.url)
                if question.method == "TRACE"
                else send(question.url, dict(question.data), **_form_of(question))
            )
            parts = response.streaming_content if response.streaming else [response.content]
            body = b"".join(parts).decode()
            said = str([str(each) for each in get_messages(response.wsgi_request)])
            transaction.set_rollback(True)
        headers = [each for each in response.headers.items() if each[0] not in NOT_TOLD]
        return Answer(
            response.status_code,
            _without(str(sorted(headers)), question),
            _without(said, question),
            _without(NEW_EACH_TIME.sub("", body), question),
        )


def _form_of(question: Question) -> dict[str, str]:
    if question.method in ("GET", "HEAD", "POST"):
        return {}
    return {"content_type": "application/json"}


def _without(text: str, question: Question) -> str:
    """`text` without an echo of what was asked for."""
    asked = question.somebodys
    if not asked:
        return text
    # What was typed into a form names the row that it would make.
    named = f"API key {asked[:4]}"
    for spelled in {asked, quote(asked), quote(asked, safe=""), escape(asked), named}:
        text = text.replace(spelled, "ASKED")
    return text


def wrongs(route: Route, scene: Scene, browser: Browser) -> tuple[list[str], set[str]]:
    """What is wrong with the answers of a route, and the paths that were asked for."""
    found, paths = [], set()
    for question in questions(route, scene):
        path = f"{route} {question.method} {question.variant}".strip()
        paths.add(path)
        answer = browser.ask(question)
        if answer.status >= 500 and (route.kind, answer.status) not in EXPECTED:
            found.append(f"{path}: {answer.status}")
        found += [f"{path}: shows {hit}" for hit in sorted(set(_hits(answer, scene)))]
        if question.nobodys is not None:
            other = browser.ask(question.twin())
            found += [
                f"{path}: the {part} tells the stranger's from nobody's"
                for part, one, two in zip(Answer._fields, answer, other, strict=True)
                if one != two
            ]
    return found, paths


def _hits(answer: Answer, scene: Scene) -> list[str]:
    return scene.canaries.findall(f"{answer.headers}{answer.messages}{answer.body}")
