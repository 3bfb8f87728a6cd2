"""Disks that fail, and disks that forget, for what must survive both."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

from marketdata.capture.disk import Disk


class InstantDisk(Disk):
    """A disk that does not wait for its medium: no power is lost where it is used."""

    def sync(self, file: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


class FailingDisk(InstantDisk):
    """A disk whose operation number `failing` fails, and with `for_good` all after it."""

    def __init__(self, failing: int = 0, *, code: int = errno.EIO, for_good: bool = False) -> None:
        self.failing, self.code, self.for_good = failing, code, for_good
        self.count = 0

    @property
    def fired(self) -> bool:
        return 0 < self.failing <= self.count

    def _step(self) -> None:
        self.count += 1
        if self.count == self.failing or (self.for_good and self.fired):
            raise OSError(self.code, os.strerror(self.code))

    def create(self, path: Path) -> int:
        self._step()
        return super().create(path)

    def write(self, file: int, data: bytes) -> None:
        try:
            self._step()
        except OSError:
            super().write(file, data[: len(data) // 2])
            raise
        super().write(file, data)

    def sync(self, file: int) -> None:
        self._step()
        super().sync(file)

    def sync_folder(self, path: Path) -> None:
        self._step()
        super().sync_folder(path)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def rename(self, path: Path, new: Path) -> None:
        self._step()
        super().rename(path, new)


class PowerLost(Exception):
    """The power went: nothing that comes after it happens."""


class ForgetfulDisk(Disk):
    """A disk that loses at `lose_power` what was not synced, and keeps some of it at random.

    The power goes in the midst of operation number `steps`, if it comes to that.
    Of a name that was made, removed or changed the old or the new state is left; of a file the
    synced content, and behind it nothing, a part of the rest, zeros, or all of it.
    """

    def __init__(self, steps: int = 0) -> None:
        self._steps = steps
        self._count = 0
        self._numbers = 0
        self._open: dict[int, int] = {}
        self._content: dict[int, bytes] = {}
        self._safe: dict[int, bytes] = {}
        self._names: dict[Path, int] = {}
        self._safe_names: dict[Path, int] = {}

    def _step(self) -> None:
        self._count += 1
        if 0 < self._steps <= self._count:
            raise PowerLost

    def create(self, path: Path) -> int:
        self._step()
        file = super().create(path)
        self._numbers += 1
        self._open[file] = self._names[path] = self._numbers
        self._content[self._numbers] = self._safe[self._numbers] = b""
        return file

    def write(self, file: int, data: bytes) -> None:
        super().write(file, data)
        self._content[self._open[file]] += data
        self._step()

    def sync(self, file: int) -> None:
        self._step()
        number = self._open[file]
        self._safe[number] = self._content[number]

    def sync_folder(self, path: Path) -> None:
        self._step()
        kept = {name: n for name, n in self._safe_names.items() if name.parent != path}
        now = {name: n for name, n in self._names.items() if name.parent == path}
        self._safe_names = kept | now

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._names.pop(path, None)
        self._step()

    def rename(self, path: Path, new: Path) -> None:
        super().rename(path, new)
        self._names[new] = self._names.pop(path)
        self._step()

    def truncate(self, path: Path, size: int) -> None:
        super_disk = Disk()
        super_disk.truncate(path, size)
        number = self._names[path]
        self._content[number] = self._safe[number] = self._content[number][:size]

    def lose_power(self, chance: random.Random) -> None:
        """Leave on the real disk what a medium may hold when the power has gone."""
        for path in {*self._names, *self._safe_names}:
            states = [self._safe_names.get(path), self._names.get(path)]
            number = chance.choice(states)
            Disk.remove(self, path)
            if number is not None:
                path.write_bytes(self._left_of(number, chance))

    def _left_of(self, number: int, chance: random.Random) -> bytes:
        safe, now = self._safe[number], self._content[number]
        rest = now[len(safe) :] if now.startswith(safe) else b""
        kinds = (b"", rest[: chance.randint(0, len(rest))], bytes(len(rest)), rest)
        return safe + chance.choice(kinds)
