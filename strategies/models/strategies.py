"""Strategies, their runs, and the grid that a run left behind."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from accounts.tenancy import TenantOwned
from strategies.validators import NO_OBJECT, validate_strategy_config


class Strategy(TenantOwned):
    """A grid on one symbol of one account."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    symbol = models.CharField(max_length=32)
    config = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_strategy_config],
        help_text='The grid, for example {"grid_count": 50, "grid_step": 0.2}.',
    )
    is_enabled = models.BooleanField("enabled", default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "strategies"
        verbose_name_plural = "strategies"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "name"],
                name="strategy_name_once_per_account",
                violation_error_message="The account has a strategy of this name already.",
            ),
            # Two enabled grids on one symbol would cancel each other's orders.
            models.UniqueConstraint(
                fields=["account", "symbol"],
                condition=models.Q(is_enabled=True),
                name="one_enabled_strategy_per_symbol",
                violation_error_message=(
                    "Another strategy of the account is enabled on this symbol: disable it first."
                ),
            ),
        ]

    def clean(self) -> None:
        """Refuse the values that Django takes for empty and therefore does not validate."""
        if not self.config and not isinstance(self.config, dict):
            raise ValidationError({"config": NO_OBJECT})

    def __str__(self) -> str:
        return f"{self.name} on {self.symbol}"


class Run(TenantOwned):
    """One live, shadow or backtest run; without a strategy it only observes the account."""

    class RunType(models.TextChoices):
        LIVE = "live"
        SHADOW = "shadow"
        BACKTEST = "backtest"

    class Status(models.TextChoices):
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        ORPHANED = "orphaned"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    strategy = models.ForeignKey(
        Strategy, on_delete=models.CASCADE, null=True, blank=True, related_name="runs"
    )
    run_type = models.CharField(max_length=10, choices=RunType)
    status = models.CharField(max_length=10, choices=Status, default=Status.RUNNING)
    gridcore_version = models.CharField(max_length=20)
    config = models.JSONField(default=dict, help_text="The configuration as it was at the start.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "runs"
        indexes: ClassVar = [
            models.Index(fields=["account", "-started_at"], name="runs_of_account")
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse a run of one account for a strategy of another."""
        if self.strategy is not None:
            _refuse_other_account(self.strategy, self.account_id)
        super().save(*args, **kwargs)

    def __str__(self) -> str:
        return f"{self.run_type} from {self.started_at:%Y-%m-%d %H:%M}"


class GridState(TenantOwned):
    """The grid of a strategy, restored only when its step and count still match."""

    strategy = models.OneToOneField(Strategy, on_delete=models.CASCADE, related_name="grid_state")
    anchor_price = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        null=True,
        blank=True,
        help_text="None when the level it stood on was shifted out of the grid.",
    )
    grid_step = models.DecimalField(max_digits=30, decimal_places=12, help_text="Percent.")
    grid_count = models.PositiveIntegerField()
    grid = models.JSONField(default=list, help_text="The levels, lowest first.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "grid_states"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse a grid of one account for a strategy of another."""
        _refuse_other_account(self.strategy, self.account_id)
        super().save(*args, **kwargs)

    def __str__(self) -> str:
        return f"grid of {self.strategy_id}"


def _refuse_other_account(strategy: Strategy, account_id: uuid.UUID) -> None:
    if strategy.account_id != account_id:
        raise ValidationError({"strategy": "The strategy belongs to another account."})
