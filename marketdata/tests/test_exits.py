"""What an error of the database says about it, on whichever the tests run."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from marketdata.exits import is_bare

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1 FROM nowhere", True),
        ("SELECT absent FROM users", True),
        ("INSERT INTO users (id, absent) VALUES ('1', 1)", True),
        ("UPDATE nowhere SET absent = 1", True),
        ("SELECT FROM FROM users", False),
        ("INSERT INTO users (id) VALUES (NULL)", False),
    ],
)
def test_a_missing_table_or_column_is_told_from_other_errors(statement, expected):
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        connection.cursor().execute(statement)
    assert is_bare(error.value) is expected
