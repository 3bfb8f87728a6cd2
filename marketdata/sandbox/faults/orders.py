"""Orders for faults, read and checked: from JSON, and from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketdata.sandbox.faults.table import ACT, FAULTS, PARAMETERS, Fault

FILTERS = ("channel", "account", "symbol", "topic", "path")


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultOrder:
    """A fault with its parameters, all of them sound; `values` has the defaults in it."""

    fault: Fault
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Which fault."""
        return self.fault.name

    @property
    def is_act(self) -> bool:
        """Whether it happens by itself."""
        return self.fault.kind == ACT

    def concerns(self, target: Mapping[str, str]) -> bool:
        """Whether something with these properties is what was meant."""
        given = ((name, self.values[name]) for name in FILTERS if name in self.values)
        return all(_matches(name, wanted, target.get(name, "")) for name, wanted in given)


def _matches(name: str, wanted: str, found: str) -> bool:
    if name == "path":
        return wanted in found
    return found == wanted or (name == "topic" and found.startswith(f"{wanted}."))


def read_order(name: Any, values: Mapping[str, Any]) -> FaultOrder:
    """Check an order. Raises ValueError, which names the faults or parameters that there are."""
    if not (isinstance(name, str) and name in FAULTS):
        raise ValueError(f"There is no fault {name!r}; there are {', '.join(FAULTS)}.")
    fault = FAULTS[name]
    for key in values:
        if key not in fault.takes:
            raise ValueError(f"{name} takes no {key}; it takes {', '.join(fault.takes)}.")
    read = {key: _value(key, value) for key, value in values.items()}
    return FaultOrder(fault=fault, values={**fault.defaults, **read})


def parse_order(text: str) -> FaultOrder:
    """An order as the command line has it: NAME or NAME:key=value,key=value."""
    name, _, rest = text.partition(":")
    values: dict[str, str] = {}
    for pair in rest.split(",") if rest else ():
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} of fault {name} is no key=value.")
        values[key] = value
    return read_order(name, values)


def _value(name: str, value: Any) -> Any:
    parameter = PARAMETERS[name]
    try:
        return parameter.read(value)
    except ValueError:
        raise ValueError(f"{name} cannot be {value!r}: {parameter.means}.") from None
