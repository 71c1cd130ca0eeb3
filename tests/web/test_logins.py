"""Sessions and form tokens."""

import pytest

from ocpp_addon.web import logins as module
from ocpp_addon.web.logins import Logins

HERE, THERE = "192.168.1.2", "192.168.1.3"


async def test_the_token_opens_sessions() -> None:
    logins = Logins("correct-horse")
    assert logins.fits("correct-horse", HERE)
    session = logins.open()
    assert logins.is_open(session)
    assert not logins.is_open("")
    assert not logins.is_open(session + "x")
    logins.close(session)
    assert not logins.is_open(session)


async def test_wrong_tokens_are_slowed_per_address() -> None:
    logins = Logins("correct-horse")
    for _ in range(module.FAILURES_LIMIT):
        assert not logins.fits("wrong", HERE)
    assert not logins.fits("correct-horse", HERE)
    assert logins.fits("correct-horse", THERE)


async def test_without_a_token_none_fits() -> None:
    assert not Logins(None).fits("", HERE)


async def test_everything_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSIONS_LIMIT", 2)
    monkeypatch.setattr(module, "ADDRESSES_LIMIT", 2)
    logins = Logins("correct-horse")
    sessions = [logins.open() for _ in range(3)]
    assert [logins.is_open(session) for session in sessions] == [False, True, True]
    for number in range(10):
        logins.fits("wrong", f"192.168.1.{number}")
    assert len(logins._failures) == 2


async def test_sessions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SESSION_LENGTH", 0.0)
    logins = Logins("correct-horse")
    assert not logins.is_open(logins.open())


def test_form_tokens_belong_to_one_session_of_one_run() -> None:
    logins = Logins(None)
    token = logins.form_token("a")
    assert logins.is_our_form("a", token)
    assert not logins.is_our_form("b", token)
    assert not logins.is_our_form("a", "")
    assert not logins.is_our_form("a", "é")
    assert not Logins(None).is_our_form("a", token)
