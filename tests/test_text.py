"""Text of strangers, and moments."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ocpp_addon.text import printable, utc


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CP1", "CP1"),
        ("RDAM 123", "RDAM 123"),
        ("Ladesäule", "Ladesäule"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb\u2028", "a\\u202eb\\u2028"),
        ("a\xa0b\u3000", "a b "),
        ("\ud800", "\\ud800"),
        (None, "None"),
        ("x" * 10_000, "x" * 64 + "…"),
        ("\n" * 100, "\\n" * 32 + "…"),
    ],
)
def test_printable_is_one_short_line(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_moments_are_written_with_z() -> None:
    berlin = timezone(timedelta(hours=1))
    assert utc(datetime(2026, 11, 24, 1, 2, 3, 4999, berlin)) == "2026-11-24T00:02:03.004Z"
    assert utc(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize("year", [1, 27, 2026, 9999])
def test_moments_of_any_year_are_read_again(year: int) -> None:
    moment = datetime(year, 2, 3, tzinfo=UTC)
    assert datetime.fromisoformat(utc(moment)) == moment
