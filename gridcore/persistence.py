"""Where a strategy's grid survives a restart.

`GridStore` is what a driver needs of a store; `make_entry` and `read_entry` check what goes into
any of them and what comes out. `GridAnchorStore` is one JSON file for all strategies of a host:

    {"<strat_id>": {"anchor_price": "100000", "grid_step": "0.2", "grid_count": 50,
                    "grid": [{"side": "Buy", "price": "99800.0", "level": -1}, ...]}}

What the file promises:

- It is always whole. A save writes a temporary file, syncs it, renames it over the old one and
  syncs the folder: whenever the process or the machine dies, the old state or the new is there.
  A writer that is killed leaves its temporary file; the next one removes it.
- Processes do not lose each other's entries. Reading, changing and writing happen under one
  lock, on a file of its own, since the renamed file is a new one each time. The lock file stays:
  removing it would let two processes lock two different files of that name.
- A file that is no state is renamed aside with a warning; nothing that somebody might still want
  to read is overwritten.
- Numbers are written as text, and so come back exactly.

Nothing is remembered between calls: what is saved is written, even if it was saved before, for
the file may have been removed since. `grid_fingerprint` tells a driver whether to save at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from gridcore.grid import GridSideType
from gridcore.instrument import to_decimal, to_price

logger = logging.getLogger(__name__)

Levels: TypeAlias = Iterable[Mapping[str, object]]
Fingerprint: TypeAlias = tuple[tuple[tuple[str, Decimal], ...], Decimal, int]

SIDES = tuple(GridSideType)


class GridStore(Protocol):
    """Anchors and grids by strategy; a `strat_id` that is no text or empty is a ValueError."""

    def load(self, strat_id: str) -> dict[str, Any] | None:
        """What was saved: `anchor_price`, `grid_step`, `grid_count`, and `grid` if there is one.

        None where nothing usable is. Prices and the step (percent) are Decimals. A grid that
        cannot be read is left out with a warning, and the anchor still serves.
        """
        ...

    def save(
        self,
        strat_id: str,
        anchor_price: Decimal | None,
        grid_step: float | Decimal,
        grid_count: int,
        grid: Levels | None = None,
    ) -> None:
        """Replace a strategy's entry; whatever is no number, no side or no count is a ValueError.

        The anchor is None when the level it stood on was shifted out of a restored grid. No
        grid and a grid of no levels are the same.
        """
        ...

    def delete(self, strat_id: str) -> None:
        """Forget a strategy; nothing happens if it is unknown."""
        ...


class GridAnchorStore:
    """Anchors and grids by strategy, in one file that several processes may share."""

    def __init__(self, file_path: str | os.PathLike[str] = "db/grid_anchor.json") -> None:
        self._path = Path(file_path)

    def load(self, strat_id: str) -> dict[str, Any] | None:
        """See `GridStore`; numbers in the file may be written as numbers or as texts."""
        check_strat_id(strat_id)
        if not self._path.exists():
            return None
        with self._locked():
            saved = self._read().get(strat_id)
        return read_entry(strat_id, saved) if isinstance(saved, dict) else None

    def save(
        self,
        strat_id: str,
        anchor_price: Decimal | None,
        grid_step: float | Decimal,
        grid_count: int,
        grid: Levels | None = None,
    ) -> None:
        """See `GridStore`; OSError if the file cannot be written, and then nothing has changed."""
        check_strat_id(strat_id)
        entry = make_entry(anchor_price, grid_step, grid_count, grid)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._write({**self._read(), strat_id: entry})

    def delete(self, strat_id: str) -> None:
        """See `GridStore`."""
        check_strat_id(strat_id)
        if not self._path.exists():
            return
        with self._locked():
            entries = self._read()
            if strat_id in entries:
                del entries[strat_id]
                self._write(entries)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process, and one thread of it, at a time; the lock goes with its holder's death."""
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> dict[str, Any]:
        """All entries; of a file that is missing or had to be set aside, none."""
        try:
            # Numbers with a fraction stay text: a float would change them.
            content = json.loads(
                self._path.read_bytes(), parse_float=str, parse_constant=_refuse_constant
            )
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            self._set_aside(str(error))
            return {}
        if not isinstance(content, dict):
            self._set_aside("it holds no object")
            return {}
        return content

    def _set_aside(self, reason: str) -> None:
        names = (self._path.with_name(f"{self._path.name}.corrupt-{n}") for n in count(1))
        aside = next(name for name in names if not name.exists())
        self._path.rename(aside)
        _sync_folder(self._path.parent)
        logger.warning("%s cannot be read (%s): kept as %s", self._path, reason, aside)

    def _write(self, entries: dict[str, Any]) -> None:
        text = json.dumps(entries, allow_nan=False, indent=1, sort_keys=True, default=str)
        # One name serves all writers, for the lock lets them write in turn. A file that is there
        # is a killed one's; under a name of its own it would have stayed for ever.
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        temporary.unlink(missing_ok=True)
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(self._path.parent)


