"""Meter values of every version as numbers in fixed units; knows nothing of what came before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from ocpp_addon.home import fields
from ocpp_addon.home.clock import PeerClock

REGISTER = "register"  # of imported energy, Wh, as the charger counts it
DEFAULT_MEASURAND = "Energy.Active.Import.Register"  # OCPP 1.6 4.7
SAMPLES_LIMIT = 1000  # moments of one message that are looked at
LARGEST_EXPONENT = 9
WORD_LIMIT = 64  # characters of a name or a unit

_PREFIXES = {"k": 1e3, "K": 1e3, "M": 1e6, "m": 1e-3}
_BASES = frozenset({"w", "wh", "var", "varh", "va", "vah", "a", "v", "hz"})
_LINES = ("l1", "l2", "l3")
# Where the same is measured at several places, the one nearest to the outlet counts.
_PLACES = {"": 0, "outlet": 0, "ev": 1, "cable": 2, "body": 3, "inlet": 4, "upstream": 5}


@dataclass(frozen=True)
class Quantity:
    """What a measurand becomes: `scale` leads from its base unit to the unit of the state.

    Phases are added up where no total is there, kept one by one, or of no interest.
    """

    key: str
    largest: float
    phases: Literal["add", "keep", "any"]
    scale: float = 1.0


QUANTITIES = {
    "energy.active.import.register": Quantity(REGISTER, 1e12, "add"),
    "energy.active.export.register": Quantity("energy_exported", 1e9, "add", 1e-3),
    "energy.reactive.import.register": Quantity("reactive_energy_imported", 1e9, "add", 1e-3),
    "energy.reactive.export.register": Quantity("reactive_energy_exported", 1e9, "add", 1e-3),
    "energy.active.import.interval": Quantity("energy_interval", 1e6, "add", 1e-3),
    "energy.active.export.interval": Quantity("energy_exported_interval", 1e6, "add", 1e-3),
    "energy.reactive.import.interval": Quantity(
        "reactive_energy_imported_interval", 1e6, "add", 1e-3
    ),
    "energy.reactive.export.interval": Quantity(
        "reactive_energy_exported_interval", 1e6, "add", 1e-3
    ),
    "power.active.import": Quantity("power", 1e6, "add"),
    "power.active.export": Quantity("power_exported", 1e6, "add"),
    "power.reactive.import": Quantity("reactive_power_imported", 1e6, "add"),
    "power.reactive.export": Quantity("reactive_power_exported", 1e6, "add"),
    "power.offered": Quantity("power_offered", 1e6, "add"),
    "power.factor": Quantity("power_factor", 1.0, "any"),
    "current.import": Quantity("current", 2e3, "keep"),
    "current.export": Quantity("current_exported", 2e3, "keep"),
    "current.offered": Quantity("current_offered", 2e3, "any"),
    "voltage": Quantity("voltage", 2e3, "keep"),
    "frequency": Quantity("frequency", 1e3, "any"),
    "temperature": Quantity("temperature", 250.0, "any"),
    "soc": Quantity("soc", 100.0, "any"),
    "rpm": Quantity("rpm", 1e6, "any"),
}


@dataclass(frozen=True)
class Sample:
    """What a meter showed at one moment, by the keys of the state.

    `unit` is the register's as the charger wrote it, in small letters.
    """

    at: datetime
    context: str
    values: Mapping[str, float]
    unit: str = ""


def read(values: Iterable[Mapping[str, Any]], clock: PeerClock, now: datetime) -> list[Sample]:
    """Return what `meterValue` or `transactionData` says, oldest first; oddities are left out."""
    moments: dict[tuple[datetime, str], _Moment] = {}
    for value in values:
        at = clock.moment(fields.stamp(value, "timestamp"), now)
        for sampled in fields.groups(value, "sampledValue"):
            key = (at, _word(sampled, "context"))
            if key not in moments and len(moments) >= SAMPLES_LIMIT:
                continue
            moments.setdefault(key, _Moment()).add(sampled)
    samples = [
        Sample(at, context, moment.values(), moment.unit)
        for (at, context), moment in moments.items()
    ]
    return sorted((sample for sample in samples if sample.values), key=lambda sample: sample.at)


class _Moment:
    """Gathers the sampled values of one moment."""

    def __init__(self) -> None:
        self.unit = ""
        # By key and phase: how far from the outlet, and the value.
        self._found: dict[tuple[str, str], tuple[int, float]] = {}
        self._phases: dict[str, str] = {}

    def add(self, sampled: Mapping[str, Any]) -> None:
        """Take one sampled value, if it is one."""
        unit, exponent = _unit(sampled)
        column = _column(
            _word(sampled, "measurand"), unit, _word(sampled, "phase"), _word(sampled, "location")
        )
        number = None if column is None else _number(sampled)
        if column is None or number is None:
            return
        quantity = column.quantity
        value = _in_base_unit(number, column) * 10.0**exponent * quantity.scale
        lowest = 0.0 if quantity.key in (REGISTER, "soc") else -quantity.largest
        if not lowest <= value <= quantity.largest:
            return
        if quantity.key == REGISTER:
            self.unit = f"{column.unit}e{exponent}" if exponent else column.unit
        key = (quantity.key, column.phase)
        if column.place <= self._found.get(key, (column.place, 0.0))[0]:
            self._found[key] = (column.place, value)
            self._phases[quantity.key] = quantity.phases

    def values(self) -> dict[str, float]:
        """Return the values by their keys in the state."""
        values: dict[str, float] = {}
        for name, phases in self._phases.items():
            found = {
                phase: value for (key, phase), (_, value) in self._found.items() if key == name
            }
            if phases == "keep":
                for phase, value in found.items():
                    values[f"{name}_{phase}" if phase else name] = round(value, 3)
            elif "" in found:
                values[name] = round(found[""], 3)
            elif phases == "any":
                values[name] = round(max(found.values()), 3)
            elif lines := [found[line] for line in _LINES if line in found]:
                values[name] = round(sum(lines), 3)
        return values


@dataclass(frozen=True)
class _Column:
    """What a sampled value is, but for its number; `phase` is `l1`, `n`, `l1_l2`, or "" of all."""

    quantity: Quantity
    unit: str  # in small letters
    factor: float  # of its prefix
    phase: str
    place: int  # how far from the outlet


@lru_cache(maxsize=512)  # chargers send the same few again and again
def _column(measurand: str, unit: str, phase: str, location: str) -> _Column | None:
    quantity = QUANTITIES.get((measurand or DEFAULT_MEASURAND).lower())
    if quantity is None:
        return None
    # The measurand knows better than the unit what is measured: only the prefix counts.
    factor = _PREFIXES.get(unit[0], 1.0) if unit[1:].lower() in _BASES else 1.0
    line = phase.lower().removesuffix("-n")  # some say L1 and mean L1-N
    known = line in (*_LINES, "n", "l1-l2", "l2-l3", "l3-l1")
    return _Column(
        quantity,
        unit.lower(),
        factor,
        line.replace("-", "_") if known else "",
        _PLACES.get(location.lower(), 0),
    )


def _word(sampled: Mapping[str, Any], key: str) -> str:
    value = sampled.get(key)
    return value.strip() if isinstance(value, str) and len(value) <= WORD_LIMIT else ""


def _number(sampled: Mapping[str, Any]) -> float | None:
    if _word(sampled, "format") == "SignedData":
        return None
    value = sampled.get("value")
    return fields.number(value.replace(",", ".") if isinstance(value, str) else value)


def _unit(sampled: Mapping[str, Any]) -> tuple[str, int]:
    """Return unit and power of ten; OCPP 2.x has them in an object."""
    measure = sampled.get("unitOfMeasure")
    if not isinstance(measure, dict):
        return _word(sampled, "unit"), 0
    exponent = fields.integer(measure, "multiplier") or 0
    exponent = max(-LARGEST_EXPONENT, min(LARGEST_EXPONENT, exponent))
    return _word(sampled, "unit") or _word(measure, "unit"), exponent


def _in_base_unit(number: float, column: _Column) -> float:
    match column.quantity.key:
        case "temperature" if column.unit in ("fahrenheit", "f", "°f"):
            return (number - 32) / 1.8
        case "temperature" if column.unit in ("k", "kelvin"):
            return number - 273.15
        case "power_factor" if 1 < number <= 100:  # some say it in percent
            return number / 100
    return number * column.factor
