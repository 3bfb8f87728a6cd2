"""The file store: what goes in comes out, and what makes no grid does not go in."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridcore.persistence import GridAnchorStore, grid_fingerprint, grid_fingerprint_hash
from gridcore.tests.stores import ENTRY, GRID, put

D = Decimal


def test_the_default_file_lies_in_db():
    assert GridAnchorStore()._path == Path("db/grid_anchor.json")


def test_what_was_saved_is_loaded(store):
    store.save("s1", D("100.0"), 0.2, 2, GRID)
    assert store.load("s1") == {**ENTRY, "grid": GRID}
    assert str(store.load("s1")["anchor_price"]) == "100.0"


def test_a_grid_is_optional_and_an_anchor_may_be_shifted_out(store):
    store.save("s1", None, D("0.2"), 2)
    assert store.load("s1") == {**ENTRY, "anchor_price": None}


@given(
    anchor=st.decimals("1E-12", "1E+12"),
    step=st.floats(0.0001, 50),
    count=st.integers(1, 10**6),
    strat_id=st.text(min_size=1),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_and_names_survive_exactly(store, anchor, step, count, strat_id):
    store.save(strat_id, anchor, step, count)
    expected = {"anchor_price": anchor, "grid_step": D(str(step)), "grid_count": count}
    assert store.load(strat_id) == expected


def test_the_file_is_json_that_others_can_read(store, path):
    store.save("s1", D("100.0"), 0.2, 2, GRID)
    entry = json.loads(path.read_text())["s1"]
    assert entry["grid"][0] == {"side": "Buy", "price": "99.8", "level": -1}
    assert (entry["anchor_price"], entry["grid_step"], entry["grid_count"]) == ("100.0", "0.2", 2)


def test_numbers_in_the_file_are_read_exactly(store, path):
    put(path, '{"s1": {"anchor_price": 0.1000000000000000055511, "grid_step": 1, "grid_count": 2}}')
    loaded = store.load("s1")
    assert loaded["anchor_price"] == D("0.1000000000000000055511")
    assert loaded["grid_step"] == 1


def test_entries_of_other_strategies_stay_as_they_are(store, path):
    other = {"grid_step": 0.25, "note": [None, True, "text"], "huge": 10**30}
    put(path, {"s2": other, "s3": "odd"})
    store.save("s1", D(1), 1, 2)
    content = json.loads(path.read_text())
    assert content["s2"] == {**other, "grid_step": "0.25"}
    assert content["s3"] == "odd"


def test_what_is_not_there_is_none(store, path):
    assert store.load("s1") is None
    assert not path.parent.exists()
    put(path, {"s2": {}, "s3": [1], "s4": None})
    assert [store.load(name) for name in ("s1", "s3", "s4")] == [None] * 3


def test_a_deleted_entry_is_gone_and_the_others_are_not(store, path):
    store.delete("s1")
    assert not path.exists()
    for name in ("s1", "s2"):
        store.save(name, D("100.0"), 0.2, 2)
    store.delete("s1")
    before = path.stat().st_ino
    store.delete("s1")
    assert (store.load("s1"), store.load("s2")) == (None, ENTRY)
    assert path.stat().st_ino == before


def test_what_another_has_deleted_is_not_brought_back(store, path):
    """A writer that holds an old copy of the file would undo the deletion."""
    store.save("s1", D("100.0"), 0.2, 2)
    GridAnchorStore(path).delete("s1")
    store.save("s2", D("100.0"), 0.2, 2)
    assert (store.load("s1"), store.load("s2")) == (None, ENTRY)


@pytest.mark.parametrize("strat_id", ["", None, 7])
@pytest.mark.parametrize(
    "call",
    [
        lambda store, name: store.load(name),
        lambda store, name: store.save(name, D(1), 1, 1),
        lambda store, name: store.delete(name),
    ],
)
def test_without_a_strategy_nothing_is_done(store, path, call, strat_id):
    """None would be saved under the key "null"."""
    with pytest.raises(ValueError, match=f"strat_id must be a text .* not {strat_id!r}"):
        call(store, strat_id)
    assert not path.parent.exists()


NO_NUMBERS = [D("NaN"), math.nan, D("Infinity"), 0, -1, "ten", True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *[((x, 0.2, 2), "anchor_price must be") for x in NO_NUMBERS],
        *[((D(1), x, 2), "grid_step must be") for x in [*NO_NUMBERS, None]],
        *[((D(1), 0.2, x), "grid_count must be") for x in (0, -1, 2.0, "2", None, True)],
        *[
            ((D(1), 0.2, 2, [{**GRID[0], "price": x}]), "price must be")
            for x in [*NO_NUMBERS, None]
        ],
        *[((D(1), 0.2, 2, [{**GRID[0], "level": x}]), "level must be") for x in (1.0, "1", True)],
        ((D(1), 0.2, 2, [{**GRID[0], "side": "Hold"}]), "side must be"),
    ],
)
def test_what_makes_no_grid_is_refused_and_nothing_is_written(store, path, arguments, message):
    with pytest.raises(ValueError, match=message):
        store.save("s1", *arguments)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "change", [{"anchor_price": "x"}, {"grid_step": None}, {"grid_count": "2"}]
)
def test_an_entry_that_cannot_be_read_is_reported_and_passed_over(store, path, caplog, change):
    put(path, {"s1": {"anchor_price": 1, "grid_step": 1, "grid_count": 2, **change}})
    assert store.load("s1") is None
    assert "The saved anchor of s1 cannot be read" in caplog.text


def test_an_entry_without_a_count_is_no_anchor(store, path, caplog):
    put(path, {"s1": {"anchor_price": 1, "grid_step": 1}})
    assert store.load("s1") is None
    assert "grid_count" in caplog.text


@pytest.mark.parametrize("grid", ["x", {}, [1], [{"side": "Buy", "price": "-1", "level": 0}]])
def test_a_grid_that_cannot_be_read_leaves_the_anchor(store, path, caplog, grid):
    put(path, {"s1": {"anchor_price": "100", "grid_step": "0.2", "grid_count": 2, "grid": grid}})
    assert store.load("s1") == ENTRY
    assert "The saved grid of s1 cannot be read" in caplog.text


def test_a_grid_of_no_levels_is_no_grid(store, path):
    store.save("s1", D("100.0"), 0.2, 2, [])
    assert store.load("s1") == ENTRY
    put(path, {"s1": {"anchor_price": "100", "grid_step": "0.2", "grid_count": 2, "grid": []}})
    assert store.load("s1") == ENTRY


def test_levels_without_numbers_are_kept_without(store):
    store.save("s1", D("100.0"), 0.2, 2, [{"side": "Buy", "price": 99.8}])
    assert store.load("s1")["grid"] == [{"side": "Buy", "price": D("99.8")}]


def test_a_fingerprint_is_equal_for_what_need_not_be_saved_again():
    texts = [{**level, "price": f"{level['price']}0"} for level in GRID]
    assert grid_fingerprint(GRID, 0.2, 2) == grid_fingerprint(texts, D("0.20"), 2)
    assert hash(grid_fingerprint(GRID, 0.2, 2)) == hash(grid_fingerprint(texts, D("0.20"), 2))
    assert grid_fingerprint_hash(GRID, 0.2, 2) == grid_fingerprint_hash(texts, D("0.20"), 2)
    assert len(grid_fingerprint_hash([], 0.2, 2)) == 64


@pytest.mark.parametrize("make", [grid_fingerprint, grid_fingerprint_hash])
def test_a_fingerprint_differs_by_side_price_step_and_count(make):
    other_side = [{**GRID[0], "side": "Wait"}, *GRID[1:]]
    other_price = [{**GRID[0], "price": D("99.7")}, *GRID[1:]]
    prints = {
        *(make(GRID, 0.2, 2), make(GRID, 0.3, 2), make(GRID, 0.2, 4)),
        *(make(other_side, 0.2, 2), make(other_price, 0.2, 2), make(GRID[1:], 0.2, 2)),
    }
    assert len(prints) == 6
