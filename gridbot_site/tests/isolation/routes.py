"""Every URL that there is, found by the resolver, and what is asked of each.

A question comes as a pair where it names a row or a value: once it is the stranger's, once
nobody's. Both must be answered with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from django.contrib import admin
from django.db import models
from django.urls import URLPattern, get_resolver

from accounts.models import User
from accounts.tenant_admin import _parameters
from gridbot_site.tests.isolation.models import (
    CANARY,
    DAYS,
    NOBODY,
    NUMBERS,
    Scene,
    beyond,
    mark,
    nobody,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
# What a search box may find a row by.
WORDS = (models.CharField, models.TextField, models.UUIDField, models.ForeignKey)
LOOKUPS = ("", "__startswith")
# Where the key of a row stands in a URL.
PLACE = re.compile(r"<[^>]+>")
ADD_VERDICT = "add its kind to LISTS, ROWS, FORMS or SITE in gridbot_site/tests/isolation/routes.py"


class Route(NamedTuple):
    """A URL pattern; `model` is that of its page, `kind` the page's name, or the whole name."""

    url: str
    kind: str
    model: type[models.Model] | None

    def __str__(self) -> str:
        return f"{self.model._meta.label_lower}:{self.kind}" if self.model else self.kind


class Question(NamedTuple):
    """What is asked, how, and with what that is somebody's; `nobodys` is None for no such thing."""

    variant: str
    method: str
    url: str
    data: Mapping[str, Any]
    somebodys: str = ""
    nobodys: str | None = None
    signed_in: bool = True

    def twin(self) -> Question:
        """The same question about what does not exist."""
        data = {name: _swapped(value, self) for name, value in self.data.items()}
        return self._replace(url=_swapped(self.url, self), data=data, somebodys=self.nobodys or "")


def _swapped(value: Any, question: Question) -> Any:
    if isinstance(value, list):
        return [_swapped(each, question) for each in value]
    return str(value).replace(question.somebodys, question.nobodys or "")


# --- Finding ------------------------------------------------------------------------------


def routes() -> list[Route]:
    """All of them, each once."""
    return list(dict.fromkeys(_walk(get_resolver().url_patterns, "/", "")))


def _walk(patterns: Any, prefix: str, namespace: str) -> Iterator[Route]:
    for entry in patterns:
        url = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield _route(url, entry, namespace)
        else:
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from _walk(entry.url_patterns, url, inner)


def _route(url: str, entry: URLPattern, namespace: str) -> Route:
    name = entry.name or ""
    for model in admin.site._registry:
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        if url.startswith(path):
            own = f"{model._meta.app_label}_{model._meta.model_name}_"
            return Route(url, name.removeprefix(own) or "old address", model)
    return Route(url, namespace + name if name else url, None)


def questions(route: Route, scene: Scene) -> Iterator[Question]:
    """Everything that is asked of a route; AssertionError where nobody has said what."""
    table = KINDS if route.model else SITE
    if route.kind not in table:
        raise AssertionError(f"No verdict for the URL {route.url} ({route}): {ADD_VERDICT}.")
    yield from table[route.kind](route, scene)


def _plain(route: Route, scene: Scene) -> Iterator[Question]:
    for method in METHODS:
        yield Question("plain", method, route.url, {})


def _asked(name: str, route: Route, values: tuple[str, str], **more: Any) -> Question:
    return Question(f"?{name}", "GET", route.url, {name: values[0], **more}, *values)


def _values(scene: Scene, model: type[models.Model]) -> Iterator[tuple[Any, tuple[str, str]]]:
    """Each column with a value of the stranger's, and one that nobody has."""
    for number, column in enumerate(model._meta.concrete_fields):
        theirs = getattr(scene.foreign[model], column.attname) if model in scene.foreign else None
        related: Any = column.remote_field.model if column.remote_field else None
        if related is not None and related not in scene.foreign:
            continue  # a kind of row that is nobody's
        key = related._meta.pk if related else column
        no = mark(key, NOBODY, number)
        if theirs not in (None, "") and no is not None and str(theirs) != str(no):
            yield column, (str(theirs), str(no))


def _list(route: Route, scene: Scene) -> Iterator[Question]:
    model = route.model
    assert model is not None
    yield from _plain(route, scene)
    yield from _filters(route, scene)
    if route.kind != "changelist":  # the same list by another view
        return
    for name in ("_popup", "all", "o", "p", "e", "oldest", "_facets", "_to_field"):
        yield Question(f"?{name}", "GET", route.url, {name: "id" if name == "_to_field" else "1"})
    for column, values in _values(scene, model):
        if isinstance(column, WORDS):
            yield _asked("q", route, values)._replace(variant=f"?q={column.name}")
        for lookup in LOOKUPS:
            yield _asked(column.name + lookup, route, values)
    for path, values in beyond(scene, model):
        yield _asked(path, route, values)
    micros = [f"{int(DAYS[who].timestamp() * 10**6)}-{NUMBERS[who]}" for who in (CANARY, NOBODY)]
    for name in ("older", "newer"):
        yield _asked(name, route, (micros[0], micros[1]))
    months = (f"{DAYS[CANARY]:%Y-%m}", f"{DAYS[NOBODY]:%Y-%m}")
    for name in ("at", "day", "from", "until"):
        yield Question(f"?{name}", "GET", route.url, {name: f"{DAYS[CANARY]:%Y-%m-%d}"}, *months)
    if model in scene.foreign:
        key = (str(scene.foreign[model].pk), nobody(model))
        for step in ({}, {"post": "yes"}):
            data = {"action": "delete_selected", "_selected_action": [key[0]], **step}
            yield Question(f"action {step}", "POST", route.url, data, *key)


