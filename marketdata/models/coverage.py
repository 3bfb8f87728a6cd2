"""What is known to be complete, what is known to be missing, and what could not be stored."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from marketdata.models.fields import symbol_field


class Stream(models.TextChoices):
    """The streams that capture vouches for."""

    TRADES = "trades"
    TICKERS = "tickers"
    EXECUTIONS = "executions"
    ORDERS = "orders"
    POSITIONS = "positions"
    WALLET = "wallet"


class Span(models.Model):
    """A span of one stream: of a symbol where it is public, of an account where it is private."""

    stream = models.CharField(max_length=10, choices=Stream)
    symbol = symbol_field(blank=True)
    account = models.ForeignKey(
        "accounts.BybitAccount", on_delete=models.CASCADE, null=True, blank=True
    )
    started_at = models.DateTimeField(help_text="Exchange time, inclusive.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Empty while it lasts.")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.stream} {self.symbol or self.account_id} from {self.started_at}"


class CoverageInterval(Span):
    """A span for which a stream is vouched complete."""

    class Source(models.TextChoices):
        LIVE = "live"
        REST = "rest"
        ARCHIVE = "archive"

    source = models.CharField(max_length=10, choices=Source)

    class Meta:
        db_table = "coverage_intervals"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stream", "symbol", "started_at"],
                condition=models.Q(account=None),
                name="coverage_once_per_symbol",
            ),
            models.UniqueConstraint(
                fields=["stream", "account", "started_at"],
                condition=models.Q(account__isnull=False),
                name="coverage_once_per_account",
            ),
        ]


class CaptureGap(Span):
    """A span for which a stream is not vouched complete, and what became of it."""

    class State(models.TextChoices):
        OPEN = "open"
        FILLED = "filled"
        PARTIAL = "partial"
        UNFILLABLE = "unfillable"
        # Rows were here, or may have been, and retention has deleted them: nobody asks for them.
        PRUNED = "pruned"

    reason = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    source = models.CharField(
        max_length=10, choices=CoverageInterval.Source, blank=True, help_text="What filled it."
    )
    rows_added = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    evidence = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "capture_gaps"
        indexes: ClassVar = [
            models.Index(fields=["stream", "symbol", "started_at"], name="gaps_of_symbol"),
            models.Index(fields=["account", "started_at"], name="gaps_of_account"),
        ]


class CaptureLease(models.Model):
    """Which process captures into this database: one row, whose epoch rises with each holder."""

    holder = models.CharField(max_length=200, help_text="Host and process, for people.")
    process = models.CharField(
        max_length=100,
        help_text="What tells this process from every other one of its machine's life.",
    )
    token = models.CharField(max_length=32, help_text="Random, of one capture.")
    epoch = models.PositiveBigIntegerField(default=0, help_text="How many have held it.")
    acquired_at = models.DateTimeField()
    expires_at = models.DateTimeField(
        help_text="By the database's clock; not later than now: it is free."
    )

    class Meta:
        db_table = "capture_lease"

    def __str__(self) -> str:
        return f"{self.holder}, epoch {self.epoch}"


class QuarantinedMessage(models.Model):
    """What arrived and could not be stored, with the reason; the same thing twice is one row."""

    account = models.ForeignKey(
        "accounts.BybitAccount", on_delete=models.CASCADE, null=True, blank=True
    )
    topic = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=200)
    raw_text = models.TextField(
        help_text="As received; the middle of a very long text is left out."
    )
    digest = models.CharField(
        max_length=64, help_text="SHA-256 of account, topic, reason and the whole text."
    )
    count = models.PositiveIntegerField(default=1, help_text="How often it was seen.")
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        db_table = "quarantined_messages"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["digest"], name="quarantined_once")
        ]
        indexes: ClassVar = [models.Index(fields=["-last_seen"], name="quarantine_by_time")]

    def __str__(self) -> str:
        return f"{self.topic}: {self.reason}"
