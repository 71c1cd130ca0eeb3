"""Figures and times in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ocpp_addon.web import renderer


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "W", "–"),
        (0, "W", "0 W"),
        (999.4, "W", "999 W"),
        (7360, "W", "7.36 kW"),
        (-2300, "W", "-2.30 kW"),
        (12345, "Wh", "12.35 kWh"),
        (16, "A", "16 A"),
        (8.5, "A", "8.5 A"),
    ],
)
def test_amounts(value: float | None, unit: str, words: str) -> None:
    assert renderer.amount(value, unit) == words


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [
        ("2026-11-25T10:00:00Z", "2026-11-25T10:59:59Z", "59 min"),
        ("2026-11-25T10:00:00Z", "2026-11-25T11:05:00Z", "1 h 05 min"),
        ("2026-11-25T10:00:00Z", "2026-11-25T09:00:00Z", "0 min"),
        (None, None, ""),
        ("222222017-10-27T19:10:11Z", "2026-11-25T09:00:00Z", ""),
    ],
)
def test_durations(begin: str | None, end: str | None, words: str) -> None:
    assert renderer.duration(begin, end) == words


def test_a_duration_without_end_goes_on() -> None:
    begin = datetime.now(UTC) - timedelta(hours=2, seconds=5)
    assert renderer.duration(begin.isoformat()) == "2 h 00 min"


def test_moments() -> None:
    stamp = "2026-11-25T10:00:00.123Z"
    assert f'<time datetime="{stamp}">2026-11-2' in renderer.moment(stamp)
    assert " data-millis>2026-11-2" in renderer.moment(stamp, millis=True)
    assert ".123</time>" in renderer.moment(stamp, millis=True)
    assert renderer.moment(None) == "never"
    assert renderer.moment("<b>") == "<b>"  # plain text: the template escapes it


@pytest.mark.parametrize("value", [{"a": "<b>&\"'"}, "\ud800", ["x" * 30_000]])
def test_json_for_reading(value: Any) -> None:
    shown = renderer.pretty(value)
    assert "<" not in shown and len(shown) < 1.1 * renderer.LONGEST
    shown.encode()