def _filters(route: Route, scene: Scene) -> Iterator[Question]:
    """Each name that a filter of the page reads, with the stranger's row for it."""
    model = route.model
    page: Any = admin.site._registry[model]  # type: ignore[index]
    for name in {name for each in page.list_filter for name in _parameters(each)}:
        column = next((c for c in model._meta.concrete_fields if c.name == name), None)  # type: ignore[union-attr]
        if column is not None and column.remote_field:
            related: Any = column.related_model
            yield _asked(name, route, (str(scene.foreign[related].pk), nobody(related)))
        else:
            yield Question(f"?{name}", "GET", route.url, {name: "1"})


def _row(route: Route, scene: Scene) -> Iterator[Question]:
    """One's own row, and the stranger's beside nobody's, by every method."""
    model = route.model
    assert model is not None
    where = PLACE.sub("{}", route.url)
    if model not in scene.foreign:
        for method in METHODS:
            yield Question("nobody's", method, where.format(nobody(model)), {})
        return
    key, own = str(scene.foreign[model].pk), where.format(scene.own[model].pk)
    theirs = Question("the stranger's", "GET", where.format(key), {}, key, nobody(model))
    for method in METHODS:
        yield theirs._replace(method=method)
    sure = {"post": "yes", "_popup": "1"}
    yield theirs._replace(variant="the stranger's, surely", method="POST", data=sure)
    yield theirs._replace(variant="the stranger's, popping up", data={"_to_field": "id"} | sure)
    for method in ("GET", "POST"):
        yield Question("one's own", method, own, {})
    if route.kind == "change":
        yield from _posted(route, scene, own)


def _form(route: Route, scene: Scene) -> Iterator[Question]:
    """An empty form, and one with each column as the stranger's."""
    model = route.model
    yield from _plain(route, scene)
    for column, values in _values(scene, model) if model in scene.own else ():
        yield _asked(column.name, route, values)
    yield from _posted(route, scene, route.url)


def _posted(route: Route, scene: Scene, url: str) -> Iterator[Question]:
    model = route.model
    assert model is not None
    if model not in scene.own:
        return
    own = {
        column.name: getattr(scene.own[model], column.attname)
        for column in model._meta.concrete_fields
        if column.remote_field
    }
    for column, values in _values(scene, model):
        data = {name: value for name, value in own.items() if value is not None}
        data[column.name] = values[0]
        yield Question(f"post {column.name}", "POST", url, data, *values)


KINDS: dict[str, Callable[[Route, Scene], Iterator[Question]]] = {
    "changelist": _list,
    "export": _list,
    "add": _form,
    "change": _row,
    "delete": _row,
    "history": _row,
    "old address": _row,
    "pictures": _row,
    "dashboard": _row,
    "dashboard_live": _row,
    "auth_user_password_change": _row,
}


def _suggestions(route: Route, scene: Scene) -> Iterator[Question]:
    yield from _plain(route, scene)
    for model in scene.foreign:
        for column in model._meta.concrete_fields:
            related: Any = column.related_model
            if related is None:
                continue
            where = {
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name,
                "field_name": column.name,
            }
            yield Question(f"{model.__name__}.{column.name}", "GET", route.url, where)
            if related not in scene.foreign:
                continue
            words = (each for each in _values(scene, related) if isinstance(each[0], WORDS))
            for other, values in words:
                asked = _asked("term", route, values, **where)
                yield asked._replace(variant=f"{model.__name__}.{column.name}: {other.name}")


def _apps(route: Route, scene: Scene) -> Iterator[Question]:
    for label in sorted({model._meta.app_label for model in admin.site._registry}):
        for method in METHODS:
            yield Question(label, method, f"/admin/{label}/", {})


def _device(route: Route, scene: Scene) -> Iterator[Question]:
    """A page of the second factor, asked for somebody's device before and after a code."""
    for question in _plain(route, scene):
        yield question
        yield question._replace(variant="halfway in", signed_in=False)
    for model in (model for model in scene.foreign if model._meta.app_label.startswith("otp_")):
        if model.__name__ == "StaticToken":
            continue
        # A page names a device by its model and number, or by its number.
        for prefix in ("", f"{model._meta.label_lower}/"):
            values = (f"{prefix}{scene.foreign[model].pk}", f"{prefix}{nobody(model)}")
            names = ("otp_device", "device")
            data = dict.fromkeys(names, values[0]) | {"otp_token": "123456", "password": "wrong"}
            for signed_in in (True, False):
                variant = f"{model.__name__} {prefix} {signed_in}"
                yield Question(variant, "POST", route.url, data, *values, signed_in)


def _elsewhere(route: Route, scene: Scene) -> Iterator[Question]:
    for method in METHODS:
        yield Question("no such page", method, f"/admin/{scene.foreign[User].pk}", {})


SITE: dict[str, Callable[[Route, Scene], Iterator[Question]]] = {
    "/": _plain,
    "/favicon.ico": _plain,
    "healthz": _plain,
    "readyz": _plain,
    "metrics": _plain,
    "admin:index": _plain,
    "admin:dashboard_live": _plain,
    "admin:login": _plain,
    "admin:logout": _plain,
    "admin:jsi18n": _plain,
    "admin:password_change": _plain,
    "admin:password_change_done": _plain,
    "admin:autocomplete": _suggestions,
    "admin:app_list": _apps,
    "admin:second_factor": _device,
    "admin:second_factor_verify": _device,
    "admin:second_factor_add": _device,
    "admin:second_factor_remove": _device,
    "admin:second_factor_codes": _device,
    "/admin/(?P<url>.*)$": _elsewhere,
}
# Failures that are answers: the scene of a test is no capture that goes on.
EXPECTED = {("readyz", 503)}
