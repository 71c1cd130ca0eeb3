"""Configurations that chargers were asked for, kept in memory to compare; secrets are not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ocpp_addon.ocpp.redaction import HIDDEN, redacted
from ocpp_addon.text import printable, utc
from ocpp_addon.web import variables

CHARGERS_LIMIT = 200
KEYS_LIMIT = 2000
VALUE_LIMIT = 500

Value = tuple[str | None, bool]  # and whether it is read-only
Values = dict[str, Value]  # by the name of the key


@dataclass(frozen=True)
class Key:
    """One key of a charger, and what it was when it was read before."""

    name: str
    value: str | None
    readonly: bool
    before: str | None
    changed: bool

    @property
    def hidden(self) -> bool:
        """Tell whether its value is a secret."""
        return self.value == HIDDEN


@dataclass(frozen=True)
class _Reading:
    at: str
    values: Values


class Configurations:
    """Keep the last two readings of each charger."""

    def __init__(self) -> None:
        self._readings: dict[str, tuple[_Reading, _Reading | None]] = {}
        self._reports: dict[str, Values] = {}  # of OCPP 2, which come in parts

    def add(self, charger_id: str, payload: Mapping[str, Any]) -> int:
        """Take the answer to GetConfiguration or GetVariables; return how many keys it has."""
        values = _limited(_told(redacted(payload)))
        self._keep(charger_id, values)
        return len(values)

    def expect(self, charger_id: str) -> None:
        """Wait for a report of all variables, which the charger sends by itself."""
        self._reports[charger_id] = {}
        if len(self._reports) > CHARGERS_LIMIT:
            del self._reports[next(iter(self._reports))]

    def heed(self, charger_id: str, action: str, payload: Mapping[str, Any]) -> None:
        """Look at a Call of a charger: it may be a part of the report that is expected."""
        if action != "NotifyReport" or charger_id not in self._reports:
            return
        report = self._reports[charger_id]
        told = _reported(redacted(payload))
        self._reports[charger_id] = _limited([*report.items(), *told])
        if payload.get("tbc") is not True:
            self._keep(charger_id, self._reports.pop(charger_id))

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

    def _keep(self, charger_id: str, values: Values) -> None:
        last = self._readings.pop(charger_id, None)
        previous = last[0] if last else None
        if previous is not None and len(values) == 1:  # one key read again: the others stay
            values = previous.values | values
        self._readings[charger_id] = (_Reading(utc(datetime.now(UTC)), values), previous)
        if len(self._readings) > CHARGERS_LIMIT:
            del self._readings[next(iter(self._readings))]


def _limited(found: list[tuple[str, Value]]) -> Values:
    return dict(found[:KEYS_LIMIT])


def _told(payload: Mapping[str, Any]) -> list[tuple[str, Value]]:
    found: list[tuple[str, Value]] = []
    for item in _objects(payload.get("configurationKey")):
        value = item.get("value")
        shown = None if value is None else printable(value, VALUE_LIMIT)
        found.append((printable(item.get("key")), (shown, item.get("readonly") is True)))
    for item in _objects(payload.get("getVariableResult")):
        value = item.get("attributeValue", f"({item.get('attributeStatus')})")
        found.append((variables.written(item), (printable(value, VALUE_LIMIT), False)))
    return found


def _reported(payload: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for item in _objects(payload.get("reportData")):
        for attribute in _objects(item.get("variableAttribute")):
            if attribute.get("type", "Actual") == "Actual":
                value = attribute.get("value")
                shown = None if value is None else printable(value, VALUE_LIMIT)
                yield variables.written(item), (shown, attribute.get("mutability") == "ReadOnly")


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
