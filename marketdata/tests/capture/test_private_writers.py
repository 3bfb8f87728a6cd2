"""Private rows get their tenant and their run; of two order states the right one stays."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.secret import Secret
from accounts.tests.factories import BybitAccountFactory
from marketdata.bybit.environments import Environment
from marketdata.capture import runs
from marketdata.capture.accounts import AccountContext
from marketdata.capture.private_writers import ExecutionWriter, OrderWriter
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import StreamKey, Tally
from marketdata.models import Order, PrivateExecution, QuarantinedMessage, Stream
from marketdata.tests.records import START, execution, order
from strategies.models import Run
from strategies.tests.factories import RunFactory, StrategyFactory

pytestmark = pytest.mark.django_db


def context_of(account) -> AccountContext:
    return AccountContext(
        account_id=account.pk, user_id=account.user_id, name=account.account_name,
        environment=Environment.SANDBOX, hedge_mode=True, api_key="k", api_secret=Secret("s"),
    )  # fmt: skip


@pytest.fixture
def account():
    return BybitAccountFactory.create()


@pytest.fixture
def tally():
    return Tally()


@pytest.fixture
def quarantine(tally):
    return Quarantine(tally)


@pytest.fixture
def executions(tally, quarantine):
    return ExecutionWriter(tally, quarantine)


@pytest.fixture
def orders(tally, quarantine):
    return OrderWriter(tally, quarantine)


def store(writer, account, *records) -> None:
    writer.write_for(context_of(account), records)
    writer.flush()


def counts(tally, stream, account) -> dict[str, int]:
    assert tally.violations() == []
    return {k: v for k, v in tally.snapshot()[StreamKey(stream, account.pk)].items() if v}


def test_a_row_belongs_to_its_account_and_the_account_s_user(executions, account):
    store(executions, account, execution(1))
    row = PrivateExecution.objects.get()
    assert (row.account, row.user) == (account, account.user)
    assert all(getattr(row, name) == value for name, value in execution(1)._asdict().items())


def test_one_execution_id_in_two_accounts_is_two_rows(executions, tally, account):
    other = BybitAccountFactory.create()
    store(executions, account, execution(1))
    store(executions, other, execution(1, exec_qty=Decimal(5)))
    assert PrivateExecution.objects.count() == 2
    assert counts(tally, Stream.EXECUTIONS, other) == {"received": 1, "stored": 1}


def test_two_sides_of_one_trade_in_one_account_are_two_rows(executions, account):
    store(executions, account, execution(1), execution(1, order_id="o2", side="Sell"))
    assert PrivateExecution.objects.count() == 2


def test_an_execution_sent_48_times_is_stored_once(executions, tally, account):
    store(executions, account, *[execution(1)] * 48)
    assert counts(tally, Stream.EXECUTIONS, account) == {
        "received": 48, "stored": 1, "duplicate": 47,
    }  # fmt: skip


def test_what_rest_does_not_say_is_no_conflict(executions, tally, account):
    store(executions, account, execution(1))
    store(executions, account, execution(1, exec_pnl=None, leaves_qty=None))
    assert counts(tally, Stream.EXECUTIONS, account)["duplicate"] == 1


@pytest.mark.parametrize(
    ("stored", "sent", "column"),
    [("", "", "duplicate"), ("", "g1", "duplicate"), ("g1", "", "duplicate"),
     ("g1", "g1", "duplicate"), ("g1", "g2", "quarantined")],
)  # fmt: skip
def test_a_text_that_is_empty_is_no_conflict(executions, tally, account, stored, sent, column):
    store(executions, account, execution(1, order_link_id=stored))
    store(executions, account, execution(1, order_link_id=sent))
    assert PrivateExecution.objects.get().order_link_id == stored
    assert counts(tally, Stream.EXECUTIONS, account) == {"received": 2, "stored": 1, column: 1}


def test_what_rest_did_not_say_is_completed_by_the_stream(executions, tally, account):
    by_rest = execution(1, exec_pnl=None, raw_json={"by": "rest"})
    store(executions, account, by_rest, execution(2, exec_pnl=None))
    store(executions, account, execution(1, exec_pnl=Decimal("1.5")), execution(2, exec_pnl=None))
    assert counts(tally, Stream.EXECUTIONS, account) == {
        "received": 4, "stored": 2, "updated": 1, "duplicate": 1,
    }  # fmt: skip
    row = PrivateExecution.objects.get(exec_id=execution(1).exec_id)
    assert (row.exec_pnl, row.raw_json) == (Decimal("1.5"), execution(1).raw_json)


def test_what_an_execution_realised_is_never_changed(executions, tally, quarantine, account):
    store(executions, account, execution(1, exec_pnl=Decimal("1.5")))
    store(executions, account, execution(1, exec_pnl=Decimal(2)))
    store(executions, account, execution(1, exec_pnl=None, exec_qty=Decimal(7)))
    assert PrivateExecution.objects.get().exec_pnl == Decimal("1.5")
    assert counts(tally, Stream.EXECUTIONS, account)["quarantined"] == 2


def test_the_same_execution_with_another_quantity_is_a_conflict(
    executions, tally, quarantine, account
):
    store(executions, account, execution(1))
    store(executions, account, execution(1, exec_qty=Decimal(7)))
    quarantine.flush()
    message = QuarantinedMessage.objects.get()
    assert message.account == account
    assert message.reason.startswith("conflict")


class TestRuns:
    """A row belongs to the run that traded its symbol at its time, else to the observing one."""

    def test_without_a_run_an_observing_one_is_opened(self, executions, account):
        store(executions, account, execution(1), execution(2))
        run = Run.objects.get()
        assert (run.strategy, run.run_type, run.account) == (None, "live", account)
        assert set(PrivateExecution.objects.values_list("run", flat=True)) == {run.pk}

    @pytest.fixture
    def trading(self, account):
        strategy = StrategyFactory.create(account=account, symbol="BTCUSDT")
        return RunFactory.create(
            account=account, strategy=strategy, run_type="live", started_at=START,
            ended_at=START + timedelta(seconds=1),
        )  # fmt: skip

    def run_of(self, executions, account, record):
        observing = runs.open_observing_run(account.pk, account.user_id)
        store(executions, account, record)
        run = PrivateExecution.objects.get().run
        return "observing" if run == observing else run

    def test_a_row_of_its_symbol_and_time_belongs_to_the_trading_run(
        self, executions, account, trading
    ):
        assert self.run_of(executions, account, execution(500)) == trading

    @pytest.mark.parametrize(
        "record",
        [
            execution(1500),
            execution(500, symbol="ETHUSDT"),
            execution(0, exchange_ts=START - timedelta(seconds=1)),
        ],
    )
    def test_other_rows_belong_to_the_observing_run(self, executions, account, trading, record):
        assert self.run_of(executions, account, record) == "observing"

    @pytest.mark.parametrize("kind", ["shadow", "backtest"])
    def test_a_run_that_does_not_trade_has_no_executions(self, executions, account, trading, kind):
        Run.objects.filter(pk=trading.pk).update(run_type=kind)
        assert self.run_of(executions, account, execution(500)) == "observing"

    def test_orphans_are_closed(self, account):
        runs.open_observing_run(account.pk, account.user_id)
        assert runs.close_orphans([account.pk]) == 1
        assert Run.objects.get().status == "orphaned"
        assert Run.objects.get().ended_at is not None

    def test_a_closed_observing_run_is_completed(self, account):
        runs.open_observing_run(account.pk, account.user_id)
        runs.close_observing_run(account.pk)
        assert Run.objects.get().status == "completed"


filled = {"status": "Filled", "cum_exec_qty": Decimal("0.03"), "leaves_qty": Decimal(0)}
partly = {"status": "PartiallyFilled", "cum_exec_qty": Decimal("0.01")}


class TestOrders:
    """Each state of another time is a row; of two of one time the later state stays."""

    def test_each_state_is_a_row(self, orders, tally, account):
        store(orders, account, order(0), order(5, **partly), order(9, **filled))
        assert Order.objects.count() == 3
        assert counts(tally, Stream.ORDERS, account) == {"received": 3, "stored": 3}

    def test_a_late_older_state_is_history_and_changes_nothing(self, orders, account):
        store(orders, account, order(9, **filled))
        store(orders, account, order(5, **partly))
        states = list(Order.objects.order_by("exchange_ts").values_list("status", flat=True))
        assert states == ["PartiallyFilled", "Filled"]

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize(
        ("first", "second", "winner", "column"),
        [
            (order(0), order(0, **partly), "PartiallyFilled", "updated"),
            (order(0, **filled), order(0, **partly), "Filled", "conflated"),
            (order(0), order(0, status="Cancelled"), "Cancelled", "updated"),
            (order(0, status="Cancelled"), order(0), "Cancelled", "conflated"),
            (order(0), order(0, status="Untriggered"), "Untriggered", "updated"),
            (order(0, **filled), order(0, **filled), "Filled", "duplicate"),
        ],
    )
    def test_of_two_states_of_one_millisecond_the_right_one_stays(
        self, orders, tally, account, first, second, winner, column, together
    ):
        for batch in ([first, second],) if together else ([first], [second]):
            store(orders, account, *batch)
        assert Order.objects.get().status == winner
        # In one batch the loser never reaches the table.
        expected = "conflated" if together and column == "updated" else column
        assert counts(tally, Stream.ORDERS, account) == {"received": 2, "stored": 1, expected: 1}

    def test_an_update_takes_the_whole_state_along(self, orders, account):
        store(orders, account, order(0))
        later = order(0, **filled, avg_price=Decimal(59999), raw_json={"new": True})
        store(orders, account, later)
        row = Order.objects.get()
        assert (row.avg_price, row.raw_json) == (Decimal(59999), {"new": True})

    def test_what_rest_brought_first_gives_way_to_what_the_stream_says(self, orders, account):
        by_rest = order(0, closed_pnl=None, avg_price=Decimal(0), raw_json={"by": "rest"})
        store(orders, account, by_rest)
        store(orders, account, order(0, closed_pnl=Decimal(7)))
        store(orders, account, by_rest)
        row = Order.objects.get()
        assert (row.closed_pnl, row.avg_price) == (Decimal(7), None)
        assert row.raw_json == {"orderId": "o1"}

    def test_what_rest_brought_first_gives_way_in_the_same_batch_too(self, orders, tally, account):
        by_rest = order(0, closed_pnl=None, avg_price=Decimal(0), raw_json={"by": "rest"})
        store(orders, account, by_rest, order(0, closed_pnl=Decimal(7)), by_rest)
        row = Order.objects.get()
        assert (row.closed_pnl, row.avg_price) == (Decimal(7), None)
        assert counts(tally, Stream.ORDERS, account) == {
            "received": 3, "stored": 1, "conflated": 1, "duplicate": 1,
        }  # fmt: skip

    def test_two_accounts_may_have_orders_of_one_id(self, orders, account):
        store(orders, account, order(0))
        store(orders, BybitAccountFactory.create(), order(0))
        assert Order.objects.count() == 2


states = st.builds(
    order,
    st.integers(0, 3),
    order_id=st.sampled_from(["o1", "o2"]),
    status=st.sampled_from(["New", "PartiallyFilled", "Filled", "Cancelled"]),
    cum_exec_qty=st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("0.03")]),
    price=st.sampled_from([Decimal(1), Decimal(2)]),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(states, max_size=5), max_size=4))
def test_whatever_the_batches_the_last_best_state_of_each_time_stays(account, batches):
    Order.objects.all().delete()
    tally = Tally()
    writer = OrderWriter(tally, Quarantine(tally))
    best: dict[object, object] = {}
    for batch in batches:
        store(writer, account, *batch)
        for row in batch:
            old = best.get((row.order_id, row.exchange_ts))
            final = ("Filled", "Cancelled")
            if old is None or (row.cum_exec_qty, row.status in final) >= (
                old.cum_exec_qty,
                old.status in final,
            ):
                best[row.order_id, row.exchange_ts] = row
    kept = {(row.order_id, row.exchange_ts): figures(row) for row in Order.objects.all()}
    assert kept == {key: figures(row) for key, row in best.items()}
    assert tally.violations() == []


def figures(row) -> tuple[str, Decimal, Decimal]:
    return row.status, row.cum_exec_qty, row.price
