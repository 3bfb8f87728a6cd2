"""Commands whose help is a text to read."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand

MORE = "Every command, and the page about it: docs/commands.md"


class TeachingCommand(BaseCommand):
    """A command whose `help` keeps its line breaks, and says where to read on."""

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Django's parser, which folds no examples."""
        return super().create_parser(
            *args, formatter_class=RawDescriptionHelpFormatter, epilog=MORE, **kwargs
        )
