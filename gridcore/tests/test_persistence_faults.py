"""The file store when something dies, breaks or writes at the same time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import gridcore
from gridcore.persistence import GridAnchorStore
from gridcore.tests.stores import ENTRY, put

D = Decimal
ROOT = Path(gridcore.__file__).parent.parent


def names(path):
    """The files beside the store, but for the lock."""
    return sorted(file.name for file in path.parent.iterdir() if file.suffix != ".lock")


def run(path, code):
    """Run code in a process of its own, with `store` at hand."""
    head = (
        "import os, signal, sys\nfrom decimal import Decimal as D\nfrom pathlib import Path\n"
        "from gridcore.persistence import GridAnchorStore\nstore = GridAnchorStore(sys.argv[1])\n"
    )
    return subprocess.Popen([sys.executable, "-c", head + code, str(path)], cwd=ROOT)


CORRUPT = {
    "empty": b"",
    "cut off": b'{"s1": {"anchor_price": "1"',
    "a list": b"[]",
    "NaN": b'{"s1": {"anchor_price": NaN}}',
    "no UTF-8": b'\xff\xfe{"s1": 1',
    "too deep": b"[" * 100_000,
    "too long a number": b"1" * 5000,
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_file_is_set_aside_with_a_warning(store, path, caplog, content):
    path.parent.mkdir()
    path.write_bytes(content)
    assert store.load("s1") is None
    assert names(path) == ["anchors.json.corrupt-1"]
    assert path.with_name("anchors.json.corrupt-1").read_bytes() == content
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_save_over_a_corrupt_file_keeps_it_and_every_earlier_one(store, path):
    for content in ("first", "second"):
        put(path, content)
        store.save("s1", D("100.0"), 0.2, 2)
    assert names(path) == ["anchors.json", "anchors.json.corrupt-1", "anchors.json.corrupt-2"]
    assert path.with_name("anchors.json.corrupt-1").read_text() == "first"
    assert store.load("s1") == ENTRY


def test_a_file_that_may_not_be_read_is_not_taken_for_corrupt(store, path):
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        store.load("s1")
    assert names(path) == ["anchors.json"]


def test_the_same_again_is_written_again_if_the_file_was_lost_or_overwritten(store, path):
    """A store that remembers what it wrote would skip this save, and the entry would stay lost."""
    store.save("s1", D("100.0"), 0.2, 2)
    path.unlink()
    store.save("s1", D("100.0"), 0.2, 2)
    assert store.load("s1") == ENTRY
    GridAnchorStore(path).save("s1", D("200.0"), 0.2, 2)
    store.save("s1", D("100.0"), 0.2, 2)
    assert store.load("s1") == ENTRY


def test_a_save_that_fails_leaves_the_old_state_and_no_litter(store, path, monkeypatch):
    store.save("s1", D("100.0"), 0.2, 2)

    def fail(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        store.save("s1", D("200.0"), 0.2, 2)
    assert store.load("s1") == ENTRY
    assert names(path) == ["anchors.json"]


def test_content_is_synced_before_the_rename_and_the_folder_after(store, path, monkeypatch):
    """A rename lives in the folder: unsynced, a power cut brings the old file back."""
    steps = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(number):
        steps.append("folder" if Path(f"/proc/self/fd/{number}").is_dir() else "file")
        real_sync(number)

    def replace(self, target):
        steps.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    store.save("s1", D("100.0"), 0.2, 2)
    assert steps == ["file", "rename", "folder"]


@pytest.mark.parametrize("step", ["os.fsync", "Path.replace"])
def test_a_killed_writer_leaves_the_old_state_no_lock_and_nothing_that_stays(store, path, step):
    """A temporary file with a name of its own would stay for ever, one more with every kill."""
    store.save("s1", D("100.0"), 0.2, 2)
    code = f"{step} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)\n"
    for _ in range(2):
        process = run(path, f"{code}store.save('s1', D(200), 0.2, 2)\n")
        assert process.wait(30) == -signal.SIGKILL
    assert names(path) == ["anchors.json", "anchors.json.tmp"]
    assert store.load("s1") == ENTRY
    store.save("s2", D("100.0"), 0.2, 2)
    assert names(path) == ["anchors.json"]
    assert (store.load("s1"), store.load("s2")) == (ENTRY, ENTRY)


def test_what_a_killed_writer_of_another_user_left_is_no_obstacle(store, path):
    path.parent.mkdir()
    left = path.with_name("anchors.json.tmp")
    left.write_text('{"s1": {"anchor_pri')
    left.chmod(0)
    store.save("s1", D("100.0"), 0.2, 2)
    assert (store.load("s1"), names(path)) == (ENTRY, ["anchors.json"])


def test_processes_do_not_lose_each_others_entries(store, path):
    """Read, change, write without a lock loses entries; one temporary name without it mixes files."""
    code = "for n in range(60): store.save(f'{NAME}-{n}', D(100), 0.2, 2)\n"
    writers = [run(path, f"NAME = {name!r}\n{code}") for name in "ab"]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    assert len(json.loads(path.read_text())) == 120
    assert names(path) == ["anchors.json"]
