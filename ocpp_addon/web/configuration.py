"""Configurations that chargers were asked for, kept to compare; secrets are not kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ocpp_addon.ocpp.redaction import redacted
from ocpp_addon.text import printable, utc

CHARGERS_LIMIT = 200
KEYS_LIMIT = 1000
VALUE_LIMIT = 500


@dataclass(frozen=True)
class Key:
    """One key of a charger, and what it was when it was read before."""

    name: str
    value: str | None
    readonly: bool
    before: str | None
    changed: bool


@dataclass(frozen=True)
class _Reading:
    at: str
    values: dict[str, tuple[str | None, bool]]


class Configurations:
    """Keep the last two readings of each charger."""

    def __init__(self) -> None:
        self._readings: dict[str, tuple[_Reading, _Reading | None]] = {}

    def add(self, charger_id: str, payload: Mapping[str, Any]) -> int:
        """Take the answer to GetConfiguration or GetVariables; return how many keys it has."""
        values = dict(_values(redacted(payload))[:KEYS_LIMIT])
        last = self._readings.pop(charger_id, None)
        previous = last[0] if last else None
        count = len(values)
        if previous is not None and count == 1:  # one key read again: the others stay
            values = previous.values | values
        self._readings[charger_id] = (_Reading(utc(datetime.now(UTC)), values), previous)
        if len(self._readings) > CHARGERS_LIMIT:
            del self._readings[next(iter(self._readings))]
        return count

    def read_at(self, charger_id: str) -> str | None:
        """Return when a charger was last read."""
        reading = self._readings.get(charger_id)
        return reading[0].at if reading else None

    def keys(self, charger_id: str) -> list[Key]:
        """Return what was read, by name, beside what was read before."""
        if charger_id not in self._readings:
            return []
        now, before = self._readings[charger_id]
        earlier = before.values if before else now.values
        return [
            Key(
                name,
                value,
                readonly,
                earlier.get(name, (None, False))[0],
                earlier.get(name, (None, False))[0] != value,
            )
            for name, (value, readonly) in sorted(now.values.items())
        ]


def _values(payload: Mapping[str, Any]) -> list[tuple[str, tuple[str | None, bool]]]:
    found: list[tuple[str, tuple[str | None, bool]]] = []
    for item in _objects(payload.get("configurationKey")):
        value = item.get("value")
        shown = None if value is None else printable(value, VALUE_LIMIT)
        found.append((printable(item.get("key")), (shown, item.get("readonly") is True)))
    for item in _objects(payload.get("getVariableResult")):
        component, variable = item.get("component"), item.get("variable")
        names = [place.get("name") for place in (component, variable) if isinstance(place, dict)]
        value = item.get("attributeValue", f"({item.get('attributeStatus')})")
        name = ".".join(printable(name) for name in names)
        found.append((name, (printable(value, VALUE_LIMIT), False)))
    return found


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
