"""Draw the grid of the worked example in strategy.md before and after a fill, as the engine has it.

    python -m docs.make_grid_picture

writes docs/pictures/grid-before-after-fill.svg. Colours follow the reader's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from gridcore import EventType, ExecutionEvent, GridConfig, GridEngine, TickerEvent

PATH = Path(__file__).parent / "pictures" / "grid-before-after-fill.svg"
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
START, FALLEN, FILL = Decimal("100.0"), Decimal("98.9"), Decimal("99.0")

WIDTH, HEIGHT = 1000, 520
PANEL_WIDTH, PANEL_TOP, PANEL_HEIGHT = 484, 8, 504
TOP, ROW = 138, 66  # of the highest price; pixels for 1.0 of price
BAR_LEFT, BAR_WIDTH, BAR_HEIGHT = 62, 170, 40
FLAG_WIDTH, LEAD = 118, 14

STYLE = """\
  text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 15px; }
  .panel { fill: #f6f8fa; stroke: #d0d7de; }
  .title { font-size: 20px; font-weight: 600; fill: #1f2328; }
  .note, .number { fill: #59636e; }
  .number { text-anchor: end; font-variant-numeric: tabular-nums; }
  .small { font-size: 13px; }
  .side { font-weight: 700; letter-spacing: 0.06em; font-size: 14px; }
  .price { text-anchor: end; font-variant-numeric: tabular-nums; font-weight: 600; fill: #1f2328; }
  .Buy .bar { fill: #ddf4ff; stroke: #218bff; } .Buy .side { fill: #0550ae; }
  .Sell .bar { fill: #fff1e5; stroke: #e16f24; } .Sell .side { fill: #953800; }
  .Wait .bar { fill: #eaeef2; stroke: #818b98; } .Wait .side { fill: #454c54; }
  .gone .bar { fill: none; stroke: #818b98; stroke-dasharray: 5 4; }
  .gone .side, .gone .price { fill: #59636e; font-weight: 400; }
  .market { stroke: #8250df; stroke-width: 2; stroke-dasharray: 2 4; stroke-linecap: round; }
  .flag { fill: #8250df; } .flagged { fill: #ffffff; font-weight: 600; text-anchor: middle; }
  @media (prefers-color-scheme: dark) {
    .panel { fill: #151b23; stroke: #3d444d; }
    .title, .price { fill: #f0f6fc; }
    .note, .number, .gone .side, .gone .price { fill: #a5aeb8; }
    .Buy .bar { fill: #0c2d4d; stroke: #388bfd; } .Buy .side { fill: #a5d6ff; }
    .Sell .bar { fill: #4a2509; stroke: #db6d28; } .Sell .side { fill: #ffc680; }
    .Wait .bar { fill: #2a313c; stroke: #9198a1; } .Wait .side { fill: #d1d7e0; }
    .gone .bar { fill: none; stroke: #9198a1; }
    .market { stroke: #ab7df8; } .flag { fill: #8957e5; }
  }"""

Level = Mapping[str, Any]


class Panel(NamedTuple):
    """One half of the picture; `notes` and `gone` by price."""

    left: int
    title: str
    subtitle: str
    levels: list[Level]
    market: Decimal
    notes: dict[Decimal, str]
    gone: list[Level]


def story() -> tuple[list[Level], list[Level]]:
    """Return the levels that the engine has before and after the fill."""
    symbol = "BTCUSDT"
    engine = GridEngine(symbol, Decimal("0.1"), GridConfig(4, 1.0), "s1")

    def ticker(price: Decimal) -> None:
        engine.on_event(TickerEvent(EventType.TICKER, symbol, MOMENT, MOMENT, last_price=price))

    ticker(START)
    before = engine.snapshot()["grid"]
    ticker(FALLEN)
    engine.on_event(ExecutionEvent(EventType.EXECUTION, symbol, MOMENT, MOMENT, price=FILL))
    return before, engine.snapshot()["grid"]


def picture() -> str:
    """Return the whole SVG."""
    before, after = story()
    panels = (
        Panel(
            8,
            "Before the fill",
            "Two levels buy below the price, two sell above it.",
            before,
            START,
            {START: "the centre"},
            [],
        ),
        Panel(
            WIDTH - PANEL_WIDTH - 8,
            "After the fill",
            f"The buy at {FILL} has traded: one level further down.",
            after,
            FALLEN,
            dict(_changes(before, after)),
            [level for level in before if level["price"] not in _prices(after)],
        ),
    )
    top = max(_prices(before) | _prices(after))
    body = "\n".join(line for panel in panels for line in _panel(panel, top))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" \
aria-labelledby="title description">
<title id="title">A grid before and after a fill</title>
<desc id="description">{_description("Before", before)} {_description("After", after)}</desc>
<style>
{STYLE}
</style>
{body}
</svg>
"""


def _prices(levels: list[Level]) -> set[Decimal]:
    return {level["price"] for level in levels}


def _changes(before: list[Level], after: list[Level]) -> Iterator[tuple[Decimal, str]]:
    old = {level["price"]: level["side"] for level in before}
    for level in after:
        price, side = level["price"], level["side"]
        if price not in old:
            yield price, "new at the bottom"
        elif price == FILL:
            yield price, "filled: waits"
        elif old[price] != side:
            yield price, f"was {old[price].upper()}"
    for price in old.keys() - _prices(after):
        yield price, "leaves at the top"


def _description(when: str, levels: list[Level]) -> str:
    return f"{when}: " + ", ".join(f"{x['side']} {x['price']}" for x in reversed(levels)) + "."


def _panel(panel: Panel, top: Decimal) -> Iterator[str]:
    left = panel.left

    def height(price: Decimal) -> int:
        return TOP + int((top - price) * ROW)

    yield (
        f'<rect class="panel" x="{left}" y="{PANEL_TOP}" width="{PANEL_WIDTH}" '
        f'height="{PANEL_HEIGHT}" rx="10"/>'
    )
    yield f'<text class="title" x="{left + 24}" y="46">{panel.title}</text>'
    yield f'<text class="note" x="{left + 24}" y="72">{panel.subtitle}</text>'
    yield f'<text class="number small" x="{left + BAR_LEFT - 12}" y="{TOP - 32}">level</text>'
    for level in [*panel.levels, *panel.gone]:
        kind = "gone" if level in panel.gone else str(level["side"])
        note = panel.notes.get(level["price"], "")
        yield from _level(level, kind, left, height(level["price"]), note)
    yield from _flag(left + PANEL_WIDTH - FLAG_WIDTH - 12, height(panel.market), panel.market)


def _level(level: Level, kind: str, left: int, middle: int, note: str) -> Iterator[str]:
    bar, line = left + BAR_LEFT, middle + 5
    yield f'<g class="{kind}">'
    yield f'<text class="number" x="{bar - 12}" y="{line}">{level["level"]:+d}</text>'.replace(
        ">+0<", ">0<"
    ).replace(">-", ">\N{MINUS SIGN}")
    yield (
        f'<rect class="bar" x="{bar}" y="{middle - BAR_HEIGHT // 2}" width="{BAR_WIDTH}" '
        f'height="{BAR_HEIGHT}" rx="6"/>'
    )
    yield f'<text class="side" x="{bar + 16}" y="{line}">{level["side"].upper()}</text>'
    yield f'<text class="price" x="{bar + BAR_WIDTH - 16}" y="{line}">{level["price"]}</text>'
    if note:
        yield f'<text class="note" x="{bar + BAR_WIDTH + 12}" y="{line}">{note}</text>'
    yield "</g>"


def _flag(left: int, middle: int, price: Decimal) -> Iterator[str]:
    right = left + FLAG_WIDTH
    yield (
        f'<line class="market" x1="{left - LEAD}" y1="{middle}" x2="{left}" y2="{middle}"/>'
        f'<path class="flag" d="M{left} {middle} l12 -15 H{right - 5} q5 0 5 5 v20 q0 5 -5 5 '
        f'H{left + 12} z"/>'
        f'<text class="flagged" x="{(left + 10 + right) // 2}" y="{middle + 5}">'
        f"price {price}</text>"
    )


if __name__ == "__main__":
    PATH.write_text(picture(), encoding="utf-8")
