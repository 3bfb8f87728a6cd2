"""A drill in words: the table of its kinds of faults, the verdict, one line of JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from rich.console import Console
from rich.table import Table

from marketdata.drill.result import DrillVerdict, Fault, percentile
from marketdata.drill.scenarios import Scenario

WIDTH = 150
FIGURES = ("lost", "declared", "duplicated", "mutated")


class Kind(NamedTuple):
    """All faults of one scenario."""

    number: str
    name: str
    faults: list[Fault]
    counts: Counter[str]

    def as_json(self) -> dict[str, Any]:
        """Its figures; seconds."""
        recoveries = [fault.recovery for fault in self.faults if fault.recovery is not None]
        return {
            "fault": self.number,
            "name": self.name,
            "injected": len(self.faults),
            "fired": sum(fault.fired for fault in self.faults),
            "seconds": round(sum(fault.lasted for fault in self.faults), 3),
            **{figure: self.counts[figure] for figure in FIGURES},
            "recovered": len(recoveries),
            "recovery": {
                name: _rounded(percentile(recoveries, share))
                for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
            },
        }


def kinds_of(faults: Sequence[Fault], verdict: DrillVerdict) -> list[Kind]:
    """The faults by their kind, in the order of the fault matrix."""
    kinds: dict[tuple[str, str], Kind] = {}
    for index, fault in enumerate(faults):
        name = fault.number, fault.name
        kind = kinds.setdefault(name, Kind(*name, [], Counter()))
        kind.faults.append(fault)
        kind.counts.update(verdict.by_fault.get(index, {}))
    return [kinds[name] for name in sorted(kinds)]


def summary(faults: Sequence[Fault], verdict: DrillVerdict, *, seed: int) -> dict[str, Any]:
    """Everything a machine wants to know."""
    recoveries = [fault.recovery for fault in faults if fault.recovery is not None]
    return {
        "green": verdict.is_green,
        "seed": seed,
        "faults": len(faults),
        "fired": sum(fault.fired for fault in faults),
        "rows_made": verdict.facts,
        "stored": verdict.stored,
        **{figure: getattr(verdict, figure) for figure in FIGURES},
        "quarantined_wrongly": verdict.quarantined,
        "gaps": len(verdict.declared_seconds),
        "declared_seconds": _shares(verdict.declared_seconds),
        "declared_over_injected": _shares(verdict.excess),
        "vouched": round(verdict.vouched, 4),
        "recovery": _shares(recoveries),
        "kinds": [kind.as_json() for kind in kinds_of(faults, verdict)],
        "problems": verdict.problems,
    }


def show(stream: TextIO, result: dict[str, Any]) -> None:
    """The table and the verdict, for people."""
    console = Console(file=stream, width=WIDTH, highlight=False)
    table = Table()
    for heading in ("fault", "", "injected", "fired", "lasted s", *FIGURES, "recovered",
                    "p50 s", "p99 s", "max s"):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("fault", "") else "right")
    for kind in result["kinds"]:
        cells = [kind["fault"], kind["name"], kind["injected"], kind["fired"], kind["seconds"]]
        cells += [kind[figure] for figure in FIGURES]
        cells += [kind["recovered"], *kind["recovery"].values()]
        table.add_row(*(_cell(cell) for cell in cells))
    console.print(table)
    for line in _verdict(result):
        console.print(line, markup=False)


def listing(scenarios: Iterable[Scenario]) -> str:
    """The scenario table, for --list and for people."""
    lines = [
        f"{one.number}  {one.name}{' (quick)' if one.quick else ''}\n"
        f"       {one.how}\n       expected: {one.expects}"
        for one in scenarios
    ]
    return "\n".join(lines)


def _verdict(result: dict[str, Any]) -> Iterable[str]:
    yield (
        f"{result['faults']} faults (seed {result['seed']}), {result['rows_made']:,} rows made: "
        f"lost {result['lost']}, duplicated {result['duplicated']}, mutated {result['mutated']}, "
        f"declared {result['declared']}."
    )
    declared, over = result["declared_seconds"], result["declared_over_injected"]
    if result["gaps"]:
        yield (
            f"{result['gaps']} gaps stay declared, seconds p50 {declared['p50']}, "
            f"p99 {declared['p99']}; longer than their faults by p50 {over['p50']}, "
            f"p99 {over['p99']}."
        )
    yield f"Vouched complete: {result['vouched']:.2%} of all feeds and time."
    yield from (f"PROBLEM {problem}" for problem in result["problems"])
    yield "VERDICT: " + (
        "nothing was lost silently." if result["green"] else "NOT what it must be."
    )


def _shares(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "p50": _rounded(percentile(values, 0.5)),
        "p99": _rounded(percentile(values, 0.99)),
        "max": _rounded(percentile(values, 1.0)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:,.2f}" if isinstance(value, float) else str(value)
