"""Commands whose help is a text to read."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand


class TeachingCommand(BaseCommand):
    """A command whose `help` keeps its line breaks."""

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Django's parser, which folds no examples."""
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)
