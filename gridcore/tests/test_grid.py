"""The grid: ladder, sides, centring, restoring."""

from __future__ import annotations

import copy
import logging
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcore.grid import Grid, GridSideType

D = Decimal
BUY, SELL, WAIT = GridSideType.BUY, GridSideType.SELL, GridSideType.WAIT
CENTRES = st.decimals("1000", "900000", places=4)


def make(count=4, step=1.0, centre="100", tick="0.1", threshold=0.3):
    grid = Grid(D(tick), count, step, threshold)
    grid.build_grid(None if centre is None else D(centre))
    return grid


def prices(grid):
    return [level["price"] for level in grid.grid]


def sides(grid):
    return "".join(level["side"][0] for level in grid.grid)


def numbers(grid):
    return [level["level"] for level in grid.grid]


def hand_made(text, *values):
    by_letter = {side[0]: side for side in GridSideType}
    return [{"side": by_letter[s], "price": D(str(p))} for s, p in zip(text, values, strict=True)]


def state(grid):
    return copy.deepcopy((grid.grid, grid.anchor_price, grid.version))


def test_the_reference_ladder():
    grid = make(50, 0.2, "100000")
    wanted = {0: "95118.2", 24: "99800.0", 25: "100000.0", 26: "100200.0", 50: "105121.8"}
    assert {index: str(grid.grid[index]["price"]) for index in wanted} == wanted
    assert sides(grid) == "B" * 25 + "W" + "S" * 25
    assert numbers(grid) == list(range(-25, 26))


@pytest.mark.parametrize(("count", "levels"), [(50, 51), (11, 11), (10, 11), (1, 1)])
def test_half_of_the_count_lies_on_each_side(count, levels):
    assert len(make(count).grid) == levels


@given(CENTRES, st.sampled_from([0.1, 0.2, 0.35, 1, 2.5]), st.sampled_from(["0.1", "0.5", "0.03"]))
def test_each_level_is_the_rounded_step_from_the_rounded_one_before(centre, step, tick):
    grid = make(20, step, centre, tick)
    ticks = [Fraction(price) / Fraction(tick) for price in prices(grid)]
    up, down = (1 + sign * Fraction(str(step)) / 100 for sign in (1, -1))
    assert grid.anchor_price == prices(grid)[10]
    assert ticks[10] == round(Fraction(centre) / Fraction(tick))
    for index in range(10):
        assert ticks[11 + index] == round(ticks[10 + index] * up)
        assert ticks[9 - index] == round(ticks[10 - index] * down)


def test_a_restart_from_the_anchor_gives_the_same_ladder():
    grid = make(50, 0.2, "100000.05")
    again = make(50, 0.2, grid.anchor_price)
    assert again.grid == grid.grid


def test_no_float_noise_above_half_a_million():
    # Fault: 565755.2000000001 as a price.
    assert all(len(str(price).split(".")[1]) == 1 for price in prices(make(50, 0.2, "565755.2")))


def test_nothing_to_build_from_changes_nothing():
    assert make(centre=None).grid == []
    grid = make()
    before = state(grid)
    grid.build_grid(None)
    assert state(grid) == before


@pytest.mark.parametrize(
    "price", ["NaN", "Infinity", "-Infinity", "0", "-1", "x", True, "1E+99999"]
)
def test_a_price_that_is_none_is_refused_and_changes_nothing(price):
    grid = make()
    before = state(grid)
    for attempt in (
        lambda: grid.build_grid(price),
        lambda: grid.update_grid(price, D(100)),
        lambda: grid.update_grid(D(100), price),
    ):
        with pytest.raises(ValueError, match="must be"):
            attempt()
    assert state(grid) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"centre": "0.04"}, "non-positive price"),
        ({"centre": "100", "step": 150}, "non-positive price"),
        ({"centre": "1", "step": 0.2}, r"duplicate prices in the grid: 1\.0 with tick_size=0\.1"),
    ],
)
def test_a_failed_build_leaves_everything_as_it_was(values, message):
    grid = make(step=values.get("step", 0.2), centre=None)
    grid.restore_grid(hand_made("BWS", 90, 100, 110))
    before = state(grid)
    with pytest.raises(ValueError, match=message):
        grid.build_grid(values["centre"])
    assert state(grid) == before


def test_prices_may_be_given_as_floats_and_texts():
    for price in (100.0, "100", 100, D(100)):
        grid = Grid("0.1", 4, 1.0)
        grid.build_grid(price)
        assert prices(grid) == list(map(D, ("98.0", "99.0", "100.0", "101.0", "102.0")))


def test_a_grid_needs_a_tick_and_a_config():
    with pytest.raises(ValueError, match="tick_size must be positive"):
        Grid(D(0))
    with pytest.raises(ValueError, match="grid_count must be positive"):
        Grid(D(1), 0)


