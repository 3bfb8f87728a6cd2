"""A setting, and the sections that they are declared in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured

from gridbot_site.configuration.kinds import Kind

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Setting(Generic[T]):
    """An environment variable: what it is for, what it has to be, what it is without a word.

    Its name is that of the section's attribute. `default` is a text as one would write it;
    `by_default` says in words what an empty one comes to. `secret`: nobody is ever shown it.
    `example` is what `.env.example` gives it instead of the default, and `written` that it stands
    there without a comment sign.
    """

    kind: Kind[T]
    purpose: str
    default: str = ""
    by_default: str = ""
    example: str = ""
    written: bool = False
    secret: bool = False
    name: str = field(init=False)

    def __set_name__(self, section: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    def read(self, environment: Mapping[str, str] | None = None) -> T:
        """What it is set to, or its default. Raises ImproperlyConfigured in one sentence."""
        given = os.environ if environment is None else environment
        return self.parse(given.get(self.name, self.default))

    def parse(self, text: str) -> T:
        """What a text means. Raises ImproperlyConfigured in one sentence."""
        try:
            return self.kind.read(self.name, text)
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None


class Section:
    """Settings that belong together: its attributes, in their order.

    `page` is where to read on. Settings without `in_file` cannot stand in `.env`.
    """

    title: ClassVar[str]
    page: ClassVar[str] = ""
    in_file: ClassVar[bool] = True

    @classmethod
    def settings(cls) -> list[Setting[Any]]:
        """The settings, as they are declared."""
        return [value for value in vars(cls).values() if isinstance(value, Setting)]
