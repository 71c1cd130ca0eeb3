"""Rows that wait for the disk."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from pathlib import Path

import pytest

from ocpp_addon.database import Database, Statement
from ocpp_addon.errors import StorageError
from ocpp_addon.home import journal as module
from ocpp_addon.home.journal import Journal

TABLE = "CREATE TABLE IF NOT EXISTS words (key TEXT PRIMARY KEY, word TEXT)"
SQL = "INSERT OR REPLACE INTO words VALUES (?, ?)"


class FlakyDatabase(Database):
    """A database whose disk refuses while `broken`, and waits while `gate` is closed."""

    broken = False
    gate: asyncio.Event | None = None

    async def write_all(self, statements: Sequence[Statement]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise StorageError("The disk is full.")
        await super().write_all(statements)

    async def words(self) -> dict[str, str]:
        return dict(await self.read("SELECT key, word FROM words"))


@pytest.fixture
async def flaky(tmp_path: Path) -> FlakyDatabase:
    return await FlakyDatabase.open(tmp_path / "words.db", [TABLE])


def note(journal: Journal, key: str, word: str) -> None:
    journal.later(("word", key), SQL, key, word)


async def eventually(condition: Awaitable[object]) -> None:
    async with asyncio.timeout(20):
        await condition


async def test_the_last_statement_of_a_key_wins(flaky: FlakyDatabase) -> None:
    journal = Journal(flaky)
    await journal.flush()  # nothing waits
    for word in ("one", "two"):
        note(journal, "a", word)
    note(journal, "b", "three")
    assert await flaky.words() == {}
    await journal.flush()
    assert await flaky.words() == {"a": "two", "b": "three"}
    await flaky.close()


async def test_what_the_disk_refused_waits_and_newer_words_win(flaky: FlakyDatabase) -> None:
    journal = Journal(flaky)
    flaky.broken = True
    note(journal, "a", "old")
    note(journal, "b", "kept")
    with pytest.raises(StorageError):
        await journal.flush()
    note(journal, "a", "new")
    flaky.broken = False
    await journal.flush()
    assert await flaky.words() == {"a": "new", "b": "kept"}
    await flaky.close()


async def test_a_flush_returns_only_once_rows_in_flight_are_safe(flaky: FlakyDatabase) -> None:
    journal = Journal(flaky)
    flaky.gate = asyncio.Event()
    note(journal, "a", "one")
    first = asyncio.create_task(journal.flush())
    await asyncio.sleep(0)  # it took the row along
    second = asyncio.create_task(journal.flush())
    await asyncio.sleep(0)
    assert not second.done()
    flaky.broken = True
    flaky.gate.set()
    for task in (first, second):
        with pytest.raises(StorageError):
            await task
    flaky.broken = False
    await journal.flush()
    assert await flaky.words() == {"a": "one"}
    await flaky.close()


async def test_a_cancelled_flush_loses_nothing(flaky: FlakyDatabase) -> None:
    journal = Journal(flaky)
    flaky.gate = asyncio.Event()
    note(journal, "a", "one")
    task = asyncio.create_task(journal.flush())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    flaky.gate.set()
    await journal.flush()
    assert await flaky.words() == {"a": "one"}
    await flaky.close()


async def test_too_many_waiting_rows_are_refused(
    flaky: FlakyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_LIMIT", 2)
    journal = Journal(flaky)
    note(journal, "a", "one")
    note(journal, "b", "two")
    note(journal, "a", "three")
    with pytest.raises(StorageError):
        note(journal, "c", "four")
    await flaky.close()


async def test_many_rows_are_written_before_more_would_be_refused(
    flaky: FlakyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_LIMIT", 10)  # long before SAVE_DELAY
    journal = Journal(flaky)
    task = asyncio.create_task(journal.run())

    async def written(count: int) -> None:
        while len(await flaky.words()) < count:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(module.SAVE_DELAY / 2):
        for number in range(30):
            note(journal, f"key {number}", "word")
            await written((number + 1) // 5 * 5)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await flaky.close()


async def test_run_writes_by_itself_and_outlives_a_full_disk(
    flaky: FlakyDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SAVE_DELAY", 0.01)
    journal = Journal(flaky)
    flaky.broken = True
    task = asyncio.create_task(journal.run())

    async def complained() -> None:
        while not caplog.records:
            await asyncio.sleep(0.01)

    async def written() -> None:
        while await flaky.words() != {"a": "one"}:
            await asyncio.sleep(0.01)

    note(journal, "a", "one")
    await eventually(complained())
    await asyncio.sleep(0.05)  # several more attempts
    flaky.broken = False
    await eventually(written())
    assert len(caplog.records) == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await flaky.close()