def test_building_again_replaces_and_says_so(caplog):
    grid = make()
    with caplog.at_level(logging.INFO, "gridcore.grid"):
        grid.build_grid(200)
    assert (len(grid.grid), grid.anchor_price, grid.version) == (5, 200, 2)
    assert "Grid built" in caplog.text
    grid.build_grid(200)
    assert grid.version == 2


def test_nothing_to_update_from_changes_nothing():
    grid = make()
    before = state(grid)
    grid.update_grid(None, D(100))
    grid.update_grid(D(100), None)
    assert state(grid) == before


def test_a_fill_waits_and_the_rest_follow_the_price():
    grid = make(4, 1.0, threshold=0.9)
    before = list(grid.grid)
    grid.update_grid(D("99.0"), D("99.4"))
    assert sides(grid) == "BWSSS"
    assert all(level is old for level, old in zip(grid.grid, before, strict=True))
    assert grid.anchor_price == 100


def test_too_close_is_strict_below_the_fill_as_well():
    # 400*|60 - 66| = 40*60
    grid = make(2, 40.0, threshold=0.9)
    grid.update_grid(D("66"), D("100"))
    assert sides(grid)[0] == "B"
    grid._assign_sides(D("100"), fill_price=D("65.9"))
    assert sides(grid)[0] == "W"


def test_too_close_is_strict():
    # At level 100 the limit is 0.25: a fill exactly there is far enough.
    grid = make(threshold=0.9)
    grid._assign_sides(D("100.2"), fill_price=D("99.75"))
    assert grid.grid[2]["side"] == BUY
    grid._assign_sides(D("100.2"), fill_price=D("99.75001"))
    assert grid.grid[2]["side"] == WAIT


def test_a_level_at_the_last_price_keeps_its_side():
    grid = make(threshold=0.9)
    grid._assign_sides(D(99), fill_price=D(102))
    assert sides(grid) == "BBSSW"


def test_the_fill_price_must_be_named():
    with pytest.raises(TypeError):
        make()._assign_sides(D(100))


@pytest.mark.parametrize("close", ["98", "102", "97.99", "500"])
def test_a_price_at_the_bound_or_outside_rebuilds(close, caplog):
    grid = make(threshold=0.9)
    with caplog.at_level(logging.INFO, "gridcore.grid"):
        grid.update_grid(D(close), D(close))
    assert grid.anchor_price == grid.scale.value(grid.scale.nearest(D(close)))
    assert (sides(grid), len(caplog.records)) == ("BBWSS", 2)


def test_an_empty_grid_is_built_by_a_fill():
    grid = make(centre=None)
    grid.update_grid(D(100), D(100))
    assert sides(grid) == "BBWSS"


def test_centring_moves_one_level_and_keeps_numbers():
    grid = make(6, 1.0)
    kept = grid.grid[1:]
    grid.update_grid(D("102.0"), D("101.5"))
    # Five levels, of which 4 buy: one moves to the top, and the others keep their numbers.
    assert numbers(grid) == [-2, -1, 0, 1, 2, 3, 4]
    assert all(level is old for level, old in zip(grid.grid, kept, strict=False))
    assert grid.grid[-1] == {"side": SELL, "price": D("104.0"), "level": 4}


def test_centring_down_mirrors():
    grid = make(6, 1.0)
    grid.update_grid(D("98.0"), D("98.5"))
    assert numbers(grid) == [-4, -3, -2, -1, 0, 1, 2]
    assert grid.grid[0] == {"side": BUY, "price": D("96.0"), "level": -4}


def test_the_threshold_is_strict():
    grid = make(threshold=0.5)
    grid.grid = [*make().grid[:4], make().grid[4] | {"side": WAIT}]
    grid.grid[2]["side"] = BUY
    before = copy.deepcopy(grid.grid)
    grid._centre()
    assert grid.grid == before  # 3 buys and 1 sell: exactly half
    grid.grid[3]["side"] = WAIT
    grid._centre()
    assert numbers(grid) == [-1, 0, 1, 2, 3]


def test_a_gap_below_the_top_makes_no_level_at_zero():
    # Fault: with no SELL left, the new top was 0 * (1 + step).
    grid = make(50, 0.2, "100000")
    top = prices(grid)[-1]
    grid.update_grid(top, top - 1)
    grid.update_grid(top, top - 1)
    assert min(prices(grid)) > 95000
    assert grid.is_price_sorted()


@pytest.mark.parametrize("edge", [0, -1])
def test_a_fill_at_the_edge_makes_no_price_twice(edge):
    # Fault: the edge's own price was offered again beside it.
    grid = make(50, 0.2, "100000")
    price = prices(grid)[edge]
    grid.update_grid(price, price + (1 if edge == 0 else -1))
    assert len(set(prices(grid))) == 51
    assert grid.is_price_sorted()
    assert numbers(grid)[0] == (-26 if edge == 0 else -24)