def grid_fingerprint(grid: Levels, grid_step: float | Decimal, grid_count: int) -> Fingerprint:
    """Equal for grids that need not be saved twice: sides, prices, step and count."""
    levels = (_level(level) for level in grid)
    sides_and_prices = tuple((str(level["side"]), level["price"]) for level in levels)
    return sides_and_prices, to_decimal(grid_step, "grid_step"), grid_count


def grid_fingerprint_hash(grid: Levels, grid_step: float | Decimal, grid_count: int) -> str:
    """The fingerprint as 64 hexadecimal digits, for where a tuple cannot be kept."""
    levels, step, levels_count = grid_fingerprint(grid, grid_step, grid_count)
    words = [f"{side}@{_canonical(price)}" for side, price in levels]
    text = "|".join([*words, _canonical(step), str(levels_count)])
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(number: Decimal) -> str:
    # 100, 100.0 and 1E+2 are one price, and so one text.
    return f"{number.normalize():f}"


def check_strat_id(strat_id: object) -> None:
    """Raise ValueError unless it is a text that is not empty."""
    if not isinstance(strat_id, str) or not strat_id:
        raise ValueError(f"strat_id must be a text that is not empty, not {strat_id!r}")


def make_entry(
    anchor_price: object, grid_step: object, grid_count: object, grid: Levels | None = None
) -> dict[str, Any]:
    """What `save` is given, checked, with Decimals for all numbers that may have a fraction."""
    if isinstance(grid_count, bool) or not isinstance(grid_count, int) or grid_count <= 0:
        raise ValueError(f"grid_count must be a positive whole number, not {grid_count!r}")
    entry = {
        "anchor_price": None if anchor_price is None else to_price(anchor_price, "anchor_price"),
        "grid_step": to_price(grid_step, "grid_step"),
        "grid_count": grid_count,
    }
    try:
        levels = [_level(level) for level in grid or ()]
    except (TypeError, AttributeError):
        raise ValueError(f"grid must be a list of levels, not {grid!r}") from None
    return entry | ({"grid": levels} if levels else {})


def read_entry(strat_id: str, saved: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `load` gives for a saved entry; what cannot be read is left out with a warning."""
    try:
        entry = make_entry(saved.get("anchor_price"), saved.get("grid_step"), saved["grid_count"])
    except (KeyError, ValueError) as error:
        logger.warning("The saved anchor of %s cannot be read: %s", strat_id, error)
        return None
    return entry | _loaded_grid(strat_id, saved.get("grid"))


def _level(level: Mapping[str, object]) -> dict[str, Any]:
    """A level, checked: a known side, a price, and a number where one is given."""
    side, number = level.get("side"), level.get("level")
    if side not in SIDES:
        raise ValueError(f"side must be Buy, Sell or Wait, not {side!r}")
    numbered = isinstance(number, int) and not isinstance(number, bool)
    if number is not None and not numbered:
        raise ValueError(f"level must be a whole number, not {number!r}")
    price = to_price(level.get("price"), "price")
    return {"side": str(side), "price": price} | ({"level": number} if numbered else {})


def _loaded_grid(strat_id: str, grid: object) -> dict[str, list[dict[str, Any]]]:
    """`{"grid": levels}`, or nothing where there is no grid or none that can be read."""
    if grid is None or grid == []:
        return {}
    try:
        if not isinstance(grid, list) or not all(isinstance(level, dict) for level in grid):
            raise ValueError("it is no list of levels")
        return {"grid": [_level(level) for level in grid]}
    except ValueError as error:
        logger.warning("The saved grid of %s cannot be read: %s", strat_id, error)
        return {}


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _sync_folder(folder: Path) -> None:
    """Make a rename last: the name is the folder's content, not the file's."""
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
