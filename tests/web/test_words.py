"""Figures, times and the words of OCPP as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from ocpp_addon.web import words


@pytest.mark.parametrize(
    ("value", "unit", "told"),
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
def test_amounts(value: float | None, unit: str, told: str) -> None:
    assert words.amount(value, unit) == told


@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        ("2026-11-25T10:00:00Z", "2026-11-25T10:59:59Z", "59 min"),
        ("2026-11-25T10:00:00Z", "2026-11-25T11:05:00Z", "1 h 05 min"),
        ("2026-11-25T10:00:00Z", "2026-11-25T09:00:00Z", "0 min"),
        (None, None, ""),
        ("222222017-10-27T19:10:11Z", "2026-11-25T09:00:00Z", ""),
    ],
)
def test_durations(begin: str | None, end: str | None, told: str) -> None:
    assert words.duration(begin, end) == told


def test_a_duration_without_end_goes_on() -> None:
    begin = datetime.now(UTC) - timedelta(hours=2, seconds=5)
    told = words.duration(begin.isoformat())
    assert told == f'<span data-since="{begin.isoformat()}">2 h 00 min</span>'


def test_moments() -> None:
    stamp = "2026-11-25T10:00:00.123Z"
    assert f'<time datetime="{stamp}">2026-11-2' in words.moment(stamp)
    assert " data-millis>2026-11-2" in words.moment(stamp, millis=True)
    assert ".123</time>" in words.moment(stamp, millis=True)
    same_day = words.moment("2026-11-25T11:30:00Z", minutes=True, beside=stamp)
    assert same_day.endswith(":30</time>") and "2026" not in same_day.split(">")[1]
    assert ">2026-12-2" in words.moment("2026-12-25T10:00:00Z", minutes=True, beside=stamp)
    assert words.moment(None) == "never"
    assert words.moment("<b>") == "<b>"  # plain text: the template escapes it


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (None, "Not reported yet"),
        ("Charging", "Charging"),
        ("SuspendedEV", "Paused by the car"),
        ("SomethingNew", "Something new"),
        ("<b>", "<b>"),
    ],
)
def test_statuses(word: str | None, told: str) -> None:
    assert words.status(word) == told


def test_other_words_of_ocpp() -> None:
    assert words.reason("EVDisconnected") == "Car unplugged"
    assert words.reason("EnergyLimitReached") == "Energy limit reached"
    assert words.reason(None) == ""
    assert words.spaced("EVCommunicationError") == "EV communication error"
    assert words.spoken(["ocpp1.6", "OCPP2.0.1", "soap"]) == "OCPP 1.6, OCPP 2.0.1, soap"


def test_a_time_goes_into_its_field_and_back() -> None:
    told = words.local("2026-11-25T10:00:00.123Z")
    assert datetime.fromisoformat(told).astimezone(UTC).isoformat() == "2026-11-25T10:00:00+00:00"
    assert words.local(None) == ""


@pytest.mark.parametrize("offset", [None, "", "east", "1440", "9" * 5000])
def test_zones_that_nobody_lives_in(offset: str | None) -> None:
    assert words.zone_of(offset) is None
