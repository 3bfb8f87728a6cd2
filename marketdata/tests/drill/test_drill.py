"""The drill, whole: the command as its users type it, with faults from a new seed each time.

All tests of this module together inject 60 faults. The seed of one that fails is in its output.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from marketdata.drill.scenarios import chosen, in_order
from marketdata.tests.test_commands import REAL_SETTINGS, run, start

logger = logging.getLogger(__name__)

PUBLIC_DROPS = "drop,cut_frame,refuse,drop_within_reach"
STREAMS = "F08,F09,F16,burst"
PAUSES = "freeze,pause"
# Kinds, and how many faults of them: 60 in all.
SAMPLES = {PUBLIC_DROPS: 20, f"{STREAMS},{PAUSES}": 37, "kill,terminate": 3}
# A drill waits for what it has broken; a busy machine takes its time.
DRILL_SECONDS = 170
pytestmark = pytest.mark.timeout(DRILL_SECONDS + 10)


@pytest.fixture
def environment() -> dict[str, str]:
    """The test's own process environment, without a database."""
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return kept | REAL_SETTINGS


def drill(environment: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    options = ("--json", "--seconds-between", "0.1", *arguments)
    with start(environment, "drill", *options) as process:
        out, err = process.communicate(timeout=DRILL_SECONDS)
    logger.info("%s", err)
    return process.returncode, json.loads(out), err


@contextmanager
def drill_under_way(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A long drill that has had its first fault."""
    with start(environment, "drill", "--only", "replay", "--faults", "1000") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "F08 replay" in line:
                break
        yield process


@pytest.mark.parametrize("kinds", SAMPLES)
def test_faults_lose_nothing_silently(environment, kinds):
    count = SAMPLES[kinds]
    code, result, err = drill(environment, "--only", kinds, "--faults", str(count))
    assert result["problems"] == []
    assert (code, result["green"], result["faults"]) == (0, True, count)
    assert (result["lost"], result["duplicated"], result["mutated"]) == (0, 0, 0)
    assert sum(kind["recovered"] for kind in result["kinds"]) == count
    assert result["rows_made"] > 100
    assert f"seed {result['seed']}." in err


def test_a_spoilt_database_turns_a_drill_red(environment):
    # A market may rest for so short a time: the burst is what there is to lose.
    arguments = ("--only", "burst", "--faults", "1", "--patience", "0.1")
    code, result, _ = drill(environment, *arguments, "--sabotage", "lose_trade")
    assert (code, result["green"], result["lost"]) == (1, False, 1)


def test_a_signal_ends_a_drill_early_with_the_verdict_on_what_was_done(environment):
    with drill_under_way(environment) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DRILL_SECONDS)
    result = json.loads(out.splitlines()[-1])
    assert process.returncode == (0 if result["green"] else 1), err
    assert 1 <= result["faults"] < 1000


def test_a_second_signal_leaves_no_process_behind(environment):
    with drill_under_way(environment) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DRILL_SECONDS)
    assert len(children) == 2
    while any(_runs(int(child)) for child in children):
        threading.Event().wait(0.05)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_list_has_every_number_of_the_matrix_and_says_what_is_expected(environment):
    code, out, _ = run(environment, "drill", "--list")
    assert code == 0
    numbers = {line[:3] for line in out.splitlines() if not line.startswith(" ")}
    assert numbers == {f"F{number:02d}" for number in range(1, 20)}
    assert all(one.expects in out and one.how in out for one in in_order())


def test_kinds_are_chosen_by_number_by_name_or_because_they_are_quick():
    assert {one.name for one in chosen(["F15"])} == {"database_locked"}
    assert [one.name for one in chosen(["kill", "F06"])] == ["kill", "kill_without_database"]
    assert all(one.quick for one in chosen(["quick"]))
    with pytest.raises(ValueError, match="no scenario 'F99'"):
        chosen(["F99"])


@pytest.mark.parametrize(
    "arguments",
    [("--faults", "0"), ("--only", "F99"), ("--seconds-between", "-1"), ("--sabotage", "all")],
)
def test_what_cannot_be_meant_is_a_usage_error(environment, arguments):
    code, _, err = run(environment, "drill", *arguments)
    assert code == 2
    assert "Traceback" not in err


def test_a_database_that_holds_anything_else_is_refused(environment, tmp_path):
    own = environment | {"DATABASE_URL": f"sqlite:///{tmp_path / 'own.sqlite3'}"}
    assert run(own, "migrate", "-v", "0")[0] == 0
    code, _, err = run(own, "drill", "--faults", "1")
    assert code == 4
    assert "neither" in err
