"""deploy/gridbot, with stand-ins for systemd's programs."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from gridbot_site.tests.test_settings import ROOT

# Says what it would run, then stays until the stand-in for systemctl lets it go.
RUN = """#!/bin/sh
while [ "$1" != -- ]; do echo "$1" >>"$PIPE.options"; shift; done
shift 3
printf '%s\\0' "$@"
case $1 in
    exit) exit "$2" ;;
    wait) exec 4<>"$PIPE"; echo begun >&2; read -r code <&4; exit "$code" ;;
    copy) exec cat ;;
esac
"""
# Knows nothing of the unit at first.
CONTROL = """#!/bin/sh
[ -e "$PIPE.asked" ] || { : >"$PIPE.asked"; exit 1; }
echo "$1 $2" >"$PIPE.told"
echo 75 1<>"$PIPE"
"""


@pytest.fixture
def gridbot(tmp_path):
    """Begins the script with arguments."""
    for name, text in (("systemd-run", RUN), ("systemctl", CONTROL)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    os.mkfifo(tmp_path / "pipe")
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PIPE": str(tmp_path / "pipe"),
    }

    def begin(*arguments, **given):
        # What was ignored as a shell began it traps never, and a suite in the background ignores INT.
        return subprocess.Popen(
            ["env", "--default-signal", "sh", ROOT / "deploy" / "gridbot", *arguments],
            env=environment | given,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return begin


def test_arguments_arrive_as_they_are_but_for_what_systemd_takes_back(gridbot):
    given = ["a b", "", "*", "--", "-x", "it's", 'q"', "a\nb\n", "$HOME", "5$\n"]
    told, _ = gridbot("args", *given).communicate()
    assert told.split("\0") == ["args", *given[:-2], "$$HOME", "5$$\n", ""]


def test_the_exit_code_and_the_input_are_the_commands(gridbot):
    script = gridbot("exit", "130")
    script.communicate()
    assert script.returncode == 130
    script = gridbot("copy")
    assert script.communicate("typed") == ("copy\0typed", "")
    assert script.returncode == 0


def test_of_the_callers_environment_the_database_alone_counts(gridbot, tmp_path):
    options = tmp_path / "pipe.options"
    gridbot("exit", "0").communicate()
    assert "DATABASE_URL" not in options.read_text()
    gridbot("exit", "0", DATABASE_URL="postgresql:///beside", FOO="1").communicate()
    assert options.read_text().splitlines().count("--setenv=DATABASE_URL") == 1
    assert "FOO" not in options.read_text()


# timeout, a terminal and cron tell all of a group, systemd-run as well.
@pytest.mark.parametrize("tell", [os.kill, os.killpg])
@pytest.mark.parametrize(
    ("given", "passed"), [(signal.SIGINT, "INT"), (signal.SIGTERM, "TERM"), (signal.SIGHUP, "TERM")]
)
def test_a_signal_is_passed_on_and_the_end_is_waited_for(given, passed, tell, gridbot, tmp_path):
    script = gridbot("wait")
    assert script.stderr.readline() == "begun\n"
    tell(script.pid, given)
    script.communicate(timeout=60)
    assert script.returncode == 75
    assert (tmp_path / "pipe.told").read_text() == f"kill --signal={passed}\n"


def test_a_pause_that_a_second_signal_ends_does_not_end_the_script(gridbot, tmp_path):
    # Whoever is impatient tells the whole group once more: it ends what the script waits for.
    (tmp_path / "sleep").write_text("#!/bin/sh\nkill -TERM $$\n", encoding="utf-8")
    (tmp_path / "sleep").chmod(0o755)
    script = gridbot("wait")
    assert script.stderr.readline() == "begun\n"
    os.kill(script.pid, signal.SIGTERM)
    script.communicate(timeout=60)
    assert script.returncode == 75
