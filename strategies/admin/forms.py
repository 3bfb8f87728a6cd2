"""A strategy's configuration as a form: a box for each key, stored as JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django import forms

from accounts.tenant_admin import TenantForm
from strategies.config import (
    DEFAULT_GRID,
    DEFAULT_RISK,
    GRID_KEYS,
    MOST_LEVELS,
    RISK_KEYS,
    StrategyConfig,
)
from strategies.models import Strategy

RISK = "risk_"
PREVIEW = "_preview"
HELP = {
    "grid_count": "Levels besides the centre, half of them on each side; whole, at most "
    f"{MOST_LEVELS}.",
    "grid_step": "Percent from one level to the next. It must be above the break-even step of "
    "the preview, or every round trip loses.",
    "rebalance_threshold": "A share between 0 and 1: how lopsided the grid may be before a fill "
    "shifts it.",
    "amount": 'Of one order: "50" is 50 USDT, "x0.01" a hundredth of the wallet. Blank: not '
    "decided, and nothing is ordered.",
    "min_liq_ratio": "Liquidation price over last price of the long; above it the rules against "
    "its liquidation set in.",
    "max_liq_ratio": "Liquidation price over last price of the short; below it the rules against "
    "its liquidation set in.",
    "max_margin": "In wallets: position value over wallet balance. Carried for callers; no rule "
    "reads it.",
    "min_total_margin": "In wallets: both positions together. While they are equal and smaller "
    "than that, more is opened or less is closed.",
    "increase_same_position_on_low_margin": "Below the min total margin: open more (yes) or close "
    "less (no).",
}


class StrategyForm(TenantForm):
    """A strategy; what is left blank is left out of the JSON, and the default holds."""

    grid_count = forms.IntegerField(required=False)
    grid_step = forms.FloatField(required=False, label="Grid step (%)")
    rebalance_threshold = forms.FloatField(required=False)
    amount = forms.CharField(required=False, max_length=40, help_text=HELP["amount"])
    risk_min_liq_ratio = forms.FloatField(required=False, label="Min liquidation ratio")
    risk_max_liq_ratio = forms.FloatField(required=False, label="Max liquidation ratio")
    risk_max_margin = forms.FloatField(required=False, label="Max margin")
    risk_min_total_margin = forms.FloatField(required=False, label="Min total margin")
    risk_increase_same_position_on_low_margin = forms.TypedChoiceField(
        required=False,
        label="Increase same position on low margin",
        choices=[("", "default"), ("yes", "yes"), ("no", "no")],
        coerce=lambda value: value == "yes",
        empty_value=None,
    )
    preview_price = forms.DecimalField(
        required=False,
        min_value=Decimal("1e-12"),
        max_digits=30,
        decimal_places=12,
        label="At a last price of",
        help_text="In quote coin. Blank: the last ticker that was captured.",
    )
    preview_wallet = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=30,
        decimal_places=12,
        label="With a wallet of (USDT)",
        help_text="Blank: the account's last balance that was captured.",
    )
    preview_leverage = forms.DecimalField(
        required=False,
        min_value=Decimal(1),
        max_value=Decimal(200),
        max_digits=15,
        decimal_places=12,
        label="Leverage",
        help_text="Blank: 10.",
    )
    preview_maker_fee = forms.DecimalField(
        required=False,
        min_value=Decimal(-1),
        max_value=Decimal(1),
        max_digits=15,
        decimal_places=12,
        label="Maker fee (%)",
        help_text="Percent of an order's value, negative for a rebate. Blank: 0.02.",
    )

    class Meta:
        model = Strategy
        fields = ("account", "name", "symbol", "is_enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adding = self.instance._state.adding
        stored = {**DEFAULT_GRID, "risk": DEFAULT_RISK} if adding else self.instance.config
        for key, name in _boxes():
            if name not in self.fields:  # a page for looking only has no boxes
                continue
            box = self.fields[name]
            default = (DEFAULT_RISK if name.startswith(RISK) else DEFAULT_GRID).get(key)
            if key in HELP and default is not None:
                box.help_text = f"{HELP[key]} Blank: {_text(default)}."
                box.widget.attrs["placeholder"] = _text(default)
            self.initial.setdefault(name, _stored(stored, key, in_risk=name.startswith(RISK)))
            box.widget.attrs["step"] = "any"

    @property
    def is_preview(self) -> bool:
        """Whether the form was sent to be looked at and not to be saved."""
        return PREVIEW in self.data

    def is_valid(self) -> bool:
        """Whether it may be saved: not when only a preview was asked for."""
        return super().is_valid() and not self.is_preview

    def clean_symbol(self) -> str:
        """The exchange's spelling, so that one symbol is not two."""
        return str(self.cleaned_data["symbol"]).upper()

    def clean(self) -> dict[str, Any]:
        """Ask the core about each key by itself, so that every error stands at its box."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for key, name in _boxes():
            value = cleaned.get(name)
            if value is None or value == "":
                continue
            try:
                StrategyConfig.from_json(_nested({name: (key, value)}))
            except ValueError as error:
                # The box names its key; the rest is the sentence.
                said = str(error).removeprefix("risk.").removeprefix(f"{key} ")
                self.add_error(name, f"{_sentence(said)}.")
        return cleaned

    def config(self) -> dict[str, Any] | None:
        """The JSON to store; None while a box of it has an error."""
        boxes = {name: key for key, name in _boxes()}
        if any(name in self.errors for name in boxes):
            return None
        values = {
            name: (key, self.cleaned_data[name])
            for name, key in boxes.items()
            if self.cleaned_data.get(name) not in (None, "")
        }
        return _nested(values)

    def _post_clean(self) -> None:
        config = self.config()
        if config is not None:
            self.instance.config = config
        super()._post_clean()  # type: ignore[misc]


def _boxes() -> list[tuple[str, str]]:
    """Each key of the configuration and the name of its box."""
    flat = [(key, key) for key in (*GRID_KEYS, "amount")]
    return flat + [(key, RISK + key) for key in RISK_KEYS]


def _nested(values: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    config = {key: value for name, (key, value) in values.items() if not name.startswith(RISK)}
    risk = {key: value for name, (key, value) in values.items() if name.startswith(RISK)}
    return {**config, "risk": risk} if risk else config


def _stored(config: Any, key: str, *, in_risk: bool) -> Any:
    values = config.get("risk") if in_risk and isinstance(config, dict) else config
    value = values.get(key) if isinstance(values, dict) else None
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _text(default: Any) -> str:
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else json.dumps(default)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
