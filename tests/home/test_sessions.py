"""Sessions as people ask for them."""

from datetime import datetime, timedelta

import pytest

from ocpp_addon.database import Database
from ocpp_addon.home import sessions as module
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.session import Start, Stop
from ocpp_addon.home.sessions import Choice, Sessions
from ocpp_addon.home.states import States
from ocpp_addon.home.transactions import Transactions
from tests.home.conftest import NOW

DAY = timedelta(days=1)


@pytest.fixture
async def sessions(database: Database) -> Sessions:
    """Three sessions a day apart: two of the garage, then one of the yard that still runs."""
    journal = Journal(database)
    transactions = await Transactions.open(database, journal)
    states = await States.open(database, journal, transactions)
    for day, (charger_id, tag, number) in enumerate(
        [("garage", "Anna", 1), ("garage", "ben", 2), ("yard", "ANNA", 3)]
    ):
        at = NOW + day * DAY
        transactions.begun(Start(charger_id, 1, tag, 1000, at), number)
        if number < 3:
            end = at + timedelta(hours=2)
            transactions.end(Stop(charger_id, number, 1000 + 500 * number, end, "Local"))
    return Sessions(database, journal, states)


async def test_what_is_told_of_a_session(sessions: Sessions) -> None:
    running, _, first = await sessions.find(Choice())
    assert first.as_json() == {
        "charger": "garage",
        "connector": 1,
        "transaction_id": 1,
        "tag": "Anna",
        "started_at": "2026-11-24T17:00:00.000Z",
        "ended_at": "2026-11-24T19:00:00.000Z",
        "energy_wh": 500,
        "reason": "Local",
    }
    assert (running.ended_at, running.energy, running.reason) == (None, 0, None)


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        (Choice(), [3, 2, 1]),
        (Choice(charger_id="garage"), [2, 1]),
        (Choice(charger_id="Garage"), []),
        (Choice(tag="anna"), [3, 1]),
        (Choice(charger_id="garage", tag="anna"), [1]),
        (Choice(since=NOW + DAY), [3, 2]),
        (Choice(until=NOW + DAY), [1]),
        (Choice(since=NOW + DAY, until=NOW + 2 * DAY), [2]),
        (Choice(limit=1), [3]),
        (Choice(charger_id="'; DROP TABLE sessions; --"), []),
        (Choice(since=datetime(2027, 1, 1, tzinfo=NOW.tzinfo)), []),
    ],
)
async def test_newest_first_and_only_those_asked_for(
    sessions: Sessions, choice: Choice, found: list[int]
) -> None:
    assert [one.transaction_id for one in await sessions.find(choice)] == found


async def test_an_answer_is_limited_to_the_newest(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_LIMIT", 2)
    assert [one.transaction_id for one in await sessions.find(Choice())] == [3, 2]
