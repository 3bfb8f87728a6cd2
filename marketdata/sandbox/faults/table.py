"""Every fault, in one table: what it does, what it takes, and where it comes from.

An *act* happens at a moment of its own: at once, `after` some seconds, or again and again.
A fault of a *stream*, of a *session*, of *rest* or of *trade* happens when there is an occasion for
it: each frame, each request that reads or that trades. `seconds` is how long either lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ACT, SESSION, STREAM, REST, TRADE = "act", "session", "stream", "rest", "trade"
MAX_SECONDS = 3600.0


def number(least: float, most: float) -> Callable[[Any], float]:
    """A reader of numbers from `least` to `most`."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        if not least <= (result := float(value)) <= most:
            raise ValueError
        return result

    return read


def whole(least: int, most: int) -> Callable[[Any], int]:
    """A reader of whole numbers from `least` to `most`."""
    read_number = number(least, most)

    def read(value: Any) -> int:
        if (result := read_number(value)) != int(result):
            raise ValueError
        return int(result)

    return read


def one_of(*words: str) -> Callable[[Any], str]:
    """A reader of one of some words."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return read


def text(value: Any) -> str:
    """Any text but an empty one."""
    if not (isinstance(value, str) and value):
        raise ValueError
    return value


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that can be said of a fault; `read` raises ValueError for what cannot be."""

    read: Callable[[Any], Any]
    means: str


