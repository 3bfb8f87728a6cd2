"""The verdict in words."""

from __future__ import annotations

from marketdata.demo.result import Verdict


def verdict_text(verdict: Verdict) -> str:
    """What is stored, what is wrong with it, and the colour."""
    lines = ["", "Compared with the exchange's own ledger:"]
    lines += [f"  {table}: {rows:,} rows stored" for table, rows in verdict.stored.items()]
    lines.append(
        f"  lost {verdict.lost}, duplicated {verdict.duplicated}, mutated {verdict.mutated}, "
        f"quarantined {verdict.quarantined}"
    )
    if verdict.declared:
        lines.append(
            f"  on the wire when the connection broke: {verdict.declared}, all inside a recorded gap"
        )
    lines += [f"  PROBLEM {problem}" for problem in verdict.problems]
    lines.append("VERDICT: " + ("nothing was lost." if verdict.is_green else "NOT what was sent."))
    return "\n".join(lines)