WALKS = st.lists(
    st.tuples(st.integers(0, 4), st.fractions(Fraction(1, 100), Fraction(99, 100))), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(WALKS, st.sampled_from([4, 5, 8]))
def test_any_walk_keeps_length_numbers_and_prices(walk, count):
    grid = make(count, 1.0, "1000")
    anchor, length, ladder = grid.anchor_price, len(grid.grid), make(400, 1.0, "1000")
    by_number = dict(zip(numbers(ladder), prices(ladder), strict=True))
    for index, part in walk:
        low, high = grid.bounds
        fill = prices(grid)[index]
        grid.update_grid(fill, low + (high - low) * D(part.numerator) / D(part.denominator))
        assert len(grid.grid) == length
        assert grid.is_price_sorted()
        assert min(prices(grid)) > 0
        assert numbers(grid) == list(range(numbers(grid)[0], numbers(grid)[0] + length))
        assert grid.anchor_price == anchor
        # A level's price follows from the centre and its number alone.
        assert all(by_number[level["level"]] == level["price"] for level in grid.grid)


@settings(max_examples=60, deadline=None)
@given(WALKS)
def test_what_a_walk_left_is_restored_as_it_was(walk):
    # Fault: a waiting level inside a run, after a gap, made the grid be refused at restart.
    grid = make(6, 1.0, "1000")
    for index, part in walk:
        low, high = grid.bounds
        grid.update_grid(
            prices(grid)[index], low + (high - low) * D(part.numerator) / D(part.denominator)
        )
    restored = Grid(D("0.1"), 6, 1.0)
    if {BUY, SELL} <= {level["side"] for level in grid.grid}:
        assert restored.restore_grid(grid.grid, grid.anchor_price)
        assert (restored.grid, restored.anchor_price) == (grid.grid, grid.anchor_price)
        fill, close = prices(grid)[1], sum(grid.bounds) / 2
        grid.update_grid(fill, close)
        restored.update_grid(fill, close)
        assert restored.grid == grid.grid


def test_a_wait_inside_a_run_is_restored_but_not_correct():
    grid = make(centre=None)
    assert grid.restore_grid(hand_made("BWBSS", 97, 98, 99, 100, 101))
    assert not grid.is_grid_correct()


def test_nothing_is_shifted_onto_a_neighbour_or_below_a_tick():
    grid = make(4, 1.0, centre=None, tick="1")
    for text in ("BBS", "BSS"):
        grid.restore_grid(hand_made(text, 1, 2, 3))
        before = state(grid)
        grid._centre()
        assert state(grid) == before
    steep = make(4, 99.0, centre=None, tick="1")
    steep.restore_grid(hand_made("BSS", 1, 2, 3))
    steep._centre()
    assert prices(steep) == [1, 2, 3]


def test_a_grid_of_another_ladder_is_extended_from_its_edge():
    grid = make(centre=None)
    grid.restore_grid(hand_made("BBBBBBS", 94, 95, 96, 97, 98, 99, 110))
    grid._centre()
    assert grid.grid[-1] == {"side": SELL, "price": D("111.1"), "level": 4}
    grid._ladder = None
    grid._centre()
    assert grid.grid[-1]["price"] == D("112.2")


def test_a_grid_that_all_waits_is_not_shifted():
    grid = make(2)
    for level in grid.grid:
        level["side"] = WAIT
    grid._centre()
    assert numbers(grid) == [-1, 0, 1]


def test_the_version_counts_changes_only():
    grid = make(threshold=0.9)
    grid.update_grid(D("100.0"), D("100.1"))
    assert grid.version == 1
    grid.update_grid(D("99.0"), D("99.1"))
    assert grid.version == 2
    grid.restore_grid([])
    assert grid.version == 3
    grid.restore_grid([])
    assert grid.version == 3


def test_bounds_do_not_assume_an_order():
    grid = make()
    grid.grid.reverse()
    assert grid.bounds == (grid.min_grid, grid.max_grid) == (98, 102)
    assert not grid.is_price_sorted()


@pytest.mark.parametrize("name", ["bounds", "min_grid", "max_grid"])
def test_an_empty_grid_has_no_bounds(name):
    with pytest.raises(ValueError, match="empty grid"):
        getattr(make(centre=None), name)


def test_an_empty_grid_has_no_centre():
    with pytest.raises(ValueError, match="empty grid"):
        make(centre=None).wait_center()


@pytest.mark.parametrize(
    ("text", "values", "centre"),
    [
        ("BWS", (1, 2, 3), "2"),
        ("BWWS", (1, 2, 3, 4), "2.5"),
        ("BWBWS", (1, 2, 3, 4, 5), "3"),
        ("BBS", (1, 2, 9), "2"),
        ("BBSS", (1, 2, 9, 10), "5.5"),
    ],
)
def test_the_centre_is_the_middle_of_what_waits_else_the_median(text, values, centre):
    grid = make(centre=None)
    grid.grid = hand_made(text, *values)
    assert grid.wait_center() == D(centre)


@pytest.mark.parametrize(
    ("text", "values", "correct"),
    [
        ("BWS", (1, 2, 3), True),
        ("BBWWSS", range(1, 7), True),
        ("BS", (1, 2), True),
        ("BWS", (1, 2, 2), False),
        ("BWS", (1, 3, 2), False),
        ("BWBS", range(1, 5), False),
        ("SWB", (1, 2, 3), False),
        ("BBW", (1, 2, 3), False),
        ("WSS", (1, 2, 3), False),
        ("WWW", (1, 2, 3), False),
        ("", (), False),
    ],
)
def test_a_correct_grid_buys_below_and_sells_above(text, values, correct):
    grid = make(centre=None)
    grid.grid = hand_made(text, *values)
    assert grid.is_grid_correct() is correct


NO_PRICES: list[Any] = ["NaN", D("-Infinity"), -99, 0, "x", None, "99.05", 101, 102, True]
NO_PRICES += ["1E+999999999"]
NO_SIDES: list[Any] = ["Sell", "Wait", "buy", None, []]
NO_NUMBERS: list[Any] = [None, 0, -2, "-1", -1.0, True]
GOOD = [
    {"side": "Buy", "price": "99", "level": -1},
    {"side": "Wait", "price": 100.0, "level": 0},
    {"side": "Sell", "price": D("101"), "level": 1},
]


def test_numbers_and_texts_are_restored_as_ours():
    grid = make(centre=None)
    assert grid.restore_grid(GOOD)
    assert grid.grid[0] == {"side": BUY, "price": D("99.0"), "level": -1}
    assert str(grid.grid[0]["price"]) == "99.0"
    assert (grid.anchor_price, grid.version) == (100, 1)


@pytest.mark.parametrize(
    ("index", "values"),
    [
        *((0, {"price": value}) for value in NO_PRICES),
        *((0, {"side": value}) for value in NO_SIDES),
        (2, {"side": "Buy"}),
        *((0, {"level": value}) for value in NO_NUMBERS),
    ],
)
def test_what_is_no_grid_of_ours_empties_it(index, values, caplog):
    grid = make()
    caplog.clear()
    levels = [level | values if i == index else level for i, level in enumerate(GOOD)]
    assert not grid.restore_grid(levels)
    assert (grid.grid, grid.anchor_price, caplog.records) == ([], None, [])


@pytest.mark.parametrize("levels", [[], None, [1], [{}], "grid", {"side": "Buy"}])
def test_what_is_no_list_of_levels_is_refused(levels):
    assert not make().restore_grid(levels)


@pytest.mark.parametrize("anchor", [0, -1, "x", D("NaN")])
def test_an_anchor_that_is_no_price_is_refused(anchor):
    assert not make().restore_grid(GOOD, anchor)


def test_sides_must_not_cross():
    assert not make().restore_grid(hand_made("SB", 1, 2))
    assert not make().restore_grid(hand_made("BSBS", 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "values", "anchor", "first"),
    [
        ("BWS", (99, 100, 101), None, -1),
        ("BWS", (99, 100, 101), D("101.04"), -2),
        ("BWS", (99, 100, 101), D(500), -1),
        ("BS", (99, 101), None, 0),
        ("BBS", (98, 99, 101), None, -1),
        ("BWWS", (1, 2, 3, 4), None, -1),
    ],
)
def test_levels_without_numbers_are_counted_from_the_middle(text, values, anchor, first):
    grid = make(centre=None)
    assert grid.restore_grid(hand_made(text, *values), anchor)
    assert numbers(grid) == list(range(first, first + len(values)))


def test_the_anchor_is_the_given_one_else_level_0_else_unknown():
    grid = make(centre=None)
    grid.restore_grid(GOOD, D("100.04"))
    assert str(grid.anchor_price) == "100.0"
    shifted = [level | {"level": level["level"] + 5} for level in GOOD]
    assert grid.restore_grid(shifted)
    assert (grid.anchor_price, numbers(grid)) == (None, [4, 5, 6])
    assert grid.restore_grid(shifted, 95)
    assert grid.anchor_price == 95


def test_a_restored_grid_shares_nothing_with_what_was_saved():
    grid, saved = make(centre=None), copy.deepcopy(GOOD)
    grid.restore_grid(saved)
    grid.update_grid(D(100), D("100.9"))
    assert saved == GOOD
