"""The exact insert: what Django's bulk_create does, with a count that can be trusted."""

from __future__ import annotations

import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, models
from django.db.models import Value
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from marketdata.models import CaptureGap, PrivateExecution, PublicTrade
from marketdata.models.fields import Side
from marketdata.tests.records import START, execution, trade
from strategies.tests.factories import RunFactory

pytestmark = pytest.mark.django_db(transaction=True)

FIGURES = [field.name for field in PublicTrade._meta.concrete_fields if field.name != "id"]


def rows(*numbers, **changes):
    return [PublicTrade(None, *trade(number, **changes)) for number in numbers]


def test_only_rows_that_were_not_there_are_counted():
    assert PublicTrade.objects.bulk_insert(rows(1, 2, 2)) == 2
    assert PublicTrade.objects.bulk_insert(rows(2, 3)) == 1
    assert PublicTrade.objects.bulk_insert([]) == 0
    assert PublicTrade.objects.count() == 3


def test_bulk_create_that_ignores_conflicts_returns_what_it_was_given():
    given_rows = rows(1, 2, 1)
    assert PublicTrade.objects.bulk_create(iter(given_rows), ignore_conflicts=True) == given_rows
    assert PublicTrade.objects.bulk_create(rows(2), ignore_conflicts=True, batch_size=1)
    assert PublicTrade.objects.count() == 2


def test_bulk_create_that_does_not_ignore_conflicts_is_django_s():
    PublicTrade.objects.bulk_create(rows(1))
    with pytest.raises(IntegrityError):
        PublicTrade.objects.bulk_create(rows(1))


def test_a_missing_value_raises_and_nothing_of_the_batch_is_stored():
    with pytest.raises(IntegrityError):
        PublicTrade.objects.bulk_insert([*rows(1), *rows(2, price=None)])
    assert PublicTrade.objects.count() == 0


def test_all_batches_of_one_call_are_stored_or_none():
    with pytest.raises(IntegrityError):
        PublicTrade.objects.bulk_create(
            [*rows(1, 2), *rows(3, price=None)], ignore_conflicts=True, batch_size=1
        )
    assert PublicTrade.objects.count() == 0


@pytest.mark.parametrize("size", [0, -1])
def test_a_senseless_batch_size_is_refused(size):
    with pytest.raises(ValueError, match="Batch size"):
        PublicTrade.objects.bulk_create(rows(1), ignore_conflicts=True, batch_size=size)


def test_a_value_of_the_wrong_type_raises():
    with pytest.raises((ValidationError, ValueError)):
        PublicTrade.objects.bulk_insert(rows(1, exchange_ts="when?"))


def test_rows_with_expressions_take_django_s_path_and_are_counted_too():
    expressed = rows(1, side=Value("Sell"))
    assert PublicTrade.objects.bulk_insert([*expressed, *rows(2), *rows(2)]) == 2
    assert PublicTrade.objects.get(trade_id=trade(1).trade_id).side == "Sell"


def test_rows_with_a_primary_key_keep_it():
    row = rows(1)[0]
    row.pk = 4711
    assert PublicTrade.objects.bulk_insert([row]) == 1
    assert PublicTrade.objects.get().pk == 4711


def test_times_of_another_zone_are_stored_as_the_same_moment():
    at = START.astimezone(timezone(timedelta(hours=5, minutes=45)))
    PublicTrade.objects.bulk_insert(rows(1, exchange_ts=at))
    assert PublicTrade.objects.get().exchange_ts == START


def test_tables_with_automatic_times_and_json_are_filled_as_by_django():
    gap = CaptureGap(stream="trades", symbol="BTCUSDT", started_at=START, reason="x\ty\\N\n")
    gap.evidence = {"a": [1, None, "é"]}
    from marketdata.bulk_insert import insert_new

    assert insert_new(CaptureGap, [gap], using="default") == 1
    stored = CaptureGap.objects.get()
    assert (stored.reason, stored.evidence) == ("x\ty\\N\n", {"a": [1, None, "é"]})
    assert stored.created_at is not None