PARAMETERS: Mapping[str, Parameter] = {
    "seconds": Parameter(number(0.001, MAX_SECONDS), "how long it lasts, at most 3600"),
    "count": Parameter(whole(1, 1_000_000), "how often it fires at most"),
    "probability": Parameter(number(0, 1), "of each occasion, from 0 to 1"),
    "after": Parameter(number(0, MAX_SECONDS), "seconds until it begins"),
    "every": Parameter(number(0.01, MAX_SECONDS), "seconds between two, give or take a half"),
    "channel": Parameter(one_of("public", "private"), "public or private connections only"),
    "account": Parameter(text, "one account only"),
    "symbol": Parameter(text, "one symbol only"),
    "topic": Parameter(text, "one topic only, or one kind of them (publicTrade)"),
    "path": Parameter(text, "requests only whose path has this in it"),
    "trades": Parameter(whole(1, 100_000), "how many trades"),
    "frames": Parameter(whole(1, 100), "how many frames"),
    "delay": Parameter(number(0.001, 600), "seconds by which the answer, or its loss, is late"),
    "reset": Parameter(one_of("future", "absent", "past"), "the header that says when to return"),
    "code": Parameter(whole(1, 999_999), "the retCode"),
}
TIMING = {
    ACT: ("after", "every", "count"),
    SESSION: ("after", "seconds", "count", "probability"),
    STREAM: ("after", "seconds", "count", "probability"),
    REST: ("after", "seconds", "count", "probability"),
    TRADE: ("after", "seconds", "count", "probability"),
}
CONNECTIONS, PUSHES, ANSWERS = ("channel", "account"), ("topic", "symbol", "account"), ("path",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault; `own` are its parameters beside those of its kind, `doc` where it comes from."""

    name: str
    kind: str
    does: str
    doc: str
    own: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of all its parameters."""
        return (*self.own, *TIMING[self.kind])


def _acts() -> Iterator[Fault]:
    drop = "V5 Connect: a connection may be dropped at any time"
    at_once: dict[str, Any] = {"kind": ACT, "own": CONNECTIONS}
    lasting: dict[str, Any] = {"kind": ACT, "defaults": {"seconds": 1.0}}
    yield Fault(name="close", does="ends connections with close frame 1000", doc=drop, **at_once)
    yield Fault(name="reset", does="ends connections with a TCP RST", doc=drop, **at_once)
    yield Fault(name="fin", does="ends connections without a close frame", doc=drop, **at_once)
    yield Fault(
        name="freeze",
        does="says nothing on the connections that are open, no pong either; then all of it",
        doc="V5 Connect: ping and pong are there to notice this",
        **lasting | {"own": ("seconds", *CONNECTIONS)},
    )
    yield Fault(
        name="refuse",
        does="closes the port: new connections are refused, this endpoint's too",
        doc="seen: ten refusals in a row end a client that gives up",
        **lasting | {"own": ("seconds",)},
    )
    yield Fault(
        name="private_drop",
        does="resets private connections and every attempt to come back; accounts go on",
        doc="V5 private topics: no snapshot, so REST is asked after each reconnect",
        **lasting | {"own": ("seconds", "account")},
    )
    yield Fault(
        name="public_drop",
        does="resets public connections, and trades go on before anybody is back",
        doc="V5 Recent Public Trades: the last 1,000 and no way further back",
        kind=ACT,
        own=("symbol", "trades"),
        defaults={"trades": 1500},
    )
    yield Fault(
        name="burst",
        does="one match of many trades, in several messages with one seq",
        doc="V5 Trade: at most 1,024 trades a message, the next has the same seq",
        kind=ACT,
        own=("symbol", "trades"),
        defaults={"trades": 1500},
    )
    yield Fault(
        name="replay",
        does="sends the last frames of each connection once more",
        doc="seen: executions and orders come twice",
        kind=ACT,
        own=("frames", *PUSHES),
        defaults={"frames": 10},
    )


def _sessions() -> Iterator[Fault]:
    yield Fault(
        name="handshake_502",
        kind=SESSION,
        does="answers WebSocket handshakes with HTTP 502",
        doc="seen: what a gateway says when nobody is behind it",
        own=("channel",),
    )
    yield Fault(
        name="auth_reject",
        kind=SESSION,
        does="refuses to authenticate a private connection",
        doc="V5 Connect: success false, Params Error",
        own=("account",),
    )
    yield Fault(
        name="subscribe_reject",
        kind=SESSION,
        does="refuses a subscription",
        doc="seen: error:handler not found",
        own=PUSHES,
    )
    yield Fault(
        name="delta_first",
        kind=SESSION,
        does="a ticker begins with a delta before its snapshot",
        doc="V5 Ticker: the first message is a snapshot; this one is not",
        own=("symbol",),
    )


def _streams() -> Iterator[Fault]:
    pushes: dict[str, Any] = {"kind": STREAM, "own": PUSHES}
    yield Fault(
        name="silence",
        does="says nothing on a topic, and then goes on, a ticker with a snapshot",
        doc="a stream that is alive and not whole: only its own silence shows it",
        **pushes,
    )
    yield Fault(
        name="out_of_order",
        does="lets the next frame of another topic go before",
        doc="V5 private topics promise no order between topics",
        **pushes,
    )
    yield Fault(
        name="duplicate_filled",
        kind=STREAM,
        does="sends Filled once more",
        doc="V5 Order: a cancellation that came too late makes a second Filled",
        own=("account",),
    )
    yield Fault(
        name="unknown_exec_type",
        kind=STREAM,
        does="an execution is followed by one of a type that nobody has heard of",
        doc="V5 Enums: execType grows",
        own=("account",),
    )
    yield Fault(
        name="unknown_field",
        does="rows have a field more",
        doc="V5 Changelog: new fields every month",
        **pushes,
    )
    yield Fault(
        name="missing_rpi",
        kind=STREAM,
        does="trades come without RPI",
        doc="V5 Changelog: RPI came in 2025",
        own=("symbol",),
    )
    yield Fault(
        name="garbage",
        does="a frame that is no message goes before a frame",
        doc="a frame that is not understood costs that frame alone",
        **pushes,
    )
    yield Fault(
        name="bad_number",
        does="a row whose figure is no number goes before a frame",
        doc="V5 Integration Guidance: figures are decimal strings; this one is not",
        **pushes,
    )


def _rest() -> Iterator[Fault]:
    answer: dict[str, Any] = {"kind": REST, "own": ("path", "account", "symbol")}

    def refusal(name: str, does: str, doc: str, **more: Any) -> Fault:
        own = (*answer["own"], *more.get("defaults", ()))
        return Fault(name=name, does=does, doc=doc, **answer | {"own": own} | more)

    limit = "V5 Rate Limit"
    yield refusal(
        "rate_limit", "refuses with 10006", f"{limit}: headers", defaults={"reset": "future"}
    )
    yield refusal("bad_timestamp", "refuses with 10002", "V5 Integration Guidance: recv_window")
    yield refusal(
        "error_code", "refuses with a code", "V5 Error: 10000, 10016", defaults={"code": 10016}
    )
    yield refusal("http_403", "HTTP 403", f"{limit}: too many requests of one address")
    yield refusal("http_429", "HTTP 429", f"{limit}: protection of the whole")
    yield refusal("http_502", "HTTP 502", "seen: a gateway with nobody behind it")
    yield refusal("html_body", "HTTP 200 with a page in place of JSON", "seen: a gateway's page")
    yield refusal("bad_json", "HTTP 200 with JSON that ends in the middle", "a broken answer")
    yield refusal("half_body", "the connection ends in the middle of the body", "a broken answer")
    yield refusal(
        "late", "answers late, as things were when asked", "a client's patience", defaults={"delay": 2.0}
    )  # fmt: skip
    yield refusal(
        "repeated_cursor", "a cursor leads to the page it came with, for ever", "V5 lists: cursors"
    )
    yield refusal(
        "empty_page", "an empty page with a cursor goes before a page", "V5 lists: cursors"
    )


def _trades() -> Iterator[Fault]:
    yield Fault(
        name="lost_answer",
        kind=TRADE,
        does="does what it is asked, and ends the connection in place of the answer",
        doc="seen: a timeout after the order was accepted",
        own=("path", "account", "delay"),
        defaults={"delay": 60.0},
    )
    yield Fault(
        name="batch_refusal",
        kind=TRADE,
        does="refuses an order of a batch with a code, each for itself; the others are taken",
        doc="V5 Batch Place Order: retCode 0, and a code for each order in retExtInfo",
        own=("path", "account", "symbol", "code"),
        defaults={"code": 110007},
    )


FAULTS: Mapping[str, Fault] = {
    fault.name: fault for part in (_acts, _sessions, _streams, _rest, _trades) for fault in part()
}


def summary() -> str:
    """The table for a terminal."""
    width = max(map(len, FAULTS))
    return "\n".join(f"  {one.name:{width}}  {one.does}" for one in FAULTS.values())


def markdown() -> str:
    """The table for documents, and what the parameters mean."""
    lines = ["| fault | what it does | parameters | why |", "|---|---|---|---|"]
    for one in FAULTS.values():
        own = ", ".join(_shown(one, name) for name in one.own)
        lines.append(f"| `{one.name}` ({one.kind}) | {one.does} | {own} | {one.doc} |")
    lines += ["", "| parameter | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {one.means} |" for name, one in PARAMETERS.items()]
    return "\n".join(lines) + "\n"


def _shown(fault: Fault, name: str) -> str:
    default = str(fault.defaults.get(name, "")).removesuffix(".0")
    return f"`{name}` ({default})" if default else f"`{name}`"
