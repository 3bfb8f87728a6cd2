"""All questions, and those that a filter is asked for by name."""

from __future__ import annotations

from typing import NamedTuple

from gridbot_site.tests.isolation import asking, commands, doors
from gridbot_site.tests.isolation.filters import COMMANDS_ASKED, DOORS_ASKED
from gridbot_site.tests.isolation.models import Scene, tenant_models
from gridbot_site.tests.isolation.routes import questions, routes


class Size(NamedTuple):
    """How much there is to ask: every answer is searched for what is of every model."""

    models: int
    urls: int
    paths: int

    @property
    def pairs(self) -> int:
        """Of a model and a path."""
        return self.models * self.paths

    def __str__(self) -> str:
        return (
            f"{self.pairs:,} pairs: {self.models} tenant models x {self.paths:,} paths "
            f"({self.urls} URLs with every method, filter and form, and commands)"
        )


def size(scene: Scene) -> Size:
    """The questions, counted and not asked."""
    found = routes()
    asked = {
        (route, question.method, question.variant)
        for route in found
        for question in questions(route, scene)
    }
    lines = len(list(commands.asked(scene)))
    return Size(len(tenant_models()), len(found), len(asked) + lines)


def killers(asked: str, scene: Scene) -> list[str]:
    """What is found wrong by the doors, by the commands, or on the route of this name."""
    if asked == DOORS_ASKED:
        return doors.wrongs(scene)[0]
    if asked == COMMANDS_ASKED:
        return commands.wrongs(scene)[0]
    [route] = [route for route in routes() if str(route) == asked]
    return asking.wrongs(route, scene, asking.Browser(scene))[0]
