"""Values as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts.display import readable


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (Decimal("0.000000120000"), "0.00000012"),
        (Decimal("1000.000000000000"), "1000"),
        (Decimal("0E-12"), "0"),
        (Decimal("-1.50"), "-1.5"),
        (
            datetime(2026, 1, 2, 3, 4, 5, 6789, tzinfo=UTC),
            '<span class="nowrap">2026-01-02 03:04:05.006</span>',
        ),
        ({"é": ["<"]}, "<pre>{\n &quot;é&quot;: [\n  &quot;&lt;&quot;\n ]\n}</pre>"),
        ([], "<pre>[]</pre>"),
        ("a text in JSON", "a text in JSON"),
    ],
)
def test_a_value_is_shown_as_a_person_reads_it(value, text):
    assert str(readable(value)) == text
