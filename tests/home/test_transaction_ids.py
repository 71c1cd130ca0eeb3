"""Ids that are never given twice."""

from datetime import UTC, datetime, timedelta

import pytest

from ocpp_addon.database import Database
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.transaction_ids import EPOCH, RESTORED_LEAP, TransactionIds
from tests.home.conftest import NOW

SECONDS = int((NOW - EPOCH).total_seconds())


class Source:
    """Ids that nobody else gives, and what is on disk of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._journal = Journal(database)
        self._ids: TransactionIds

    async def open(self, *, restored: bool = False) -> None:
        self.database.restored = restored
        self._ids = await TransactionIds.open(self.database, self._journal)

    def give(self, now: datetime = NOW) -> int:
        return self._ids.give(now, lambda identity: False)

    async def flush(self) -> None:
        await self._journal.flush()


@pytest.fixture
async def source(database: Database) -> Source:
    one = Source(database)
    await one.open()
    return one


def test_ids_start_at_the_seconds_of_the_epoch_and_rise(source: Source) -> None:
    assert [source.give() for _ in range(3)] == [SECONDS, SECONDS + 1, SECONDS + 2]
    assert source.give(NOW + timedelta(days=1)) == SECONDS + 86_400


@pytest.mark.parametrize(
    "now",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        NOW - timedelta(days=1),
        datetime(2200, 1, 1, tzinfo=UTC),  # beyond 32 bits
    ],
)
async def test_ids_are_not_reused_after_a_restart_with_a_wrong_clock(
    source: Source, now: datetime
) -> None:
    last = source.give()
    await source.flush()
    await source.open()
    assert source.give(now) == last + 1


async def test_an_old_backup_leads_to_no_reuse(source: Source) -> None:
    given = {source.give() for _ in range(100)}  # never flushed: lost
    await source.open()
    assert source.give(NOW + timedelta(seconds=101)) not in given


async def test_a_backup_and_a_clock_that_is_behind_lead_to_no_reuse(source: Source) -> None:
    last = source.give()
    await source.flush()
    await source.open(restored=True)
    behind = NOW - timedelta(days=1)
    assert source.give(behind) == last + RESTORED_LEAP + 1
    assert source.give(behind) == last + RESTORED_LEAP + 2
    await source.open(restored=True)
    assert source.give(NOW + timedelta(days=1)) == SECONDS + 86_400
