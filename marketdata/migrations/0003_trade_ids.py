"""An index that finds a trade by its id, on PostgreSQL.

A Bloom filter for each 32 pages of the table: about 2 bytes a trade, and no page of it is touched
by an insert until its part of the table is full. A B-tree or hash index of random ids would take
ten times the room and make every insert into a large table write somewhere else in it.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

CREATE = """
CREATE INDEX trades_by_id ON public_trades USING brin
(trade_id text_bloom_ops(n_distinct_per_range=2000, false_positive_rate=0.003))
WITH (pages_per_range=32, autosummarize=on)
"""


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE)


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS trades_by_id")


class Migration(migrations.Migration):

    dependencies = [
        ('marketdata', '0002_lease'),
    ]

    operations = [
        migrations.RunPython(create, drop),
    ]
