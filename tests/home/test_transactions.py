"""Sessions as chargers tell them, right and wrong."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ocpp_addon.database import Database
from ocpp_addon.home import transactions as module
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.session import Start, Stop
from ocpp_addon.home.transaction_ids import EPOCH
from ocpp_addon.home.transactions import Transactions
from tests.home.conftest import NOW

START = Start("garage", 1, "card", 1000, NOW, "2026-11-24T17:00:00Z")
STOP = Stop("garage", 0, 4500, NOW + timedelta(hours=1), "Local")


class Books:
    """Transactions, their journal and what is on disk."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def open(self) -> Transactions:
        self.journal = Journal(self.database)
        return await Transactions.open(self.database, self.journal)

    async def rows(self, columns: str) -> list[tuple[Any, ...]]:
        await self.journal.flush()
        return await self.database.read(f"SELECT {columns} FROM sessions ORDER BY number")


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


async def test_an_id_that_another_central_system_gave_is_skipped(books: Books) -> None:
    transactions = await books.open()
    seconds = int((NOW - EPOCH).total_seconds())
    transactions.begun(START, seconds)
    assert transactions.new_id("garage", NOW) == seconds + 1


async def test_a_session_from_start_to_end(books: Books) -> None:
    transactions = await books.open()
    identity = transactions.begin(START, NOW)
    columns = "charger_id, transaction_id, connector, tag, meter_start, meter_stop, ended_at"
    assert await books.rows(columns) == [("garage", identity, 1, "card", 1000, None, None)]

    transactions = await books.open()  # a running session survives a restart
    transactions.end(replace(STOP, transaction_id=identity))
    assert await books.rows("transaction_id, meter_stop, started_at, ended_at, reason") == [
        (identity, 4500, "2026-11-24T17:00:00.000Z", "2026-11-24T18:00:00.000Z", "Local")
    ]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_repeated_start_gets_the_same_id(books: Books, restart: bool) -> None:
    transactions = await books.open()
    identity = transactions.begin(START, NOW)
    if restart:
        await books.journal.flush()
        transactions = await books.open()
    assert transactions.begin(START, NOW + timedelta(minutes=2)) == identity
    assert len(await books.rows("number")) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(START, charger_id="yard"),
        replace(START, connector=2),
        replace(START, tag="other"),
        replace(START, meter=1001),
        replace(START, stamp="2026-11-24T17:00:01Z"),
    ],
)
async def test_another_start_gets_another_id(books: Books, other: Start) -> None:
    transactions = await books.open()
    assert transactions.begin(START, NOW) != transactions.begin(other, NOW)


async def test_starts_without_time_stamp_are_never_taken_for_repetitions(books: Books) -> None:
    transactions = await books.open()
    start = replace(START, stamp=None)
    assert transactions.begin(start, NOW) != transactions.begin(start, NOW)


async def test_after_the_end_the_same_start_is_a_new_session(books: Books) -> None:
    transactions = await books.open()
    identity = transactions.begin(START, NOW)
    transactions.end(replace(STOP, transaction_id=identity))
    assert transactions.begin(START, NOW) != identity
    assert len(await books.rows("number")) == 2


async def test_a_repetition_that_got_another_id_keeps_one_session(books: Books) -> None:
    transactions = await books.open()
    transactions.begun(START, 7)
    transactions.begun(START, 8)
    transactions.begun(START, 8)
    assert await books.rows("transaction_id") == [(8,)]
    transactions.end(replace(STOP, transaction_id=8))
    assert await books.rows("transaction_id, meter_stop") == [(8, 4500)]


async def test_numbers_and_texts_are_different_ids(books: Books) -> None:
    transactions = await books.open()
    transactions.begun(START, 7)
    transactions.begun(replace(START, stamp=None), "7")
    transactions.end(replace(STOP, transaction_id="7"))
    assert await books.rows("transaction_id, meter_stop") == [(7, None), ("7", 4500)]


@pytest.mark.parametrize(
    ("told", "ends"), [(-1, True), (0, True), (None, True), ("", True), (99, False), ("x", False)]
)
async def test_an_odd_id_ends_the_only_session(
    books: Books, told: int | str | None, ends: bool
) -> None:
    transactions = await books.open()
    transactions.begin(START, NOW)
    transactions.begin(replace(START, charger_id="yard"), NOW)
    transactions.end(replace(STOP, transaction_id=told))
    [(ended,), (other,)] = await books.rows("meter_stop")
    assert (ended is not None) == ends
    assert other is None


async def test_an_odd_id_ends_nothing_where_two_sessions_run(books: Books) -> None:
    transactions = await books.open()
    transactions.begin(START, NOW)
    transactions.begin(replace(START, connector=2), NOW)
    transactions.end(replace(STOP, transaction_id=-1))
    assert await books.rows("ended_at") == [(None,), (None,)]


async def test_the_first_end_counts(books: Books) -> None:
    transactions = await books.open()
    identity = transactions.begin(START, NOW)
    transactions.end(replace(STOP, transaction_id=identity))
    transactions.end(replace(STOP, transaction_id=identity, meter=9999))
    assert await books.rows("meter_stop") == [(4500,)]


async def test_a_session_ends_not_before_it_began(books: Books) -> None:
    transactions = await books.open()
    identity = transactions.begin(START, NOW)
    transactions.end(replace(STOP, transaction_id=identity, at=NOW - timedelta(hours=1)))
    assert await books.rows("ended_at") == [("2026-11-24T17:00:00.000Z",)]


async def test_sessions_and_open_ones_are_bounded(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SESSION_LIMIT", 5)
    monkeypatch.setattr(module, "OPEN_LIMIT", 3)
    transactions = await books.open()
    for number in range(8):
        transactions.begun(replace(START, charger_id=f"charger {number}"), 1)
        await books.journal.flush()
    assert await books.rows("charger_id") == [(f"charger {n}",) for n in range(3, 8)]
    transactions.end(replace(STOP, charger_id="charger 4", transaction_id=1))  # forgotten
    transactions.end(replace(STOP, charger_id="charger 5", transaction_id=1))
    assert await books.rows("meter_stop") == [(None,), (None,), (4500,), (None,), (None,)]
