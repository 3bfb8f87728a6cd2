"""`manage.py settings`: what is set, by whom, and what can be."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from accounts.management.teaching import TeachingCommand
from gridbot_site.configuration.effective import InEffect, database_in_effect, in_effect
from gridbot_site.configuration.pages import env_example, markdown

HELP = """\
Show every setting with its value in effect and who has set it: the process environment, the file
.env, or nobody, which leaves the default.

  manage.py settings
  manage.py settings --changed     those alone that differ from their default
  manage.py settings --json        one machine-readable line and nothing else
  manage.py settings --markdown    docs/configuration.md, which says what each is for
  manage.py settings --example     .env.example

Of secrets it shows whether they are set, of a database's URL everything but the password. The
parts GRIDBOT_DB_... count when no URL is set; the last line says which database it comes to.
A variable that is named like a setting and is none (a misspelt one) is warned of, as by every
command. A setting that cannot be meant ends each command with a sentence that names it.
Exit codes: 0 ok, 2 usage, 4 a setting is wrong or missing."""
# A file or a pipe has no width.
WIDTH: Final = 160


class Command(TeachingCommand):
    """Show the settings."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--changed", action="store_true", help="those alone that differ from their default"
        )
        shape = parser.add_mutually_exclusive_group()
        shape.add_argument(
            "--json", action="store_true", help="one machine-readable line and nothing else"
        )
        shape.add_argument("--markdown", action="store_true", help="print docs/configuration.md")
        shape.add_argument("--example", action="store_true", help="print .env.example")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, and print."""
        if options["markdown"] or options["example"]:
            self.stdout.write(markdown() if options["markdown"] else env_example(), ending="")
            return
        found = [each for each in in_effect() if each.changed or not options["changed"]]
        if options["json"]:
            self.stdout.write(json.dumps(as_json(found)))
        else:
            table_of(sys.stdout, found)


def as_json(found: Sequence[InEffect]) -> dict[str, Any]:
    """Settings as plain values."""
    told = [
        {
            "name": each.setting.name,
            "section": each.section.title,
            "value": each.value,
            "source": each.source,
            "changed": each.changed,
            "secret": each.setting.secret,
        }
        for each in found
    ]
    return {"settings": told, "database": database_in_effect()}


def table_of(out: TextIO, found: Sequence[InEffect]) -> None:
    """Print one row for each setting, and the database below."""
    console = Console(file=out)
    if not console.is_terminal:
        console.width = WIDTH
    table = Table("setting", "value in effect", "set by", show_lines=False)
    for before, each in zip([None, *found], found, strict=False):
        if before and before.section is not each.section:
            table.add_section()
        style = "bold" if each.changed else ""
        table.add_row(Text(each.setting.name), Text(each.value, style=style), Text(each.source))
    console.print(table)
    console.print(f"Database in effect: {database_in_effect()}", highlight=False, markup=False)
