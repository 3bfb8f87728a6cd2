"""What every store of grids promises, and what the one on the database promises besides."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from gridcore.persistence import GridAnchorStore, GridStore
from gridcore.tests.stores import ENTRY, GRID
from strategies.grid_store import GridStateStore
from strategies.models import GridState
from strategies.tests.factories import GridStateFactory, StrategyFactory

pytestmark = pytest.mark.django_db
D = Decimal


@dataclass
class Case:
    """A store, another way to the same entries, and names for strategies."""

    store: GridStore
    again: GridStore
    new_id: Callable[[], str]


@pytest.fixture(params=["file", "database"])
def case(request, tmp_path, alice_account) -> Case:
    def new_id():
        return str(StrategyFactory.create(account=alice_account).pk)

    if request.param == "file":
        path = tmp_path / "anchors.json"
        return Case(GridAnchorStore(path), GridAnchorStore(path), new_id)
    return Case(GridStateStore(alice_account), GridStateStore(alice_account), new_id)


@pytest.fixture
def store(case):
    return case.store


@pytest.fixture
def name(case):
    return case.new_id()


def test_what_was_saved_is_loaded(case, name):
    case.store.save(name, D("100.0"), 0.2, 2, GRID)
    for store in (case.store, case.again):
        assert store.load(name) == {**ENTRY, "grid": GRID}


def test_prices_and_steps_come_back_as_exact_decimals(store, name):
    store.save(name, D("0.000012345678"), D("0.1"), 2, [{**GRID[0], "price": D("1E-9")}])
    loaded = store.load(name)
    assert (loaded["anchor_price"], loaded["grid_step"]) == (D("0.000012345678"), D("0.1"))
    assert loaded["grid"][0]["price"] == D("1E-9")
    assert {type(loaded["anchor_price"]), type(loaded["grid"][0]["price"])} == {Decimal}


def test_a_save_replaces_all_of_the_last_one(store, name):
    store.save(name, D(1), 1, 4, GRID)
    store.save(name, D("100.0"), 0.2, 2)
    assert store.load(name) == ENTRY


def test_an_anchor_may_be_shifted_out(store, name):
    store.save(name, None, 0.2, 2, GRID)
    assert store.load(name) == {**ENTRY, "anchor_price": None, "grid": GRID}


def test_a_grid_of_no_levels_is_no_grid(store, name):
    store.save(name, D("100.0"), 0.2, 2, [])
    assert store.load(name) == ENTRY


def test_levels_may_be_an_iterator_and_without_numbers(store, name):
    store.save(name, D("100.0"), 0.2, 2, ({"side": "Buy", "price": x} for x in ("1.5", 2.5)))
    prices = [(level["price"], "level" in level) for level in store.load(name)["grid"]]
    assert prices == [(D("1.5"), False), (D("2.5"), False)]


def test_what_is_not_there_is_none_and_deleting_it_is_no_error(store, name):
    for unknown in (name, "no-such-strategy", "00000000-0000-0000-0000-000000000000"):
        assert store.load(unknown) is None
        store.delete(unknown)


def test_a_deleted_entry_is_gone_and_the_others_are_not(case, name):
    other = case.new_id()
    for strat_id in (name, other):
        case.store.save(strat_id, D("100.0"), 0.2, 2, GRID)
    case.again.delete(name)
    assert case.store.load(name) is None
    case.store.save(other, D("100.0"), 0.2, 2)
    assert (case.again.load(name), case.again.load(other)) == (None, ENTRY)


@pytest.mark.parametrize("strat_id", ["", None, 7])
def test_without_a_strategy_nothing_is_done(store, strat_id):
    calls = [
        lambda: store.load(strat_id),
        lambda: store.save(strat_id, D(1), 1, 1),
        lambda: store.delete(strat_id),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"strat_id must be a text .* not {strat_id!r}"):
            call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((D("NaN"), 0.2, 2), "anchor_price must be a finite number"),
        ((D(0), 0.2, 2), "anchor_price must be positive"),
        ((D(1), None, 2), "grid_step must be a finite number"),
        ((D(1), 0.2, 0), "grid_count must be a positive whole number"),
        ((D(1), 0.2, True), "grid_count must be a positive whole number"),
        ((D(1), 0.2, 2, [{**GRID[0], "side": "Hold"}]), "side must be"),
        ((D(1), 0.2, 2, [{**GRID[0], "price": D("Infinity")}]), "price must be a finite number"),
    ],
)
def test_what_makes_no_grid_is_refused_and_the_last_one_stays(store, name, arguments, message):
    store.save(name, D("100.0"), 0.2, 2, GRID)
    with pytest.raises(ValueError, match=message):
        store.save(name, *arguments)
    assert store.load(name) == {**ENTRY, "grid": GRID}


@pytest.mark.parametrize(
    "arguments",
    [
        (D("0.0000000000001"), 0.2, 2),
        (D("1E+20"), 0.2, 2),
        (D(1), D("0.12345678901234567890"), 2),
        (D(1), 0.2, 10**20),
    ],
)
def test_a_number_that_the_database_would_change_is_refused(alice_account, arguments):
    strategy = StrategyFactory.create(account=alice_account)
    store = GridStateStore(alice_account)
    store.save(str(strategy.pk), D("100.0"), 0.2, 2)
    with pytest.raises(ValueError, match="the database cannot hold"):
        store.save(str(strategy.pk), *arguments)
    assert store.load(str(strategy.pk)) == ENTRY


def test_digits_beyond_those_of_the_database_are_refused_or_kept(alice_account):
    strat_id = str(StrategyFactory.create(account=alice_account).pk)
    store, price = GridStateStore(alice_account), D("123456789.123456789")
    if connection.vendor == "sqlite":
        with pytest.raises(ValueError, match=f"cannot hold anchor_price {price} exactly"):
            store.save(strat_id, price, 0.2, 2)
        assert store.load(strat_id) is None
    else:
        store.save(strat_id, price, 0.2, 2)
        assert store.load(strat_id) == {**ENTRY, "anchor_price": price}


def test_the_grid_of_another_account_is_out_of_reach(alice_account, charlie_account):
    theirs = GridStateFactory.create(account=charlie_account)
    strat_id, store = str(theirs.strategy_id), GridStateStore(alice_account)
    assert store.load(strat_id) is None
    store.delete(strat_id)
    with pytest.raises(ValueError, match="strat_id must be a strategy of the account, not "):
        store.save(strat_id, D(1), 1, 2)
    theirs.refresh_from_db()
    assert theirs.grid_count == 10


def test_a_state_belongs_to_the_strategys_user_and_account(alice_account):
    strategy = StrategyFactory.create(account=alice_account)
    GridStateStore(alice_account).save(str(strategy.pk), D(100), 0.2, 2, GRID)
    state = GridState.objects.for_user(alice_account.user).get()
    assert (state.account, state.strategy) == (alice_account, strategy)
    assert state.grid[0] == {"side": "Buy", "price": "99.8", "level": -1}


@pytest.mark.parametrize("grid", ["x", {}, [1], [{"side": "Buy", "price": "-1", "level": 0}]])
def test_a_grid_that_cannot_be_read_leaves_the_anchor(alice_account, caplog, grid):
    state = GridStateFactory.create(account=alice_account, grid=grid)
    loaded = GridStateStore(alice_account).load(str(state.strategy_id))
    assert loaded == {"anchor_price": 50000, "grid_step": D("0.5"), "grid_count": 10}
    assert f"The saved grid of {state.strategy_id} cannot be read" in caplog.text


WRITER = """
import sys
import django
django.setup()
from decimal import Decimal
from accounts.models import BybitAccount
from strategies.grid_store import GridStateStore
account, strat_id, price = sys.argv[1:]
store = GridStateStore(BybitAccount.objects.get(pk=account))
print("ready", flush=True)
sys.stdin.readline()
grid = [{"side": "Wait", "price": price, "level": n} for n in range(20)]
for _ in range(30):
    store.delete(strat_id)
    store.save(strat_id, Decimal(price), price, int(price), grid)
"""


def database_url():
    """Where the database of the test is, for another process."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def own_process(account, strat_id, price):
    """A process that deletes and saves one entry again and again, in the database of the test."""
    real_settings = {"DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": ""}
    environment = {**os.environ, **real_settings, "DATABASE_URL": database_url()}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(account.pk), strat_id, price],
        env=environment, cwd=settings.BASE_DIR, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_save_one_grid_leave_the_whole_of_one(alice_account):
    strat_id = str(StrategyFactory.create(account=alice_account).pk)
    writers = [own_process(alice_account, strat_id, price) for price in ("7", "9")]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n", writer.communicate()[1]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    errors = [writer.communicate(timeout=50)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    loaded = GridStateStore(alice_account).load(strat_id)
    price = loaded["anchor_price"]
    assert price in (7, 9)
    assert (loaded["grid_step"], loaded["grid_count"]) == (price, price)
    assert [level["price"] for level in loaded["grid"]] == [price] * 20