amounts = st.decimals(
    min_value=Decimal("0.000001"), max_value=Decimal(10**8), places=6, allow_nan=False
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
moments = st.integers(0, 10**12).map(lambda us: START + timedelta(microseconds=us))
zones = st.sampled_from([UTC, timezone(timedelta(0)), timezone(timedelta(hours=-3, minutes=-30))])
sound = {
    "price": amounts,
    "size": amounts,
    "side": st.sampled_from(["Buy", "Sell"]),
    "trade_id": texts,
    "is_rpi": st.booleans(),
    "sequence": st.none() | st.integers(-(2**63), 2**63 - 1),
    "local_ts": st.builds(datetime.astimezone, moments, zones),
}
# What a column may be given that is not quite, or not at all, of its type.
odd: dict[str, list[Any]] = {
    "price": [
        *map(Decimal, ("NaN", "sNaN", "-Infinity", "-0", "0E-20", "1E+5", "1E+18", "-1E+17")),
        *map(Decimal, ("0.1234567890125", "123456789012345678.123456789012", "1E-13")),
        *("1.5", "x", 7, 1.25, True, (0, (1,), 0)),
    ],
    "side": [Side.BUY, 5, "\0", "\ud800", "Sideways", b"Buy", ""],
    "trade_id": ["x" * 65, "\t\n\\N\\.'\"", "\U0001f600", 12, UUID(int=1)],
    "is_rpi": [1, 0, "t", "False", "no", 2],
    "sequence": ["12", 2**63, -(2**64), 1.9, Decimal(3), True, "x"],
    "local_ts": [
        "2026-01-01T00:00:00Z", "when?", START.date(), datetime(2026, 1, 1), datetime(1, 1, 1), 5,  # noqa: DTZ001
    ],
}  # fmt: skip


def trades_of(fields):
    return st.lists(st.builds(trade, st.integers(0, 20), **fields), min_size=1, max_size=8)


# One of them in a batch: of two that are refused for different reasons either may be told first.
one_odd_value = st.sampled_from([(name, value) for name in odd for value in odd[name]]).flatmap(
    lambda pair: trades_of({**sound, pair[0]: sound[pair[0]] | st.just(pair[1])})
)


def what_becomes_of(insert, records) -> tuple[list[tuple], type[BaseException] | None]:
    """What the table's file or pages hold afterwards, unconverted, and what was raised."""
    PublicTrade.objects.all().delete()
    error = None
    try:
        with warnings.catch_warnings(action="ignore"):
            insert(records)
    except Exception as raised:  # noqa: BLE001 - whatever it is, both must raise it
        error = type(raised)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(FIGURES)} FROM public_trades ORDER BY 2, 4")
        return [tuple(map(repr, row)) for row in cursor.fetchall()], error


def with_django(records):
    objects = [PublicTrade(None, *row) for row in records]
    models.QuerySet(PublicTrade).bulk_create(objects, ignore_conflicts=True)


def with_objects(records):
    objects = [PublicTrade(None, *row) for row in records]
    PublicTrade.objects.bulk_create(objects, ignore_conflicts=True)


def with_values(records):
    PublicTrade.objects.bulk_insert_values(records)


@pytest.mark.parametrize("ours", [with_objects, with_values])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example([trade(sequence=2**63)])
@given(trades_of(sound) | one_odd_value)
def test_it_stores_exactly_what_django_s_own_path_stores_and_raises_what_that_raises(ours, records):
    assert what_becomes_of(ours, records) == what_becomes_of(with_django, records)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(trades_of(sound))
def test_the_count_is_what_the_table_grew_by(records):
    before = PublicTrade.objects.count()
    stored = PublicTrade.objects.bulk_insert_values(records)
    assert PublicTrade.objects.count() == before + stored


@pytest.mark.parametrize("name", odd)
def test_every_odd_value_is_stored_or_raised_as_by_django_s_own_path(name):
    for value in odd[name]:
        records = [trade(1), trade(2, **{name: value}), trade(3)]
        django = what_becomes_of(with_django, records)
        assert what_becomes_of(with_objects, records) == django, value
        assert what_becomes_of(with_values, records) == django, value


def test_values_of_too_few_or_too_many_columns_are_refused():
    for row in (trade()[:-1], (*trade(), None)):
        with pytest.raises(ValueError, match="argument"):
            PublicTrade.objects.bulk_insert_values([row])
    assert PublicTrade.objects.count() == 0


@pytest.mark.parametrize("leg", [-(2**15) - 1, -1, 2**15, 2**16 + 1, 2**32 + 1, 2**64])
def test_no_integer_becomes_another_in_a_narrow_column(leg):
    run = RunFactory.create()
    record = execution(position_idx=leg)
    values = (run.user_id, run.account_id, *record[:3], run.pk, *record[3:])
    with suppress(DataError, IntegrityError, OverflowError):
        PrivateExecution.objects.bulk_insert_values([values])
    assert set(PrivateExecution.objects.values_list("position_idx", flat=True)) <= {leg}
    if connection.vendor == "postgresql":
        assert not PrivateExecution.objects.exists()
