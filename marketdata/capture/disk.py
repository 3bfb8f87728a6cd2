"""The few file operations that durability is made of; tests put another disk in its place."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
# macOS has no fdatasync.
_sync_data = getattr(os, "fdatasync", os.fsync)


class Disk:
    """The real disk. What is raised is OSError."""

    def make_folder(self, path: Path) -> None:
        """Make the folder `path`, and those above it, for this user alone."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(FOLDER_MODE, exist_ok=True)
        self.sync_folder(path.parent)

    def create(self, path: Path) -> int:
        """A new file, open for writing; its name is safe after `sync_folder`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)

    def write(self, file: int, data: bytes) -> None:
        """Append `data`, which is safe after `sync`."""
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]

    def sync(self, file: int) -> None:
        """Return when what was written is on the medium."""
        _sync_data(file)

    def sync_folder(self, path: Path) -> None:
        """Return when the names in the folder are on the medium."""
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self, file: int) -> None:
        """Close an open file."""
        os.close(file)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; its absence is safe after `sync_folder`."""
        path.unlink(missing_ok=True)

    def rename(self, path: Path, new: Path) -> None:
        """Give a file another name, which is safe after `sync_folder`."""
        path.rename(new)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file to `size` bytes; safe on return."""
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(file, size)
            self.sync(file)
        finally:
            self.close(file)

    def replace(self, path: Path, data: bytes, *, safe: bool = True) -> None:
        """Make `data` the content of `path`, whole or not at all; safe on return if so wanted."""
        fresh = path.with_name(f"{path.name}.new")
        self.remove(fresh)
        file = self.create(fresh)
        try:
            self.write(file, data)
            if safe:
                self.sync(file)
        finally:
            self.close(file)
        self.rename(fresh, path)
        if safe:
            self.sync_folder(path.parent)

    def lock(self, path: Path) -> int | None:
        """Take the lock file `path` for the life of the process; None when another holds it."""
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return None
        return file
