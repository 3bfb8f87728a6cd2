"""Serves plotly's script from its wheel, as the static file `plotly/plotly.min.js`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

PREFIX, SCRIPT = "plotly", "plotly.min.js"


class PlotlyFinder(BaseFinder):
    """Finds the one file; nothing where plotly is not installed."""

    def check(self, **kwargs: Any) -> list[Any]:
        """There is nothing to configure."""
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        """Return where the file is, or an empty list."""
        folder = _folder()
        if folder is None or path != f"{PREFIX}/{SCRIPT}":
            return []
        found = str(folder / SCRIPT)
        return [found] if find_all else found

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, FileSystemStorage]]:
        """Give the file to collectstatic."""
        folder = _folder()
        if folder is not None:
            storage = FileSystemStorage(location=folder)
            storage.prefix = PREFIX  # type: ignore[attr-defined]
            yield SCRIPT, storage


def _folder() -> Path | None:
    """Where the wheel keeps the script; the package itself need not be imported for it."""
    found = find_spec("plotly")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "package_data"
