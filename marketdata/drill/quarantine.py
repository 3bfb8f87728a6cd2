"""Quarantine must hold the texts that no client can store, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

import orjson

from marketdata.drill.spans import Spans
from marketdata.drill.truth import Raw, Truth
from marketdata.models import QuarantinedMessage


def judge_quarantine(truth: Truth, outages: Spans, since: datetime) -> list[str]:
    """What is wrong with quarantine; a text that was sent during an outage need not be there."""
    sent: dict[str, list[Raw]] = defaultdict(list)
    for raw in truth.raws:
        sent[_identity(raw.text)].append(raw)
    kept: Counter[str] = Counter()
    problems = []
    rows = QuarantinedMessage.objects.filter(last_seen__gte=since)
    columns = ("raw_text", "reason", "topic", "count")
    for text, reason, topic, count in rows.values_list(*columns):
        identity = _identity(text)
        kept[identity] += count
        if identity not in sent:
            problems.append(
                f"quarantined: a text of {topic or 'no topic'} ({reason}): {text[:200]}"
            )
    for identity, raws in sent.items():
        certain = sum(raw.at not in outages for raw in raws)
        if not certain <= kept[identity] <= len(raws):
            problems.append(
                f"quarantined {kept[identity]} times, sent {len(raws)} times: {identity[:200]}"
            )
    return problems


def _identity(text: str) -> str:
    """A text, or where it is a push of one row, that row: either may be kept."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.dumps(_row_of(message), option=orjson.OPT_SORT_KEYS).decode()


def _row_of(message: Any) -> Any:
    data = message.get("data") if isinstance(message, dict) else None
    if isinstance(data, list) and len(data) == 1:
        return data[0]
    return data if isinstance(data, dict) else message
