"""Transaction ids of 32 bits that are never given twice, not even after a backup was restored."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.home.journal import Journal

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LATEST = 2**31 - 2**24  # seconds after the epoch; a clock beyond it would use up the 32 bits
RESTORED_LEAP = 2**24  # ids left out where neither clock nor backup knows what was given since


class TransactionIds:
    """Give ids that rise with the clock, or by one where it lags."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS transaction_ids (one INTEGER PRIMARY KEY, last INTEGER)",
    )

    def __init__(self, journal: Journal, last: int, *, restored: bool) -> None:
        self._journal = journal
        self._last = last
        self._restored = restored

    @classmethod
    async def open(cls, database: Database, journal: Journal) -> Self:
        """Read the last id."""
        [(last,)] = await database.read("SELECT max(last) FROM transaction_ids")
        return cls(journal, last or 0, restored=database.restored)

    def give(self, now: datetime, taken: Callable[[int], bool]) -> int:
        """Return an id that was never given, and is not `taken` by another central system.

        It may be told to a charger once the journal is flushed.
        """
        seconds = int((now - EPOCH).total_seconds())
        if self._restored and seconds <= self._last:  # a clock that is behind
            self._last += RESTORED_LEAP
        self._restored = False
        identity = max(self._last + 1, seconds if seconds < LATEST else 0)
        while taken(identity):
            identity += 1
        self._journal.later(
            ("transaction_id", 1),
            "INSERT OR REPLACE INTO transaction_ids VALUES (1, ?)",
            identity,
        )
        self._last = identity
        return identity
