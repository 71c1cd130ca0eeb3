"""Lenient reads: the right type or None, whatever the charger sent."""

from datetime import UTC, datetime

import pytest

from ocpp_addon.home import fields
from tests.home.conftest import NOW

HUGE = 10**4000


@pytest.mark.parametrize(
    ("value", "text", "integer"),
    [
        ("abc", "abc", None),
        ("", "", None),
        ("12", "12", 12),
        ("604.6", "604.6", 605),
        (12, "12", 12),
        (604.213, "604.213", 604),
        (-1, "-1", -1),
        (True, None, None),
        (None, None, None),
        ([1], None, None),
        ({"a": 1}, None, None),
        (HUGE, None, None),
        (float("nan"), None, None),
        (float("inf"), None, None),
        ("inf", "inf", None),
        (2**53, str(2**53), 2**53),
        ("a\ud800b", "a?b", None),
    ],
)
def test_texts_and_numbers(value: object, text: str | None, integer: int | None) -> None:
    assert fields.text({"key": value}, "key") == text
    assert fields.integer({"key": value}, "key") == integer


def test_a_missing_key_is_none() -> None:
    assert fields.text({}, "key") is None
    assert fields.integer({}, "key") is None
    assert fields.group({}, "key") == {}
    assert fields.groups({}, "key") == []


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("  Alfen ", "Alfen"),
        ("", None),
        (" ", None),
        ("a\nb", "a\\nb"),
        ("x" * 500, "x" * 100 + "…"),
        (7, "7"),
        (None, None),
    ],
)
def test_labels_are_one_short_line(value: object, label: str | None) -> None:
    assert fields.label({"key": value}, "key") == label


def test_a_bare_object_stands_for_an_array_of_one() -> None:
    assert fields.groups({"key": {"a": 1}}, "key") == [{"a": 1}]
    assert fields.groups({"key": [{"a": 1}, 2, None]}, "key") == [{"a": 1}]


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-11-24T16:00:00Z", datetime(2026, 11, 24, 16, tzinfo=UTC)),
        ("2026-11-24T17:30:00.250+02", datetime(2026, 11, 24, 15, 30, 0, 250_000, UTC)),
        ("2026-11-24T16:00:00", datetime(2026, 11, 24, 16, tzinfo=UTC)),
        ("2026-11-24T17:04:00Z", datetime(2026, 11, 24, 17, 4, tzinfo=UTC)),
        ("2026-11-24T18:00:00", NOW),  # local time of a zone ahead of UTC
        ("1970-01-01T00:00:00Z", NOW),
        ("2099-01-01T00:00:00Z", NOW),
        ("0001-01-01T00:00:00+02:00", NOW),
        ("yesterday", NOW),
        (17, NOW),
        (None, NOW),
    ],
)
def test_absurd_moments_become_now(stamp: object, expected: datetime) -> None:
    assert fields.moment({"timestamp": stamp}, "timestamp", NOW) == expected
