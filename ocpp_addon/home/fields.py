"""Lenient reads of what chargers send: a value of the wanted type or None, never an error."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ocpp_addon.ocpp.timestamp import read_timestamp
from ocpp_addon.text import printable

LARGEST = 2**53  # integers beyond it are no meter register and no id
LABEL_LIMIT = 100  # characters of a name or a status that a person reads
OLDEST = datetime(2020, 1, 1, tzinfo=UTC)  # earlier: a clock that was never set


def text(payload: Mapping[str, Any], key: str) -> str | None:
    """Return a text, or a number as text, without lone surrogates, which nothing can store."""
    value = payload.get(key)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if value is None or real(payload, key) is None else str(value)


def label(payload: Mapping[str, Any], key: str) -> str | None:
    """Return a text for people's eyes: one printable line, cut; None for an empty one."""
    return printable(text(payload, key) or "", LABEL_LIMIT).strip() or None


def integer(payload: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number, also from a fraction or a numeral."""
    found = real(payload, key)
    return None if found is None else round(found)


def real(payload: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number of sensible size, also from a numeral."""
    return number(payload.get(key))


def number(value: object) -> float | None:
    """Read a value as `real` does."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and abs(found) <= LARGEST else None


def group(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object; an empty one for anything else."""
    value = payload.get(key)
    return value if isinstance(value, dict) else {}


def groups(payload: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the objects of an array; some chargers send one bare object instead."""
    value = payload.get(key)
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def stamp(payload: Mapping[str, Any], key: str) -> datetime | None:
    """Return a time stamp, taken as UTC where it names no zone; it may be absurd."""
    found = read_timestamp(payload.get(key))
    if found is None:
        return None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:  # the first or the last hours of the calendar
        return None
