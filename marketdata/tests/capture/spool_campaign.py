"""kill -9 at random moments of a process that writes to a spool and replays it.

`python -m marketdata.tests.capture.spool_campaign --kills 300 --seed 7` kills so many children.
A child says of each row that it is acknowledged, after `append` has returned, and of each that
it is settled, before its group leaves the disk; a reader then takes over what is there. With
`--control` the child acknowledges first, which must be caught. `--power 10000` takes the power
from as many disks instead, each a story of its own seed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from marketdata.capture.spool import Spool
from marketdata.capture.spool_codec import decode
from marketdata.capture.spool_segment import Loss
from marketdata.capture.tally import StreamKey
from marketdata.tests.capture.disks import ForgetfulDisk, PowerLost
from marketdata.tests.records import START, trade

TRADES = StreamKey("trades")
DATABASE = "the database of the campaign"


@dataclass
class Result:
    """What became of acknowledged rows, over all kills."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    declared: int = 0
    torn: int = 0
    set_aside: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} ends, {self.acknowledged:,} rows acknowledged, {self.lost} lost, "
            f"{self.declared} declared, {self.torn} torn tails cut, {self.set_aside} set aside"
        )


def child(folder: Path, first: int, *, control: bool) -> None:
    """Append and replay until killed; the rows are numbered from `first`."""
    spool = Spool(folder, segment_bytes=20_000, on_loss=say_lost)
    spool.open(DATABASE, "sandbox")
    log = spool.log("trades")
    chance = random.Random(first)
    say("ready")
    while True:
        count = chance.randint(1, 40)
        if control:
            say(f"+{first} {count}")
        log.append(TRADES, [trade(number) for number in range(first, first + count)])
        if not control:
            say(f"+{first} {count}")
        first += count
        if chance.random() < 0.3 and (group := log.first()):
            say(f"-{group.records[0].sequence - 1000} {len(group.records)}")
            log.settle(group)


def say_lost(loss: Loss) -> None:
    """Three children of a row were killed with the same group in hand: it is set aside."""
    (span,) = loss.spans.values()
    first, last = ((at - START) // timedelta(milliseconds=1) for at in span)
    say(f"!{first} {last - first + 1}")


def say(line: str) -> None:
    """To the parent, at once and in one piece: a pipe takes short lines whole."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def kill_once(folder: Path, first: int, seconds: float, *, control: bool = False) -> str:
    """What a child said that was killed so long after it began."""
    command = [sys.executable, "-m", __spec__.name, "--child", str(folder), str(first)]
    command += ["--control"] * control
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        said = process.stdout.read()
        timer.join()
    if ready != "ready\n":
        raise SystemExit(f"the child did not begin: {ready}{said}")
    # A line that the kill has cut in two says nothing.
    return said.rpartition("\n")[0]


def kill_many(kills: int, seed: int, *, control: bool = False) -> Result:
    """Kill children in one folder, each going on where the one before ended."""
    chance = random.Random(seed)
    result = Result()
    waiting: set[int] = set()
    first = 0
    with tempfile.TemporaryDirectory(prefix="gridbot-spool-") as name:
        for _ in range(kills):
            said = kill_once(Path(name), first, chance.uniform(0, 0.1), control=control)
            for line in said.splitlines():
                start, count = map(int, line[1:].split())
                rows = range(start, start + count)
                if line[0] == "+":
                    waiting |= set(rows)
                    first = start + count
                    result.acknowledged += count
                else:
                    waiting -= set(rows)
                    result.declared += count * (line[0] == "!")
            result.kills += 1
            # Rows that were written and not acknowledged may lie behind these.
            first += 1000
            spool = Spool(Path(name))
            spool.open(DATABASE, "sandbox")
            present = set(rows_on_disk(spool))
            result.lost += len(waiting - present)
            waiting &= present
            result.torn += spool.torn
            result.set_aside += len(spool.set_aside)
            spool.close()
    return result


def rows_on_disk(spool: Spool) -> list[int]:
    """The numbers of all rows that wait, which stay where they are."""
    return [
        record.sequence - 1000
        for segment in spool.log("trades").segments
        for _, content, _ in segment.groups()
        for record in decode(content)[1]
    ]


def lose_power_once(folder: Path, seed: int) -> Result:
    """A short story of appends and replays, which the power ends in the midst of something."""
    chance = random.Random(seed)
    disk = ForgetfulDisk(steps=chance.randint(1, 80))
    spool = Spool(folder, segment_bytes=chance.choice([300, 800, 10_000]), disk=disk)
    waiting: set[int] = set()
    result = Result(kills=1)
    with suppress(PowerLost):
        spool.open(DATABASE, "sandbox")
        log = spool.log("trades")
        for number in range(12):
            log.append(TRADES, [trade(number)])
            waiting.add(number)
            result.acknowledged += 1
            if chance.random() < 0.3 and (group := log.first()):
                waiting -= {row.sequence - 1000 for row in group.records}
                log.settle(group)
    spool.close()
    disk.lose_power(chance)
    found = Spool(folder)
    found.open(DATABASE, "sandbox")
    result.lost = len(waiting - set(rows_on_disk(found)))
    result.torn, result.set_aside = found.torn, len(found.set_aside)
    found.close()
    return result


def lose_power_often(times: int, seed: int) -> Result:
    """Many such stories."""
    total = Result()
    for number in range(seed, seed + times):
        with tempfile.TemporaryDirectory(prefix="gridbot-spool-") as name:
            one = lose_power_once(Path(name), number)
        if one.lost:
            sys.stdout.write(f"seed {number}: {one}\n")
        total = Result(**{key: value + vars(one)[key] for key, value in vars(total).items()})
    return total


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--power", type=int, default=0, help="take the power so often instead")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--control", action="store_true", help="acknowledge before writing")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, first = arguments.child
        child(Path(folder), int(first), control=arguments.control)
    if arguments.power:
        result = lose_power_often(arguments.power, arguments.seed)
    else:
        result = kill_many(arguments.kills, arguments.seed, control=arguments.control)
    sys.stdout.write(f"seed {arguments.seed}: {result}\n")
    if arguments.json:
        sys.stdout.write(json.dumps(vars(result)) + "\n")
    sys.exit(bool(result.lost))


if __name__ == "__main__":
    main()
