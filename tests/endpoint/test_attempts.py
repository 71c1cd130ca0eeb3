from datetime import UTC, datetime, timedelta

import pytest

from ocpp_addon.endpoint.attempts import ATTEMPTS_LIMIT, CODES, Attempts

NOW = datetime(2026, 11, 24, 17, tzinfo=UTC)


def test_the_same_failure_only_counts_and_comes_to_the_front() -> None:
    attempts = Attempts()
    attempts.add(NOW, "10.0.0.2", "CP1", "wrong_password")
    attempts.add(NOW, "10.0.0.3", "CP1", "wrong_password")
    attempts.add(NOW + timedelta(seconds=5), "10.0.0.2", "CP1", "wrong_password")
    first, second = attempts.as_json()
    reason, advice = CODES["wrong_password"]
    assert first == {
        "first_at": "2026-11-24T17:00:00.000Z",
        "last_at": "2026-11-24T17:00:05.000Z",
        "count": 2,
        "address": "10.0.0.2",
        "charger_id": "CP1",
        "code": "wrong_password",
        "reason": reason,
        "advice": advice,
    }
    assert (second["address"], second["count"]) == ("10.0.0.3", 1)


@pytest.mark.parametrize(
    "other", [("10.0.0.9", "CP1", "busy"), ("a", "CP2", "busy"), ("a", None, "busy")]
)
def test_other_failures_are_entries_of_their_own(other: tuple[str, str | None, str]) -> None:
    attempts = Attempts()
    attempts.add(NOW, "a", "CP1", "busy")
    attempts.add(NOW, *other)
    assert len(attempts.newest_first()) == 2


def test_is_bounded_and_keeps_the_newest() -> None:
    attempts = Attempts()
    for number in range(ATTEMPTS_LIMIT + 50):
        attempts.add(NOW, "a", f"CP{number}", "unknown_charger")
    entries = attempts.newest_first()
    assert len(entries) == ATTEMPTS_LIMIT
    assert entries[0].charger_id == f"CP{ATTEMPTS_LIMIT + 49}"


def test_facts_say_more() -> None:
    attempts = Attempts()
    entry = attempts.add(NOW, "a", "CP1", "no_common_subprotocol", offered="ocpp2.0")
    assert entry.reason == CODES["no_common_subprotocol"][0] + " (offered: ocpp2.0)"
    entry = attempts.add(NOW, "a", "x/y", "bad_id", detail="The id x/y contains /.", user_name="x")
    assert entry.reason == "The id x/y contains /. (user name: x)"


def test_text_of_strangers_is_harmless() -> None:
    attempts = Attempts()
    evil = "\x1b[31m\n\u202e" + "x" * 10_000
    entry = attempts.add(NOW, "a", evil, "bad_id", detail=evil, offered=evil)
    assert entry.charger_id is not None
    for text in (entry.charger_id, entry.reason):
        assert text.isprintable()
        assert len(text) < 400


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_two_texts_for_people(code: str) -> None:
    for text in CODES[code]:
        assert text[0].isupper() and text.endswith(".")
        assert len(text) < 200


def test_an_unheard_of_code_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        Attempts().add(NOW, "a", None, "nonsense")
