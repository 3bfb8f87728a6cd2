"""The settings on paper: docs/configuration.md, and `.env.example`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from gridbot_site.configuration.registry import PREFIXES, SECTIONS
from gridbot_site.configuration.setting import Section, Setting

WIDTH = 100
# Names of variables and addresses are code on a page, no links.
CODE = re.compile(r"(?<![\w`])(?:[A-Z]+_[A-Z_]+(?:=\w*)?|[a-z]+://[\w:/@.]*(?<!\.))(?![\w`])")
ENV_INTRO = """\
gridbot's settings. `make .env` (or `python -m gridbot_site.make_env`) writes a .env from this file \
with fresh secrets; the process environment wins over .env. Lines that are commented out show the \
default, or an example where there is none. `manage.py settings` says what is in effect, \
docs/configuration.md tells the same as this file, and both are made by `make pages`."""
PAGE_INTRO = f"""\
<!-- Made by `make pages` from gridbot_site/configuration: change that, not this. -->

# Configuration

Every setting is an environment variable. What the process environment does not set is read from
`.env` beside `manage.py`, which `make .env` writes with fresh secrets, or from the file that
`GRIDBOT_ENV_FILE` names: `/etc/gridbot/gridbot.env` of an [installation](install.md), where `gridbot`
stands for `.venv/bin/python manage.py` below. The same lines as here stand in
[.env.example](../.env.example): `NAME=value`, each name once, with no blank around it. A value or a
line that cannot be meant is refused at the start with one sentence and exit code 4. Running processes
read none of it again: restart them.

```
.venv/bin/python manage.py settings             # what is in effect, and who has set it
.venv/bin/python manage.py settings --changed   # what differs from the defaults
```

Secrets are shown as set or not set, and of a database's URL everything but the password. Names
that begin with {", ".join(f"`{prefix}`" for prefix in PREFIXES[:-1])} or `{PREFIXES[-1]}` and are not on this page do nothing: each
command warns of them, with the name that may be meant (`gridbot.W002`, [security.md](security.md)).

This page is made from the settings themselves, and a test compares the two.
"""


def markdown() -> str:
    """docs/configuration.md."""
    return "\n".join([PAGE_INTRO, *(line for each in SECTIONS for line in _table(each))]) + "\n"


def env_example() -> str:
    """`.env.example`."""
    lines = [*_comment(ENV_INTRO)]
    for section in SECTIONS:
        if section.in_file:
            head = f"# --- {section.title}: {section.page} "
            lines += ["", head.ljust(WIDTH, "-"), *_comment(_intro(section)), ""]
            lines += [line for each in section.settings() for line in _assignment(each)]
    return "\n".join(lines) + "\n"


def _intro(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split())


def _comment(text: str) -> list[str]:
    return wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _assignment(setting: Setting[Any]) -> Iterator[str]:
    default = f"; by default {setting.by_default}" if setting.by_default else ""
    yield from _comment(f"{setting.purpose} [{setting.kind.words}{default}]")
    yield f"{'' if setting.written else '#'}{setting.name}={setting.example or setting.default}"


def _table(section: type[Section]) -> Iterator[str]:
    anchor = section.page.removeprefix("docs/")
    yield from (f"## {section.title}", "")
    yield f"{_coded(_intro(section))} More: [{anchor.partition('#')[0]}]({anchor})."
    yield from ("", "| setting | what for | what it may be | default |", "|---|---|---|---|")
    for setting in section.settings():
        name = f"`{setting.name}`" + (" (secret)" if setting.secret else "")
        cells = (name, _coded(setting.purpose), _coded(setting.kind.words), _default(setting))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _default(setting: Setting[Any]) -> str:
    return _coded(setting.by_default) or (f"`{setting.default}`" if setting.default else "none")


def _coded(text: str) -> str:
    """A sentence with names of variables, and addresses, as code."""
    return CODE.sub(r"`\g<0>`", text)
