"""The exact insert: what Django's bulk_create does, with a count that can be trusted."""

from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models
from django.db.models import Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.models import CaptureGap, PublicTrade
from marketdata.tests.records import START, trade

pytestmark = pytest.mark.django_db(transaction=True)

FIGURES = [field.name for field in PublicTrade._meta.concrete_fields if field.name != "id"]


def rows(*numbers, **changes):
    return [PublicTrade(None, *trade(number, **changes)) for number in numbers]


def table() -> list[tuple]:
    return list(PublicTrade.objects.order_by("exchange_ts", "trade_id").values_list(*FIGURES))


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


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.builds(
            trade,
            st.integers(0, 20),
            price=amounts,
            size=amounts,
            trade_id=texts,
            is_rpi=st.booleans(),
            sequence=st.none() | st.integers(-(2**63), 2**63 - 1),
            local_ts=st.integers(0, 10**12).map(lambda us: START + timedelta(microseconds=us)),
        ),
        max_size=30,
    )
)
def test_it_stores_exactly_what_django_s_own_path_stores(records):
    PublicTrade.objects.all().delete()
    models.QuerySet(PublicTrade).bulk_create(
        [PublicTrade(None, *row) for row in records], ignore_conflicts=True
    )
    django = table()
    PublicTrade.objects.all().delete()
    stored = PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in records])
    assert table() == django
    assert stored == len(django)
