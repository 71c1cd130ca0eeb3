"""Lenient reads: the right type or None, whatever the charger sent."""

import pytest

from ocpp_addon.home import fields

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
