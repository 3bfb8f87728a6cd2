"""The file of settings, `.env`: every line of it is read, or the program does not start."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Final

import environ
from django.core.exceptions import ImproperlyConfigured

ASSIGNMENT: Final = re.compile(r"(export )?\w+=", re.ASCII)


def read_settings_file(path: Path) -> None:
    """Put what the file says into the process environment, whose own word counts.

    Raises ImproperlyConfigured, which repeats nothing of the file, when it cannot be read as a
    whole. django-environ would go on without it, and write a line that it does not understand, a
    password perhaps, to stderr.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{path} is no text of UTF-8.") from None
    told = [(number, line) for number, line in enumerate(lines, 1) if _says_something(line)]
    for number, line in told:
        if not ASSIGNMENT.match(line):
            raise ImproperlyConfigured(
                f"{path}, line {number}: a setting is written NAME=value, with no blank before or "
                "after its name; a comment begins with #."
            )
    environ.Env.read_env(StringIO("\n".join(line for _, line in told)))


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
