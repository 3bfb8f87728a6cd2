"""The report: whole in itself, escaped, and drawn by a real browser."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from strategies.backtest.happenings import SimulatedFill
from strategies.models import BacktestSummary
from strategies.report import page
from strategies.report.figures import MOST_MARKERS, MOST_STRETCHES, pictures

SINCE = datetime(2026, 1, 2, tzinfo=UTC)
D = Decimal
EVIL = '</script><script>document.title="taken"</script><img src=x>'
ASSUMPTIONS = {
    "config": {"grid_count": 4, "note": EVIL},
    "fill_model": "strict_cross",
    "every_trade": False,
    "maker_fee": "0.0002",
    "taker_fee": "0.00055",
    "leverage": 10,
    "tick_size": "0.1",
    "qty_step": "0.001",
    "min_qty": "0.001",
    "min_notional": "5",
    "funding_interval_minutes": 480,
    "fundings_recorded": 0,
    "tiers": [["Infinity", "0.005", "0", "0.01"]],
    "source": [f"{EVIL}.parquet"],
}


def summary(**columns):
    """A summary that is not stored."""
    money = dict.fromkeys(
        ("realised", "unrealised", "fees", "funding", "forgiven", "turnover", "turnover_share",
         "peak_margin", "return_share"), D(0),
    )  # fmt: skip
    return BacktestSummary(
        symbol="BTCUSDT", since=SINCE, until=SINCE + timedelta(hours=1),
        starting_balance=D(100), final_equity=D(100), under_water=timedelta(0),
        under_water_share=0.0, longest_under_water=timedelta(0), closing_trades=0,
        orders_placed=0, public_trades=3, code_version=EVIL, data_fingerprint="0" * 64,
        **{
            **money,
            "fills": 0,
            "assumptions": ASSUMPTIONS,
            "coverage": {"complete": True, "feeds": {}},
            "price_bars": [[1767312000000, 99.0, 101.0, 100.0]],
            "grid": {"start": [["Buy", "99"], ["Sell", "101"]], "end": [["Buy", "99"]]},
            **columns,
        },
    )  # fmt: skip


def fill(number, **columns):
    """A Buy that opens a long."""
    return SimulatedFill(
        **{
            "exec_id": f"x{number}",
            "time": SINCE + timedelta(seconds=number),
            "trade_index": number,
            "order_id": "o",
            "level": -1,
            "direction": "long",
            "side": "Buy",
            "opens": True,
            "price": D(99),
            "qty": D("0.5"),
            "fee": D("0.01"),
            "is_maker": True,
            "closed_size": D(0),
            "closed_pnl": D(0),
            "rule": "strict_cross",
            "trade_price": D("98.9"),
            "previous_price": None,
            "equity": D(100),
            **columns,
        }
    )


def drawn(fills=(), points=(), **columns):
    """The pictures' figures by name."""
    found = pictures(summary(**columns), fills, (), points)
    return {each.name: each.figure for each in found}


def named(figure, name):
    return next(trace for trace in figure["data"] if trace["name"] == name)


def test_the_page_needs_nothing_else():
    html = page.render("grid", summary(), [fill(1)], [], [])
    own = html.replace(page.plotly(), "")
    assert len(own) < 100_000 < len(html)
    assert re.findall(r"https?://|//cdn|@import|<link|<script src|<img|url[(]", own) == []
    assert "default-src 'none'" in own


def test_names_texts_and_data_are_escaped():
    refusals, fills = {EVIL: 1}, [fill(1, rule=EVIL)]
    html = page.render(EVIL, summary(refusals=refusals, no_fills_because=EVIL), fills, [], [])
    own = html.replace(page.plotly(), "")
    assert "<img" not in own
    assert own.count("<script>") == own.count("</script>") == 2
    assert "&lt;/script&gt;" in own


def test_of_many_fills_the_page_lists_both_ends_and_says_so():
    many = [fill(number) for number in range(page.MOST_ROWS + 10)]
    html = page.render("grid", summary(fills=len(many)), many, [], [])
    assert "The first 1000 and the last 1000 of 2010: 10 between them are not listed." in html
    assert html.count('<td class="gain">Buy</td>') == page.MOST_ROWS


def test_many_points_are_joined_and_extremes_kept():
    size = 2 * MOST_STRETCHES + 1
    points = [(SINCE + timedelta(seconds=n), D(100), D(99), D(101)) for n in range(size)]
    points[777] = (points[777][0], D(100), D(50), D(300))
    equity = drawn(points=points)["equity"]
    line, band = named(equity, "equity"), named(equity, "extremes")
    assert len(line["x"]) <= MOST_STRETCHES
    assert (min(band["y"]), max(band["y"])) == (50, 300)
    assert line["x"][-1] == "2026-01-02 00:50:00.000"


def test_the_drawdown_is_a_share_of_the_peak_at_its_time():
    points = [
        (SINCE, D(120), D(100), D(120)),
        (SINCE, D(90), D(90), D(120)),  # a quarter of 120
        (SINCE, D(400), D(90), D(400)),
        (SINCE, D(360), D(360), D(400)),  # a tenth of 400
    ]
    assert named(drawn(points=points)["equity"], "drawdown")["y"] == pytest.approx(
        [0, -25, -25, -10]
    )


def test_sizes_and_margin_follow_the_fills():
    fills = [
        fill(1, qty=D(3)),
        fill(2, side="Sell", opens=False, qty=D(1), closed_size=D(1)),
        fill(3, side="Sell", direction="short", qty=D(2), trade_price=D(200)),
    ]
    position = drawn(fills)["position"]
    assert named(position, "long")["y"] == [0, 3, 2, 2, 2]
    assert named(position, "short")["y"] == [0, 0, 0, -2, -2]
    # A leverage of 10: a tenth of the value of both legs.
    assert named(position, "initial margin")["y"] == pytest.approx([0, 29.67, 19.78, 80, 80])


def test_what_was_paid_adds_up():
    fills = [fill(1), fill(2, closed_pnl=D(3), opens=False, closed_size=D("0.5"))]
    costs = drawn(fills)["costs"]
    assert named(costs, "realised, before fees")["y"] == [0, 3]
    assert named(costs, "fees")["y"] == [-0.01, -0.02]


def test_of_many_fills_some_are_drawn_and_the_note_says_so():
    many = [fill(number) for number in range(MOST_MARKERS + 1)]
    picture = next(p for p in pictures(summary(), many, (), ()) if p.name == "price")
    assert len(named(picture.figure, "Buy")["x"]) == MOST_MARKERS // 2 + 1
    assert "Of 4,001 fills one in 2 is drawn." in picture.note


def test_data_in_a_script_ends_no_script():
    text = page.script_json({"name": EVIL})
    assert "<" not in text
    assert json.loads(text) == {"name": EVIL}


def test_a_browser_draws_every_picture_from_a_file(chromium, tmp_path):
    path = tmp_path / "report.html"
    points = [(SINCE, D(100), D(100), D(100)), (SINCE + timedelta(hours=1), D(101), D(99), D(101))]
    path.write_text(page.render(EVIL, summary(), [fill(1)], [], points), encoding="utf-8")
    opened, complaints, asked = chromium.new_page(), [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    try:
        opened.goto(path.as_uri())
        assert opened.locator(".picture:has(.main-svg)").count() == 4
        assert opened.title() == f"Backtest of {EVIL}"
    finally:
        opened.close()
    assert (complaints, asked) == ([], [path.as_uri()])
