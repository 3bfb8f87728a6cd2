"""Audits: what REST shows and the stream did not bring is stored, and said."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.db import models

from marketdata.coverage.findings import Finding
from marketdata.models import CaptureGap, CoverageInterval

logger = logging.getLogger(__name__)


def declare_unheard(finding: Finding, fresh: Sequence[Any], **of: Any) -> None:
    """Declare those of the rows `fresh`, which are stored by now, that no gap had announced."""
    if not fresh:
        return
    times = [row.exchange_ts for row in fresh]
    announced = CaptureGap.objects.filter(
        models.Q(ended_at=None) | models.Q(ended_at__gte=min(times)),
        stream=finding.stream,
        started_at__lte=max(times),
        **of,
    ).values_list("started_at", "ended_at")
    unheard = [
        at
        for at in times
        if not any(start <= at and (end is None or at <= end) for start, end in announced)
    ]
    if not unheard:
        return
    finding.not_streamed = len(unheard)
    reason = f"the stream did not bring {len(unheard)} rows that REST shows"
    logger.warning("%s of %s: %s", finding.stream, finding.subject, reason)
    state = CaptureGap.State.OPEN if finding.refused else CaptureGap.State.FILLED
    gap = CaptureGap.objects.create(
        stream=finding.stream, started_at=min(unheard), ended_at=max(unheard), reason=reason,
        state=state, source=CoverageInterval.Source.REST, rows_added=len(unheard), attempts=1,
        **of,
    )  # fmt: skip
    finding.gaps[gap.pk] = state
