"""Transaction ids that are never reused, and the charging sessions that chargers report."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.home.journal import Journal
from ocpp_addon.text import utc

TransactionId = int | str  # 1.6 has integers from the central system, 2.x texts from the charger
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LATEST = 2**31 - 2**24  # seconds after the epoch; a clock beyond it would use up the 32 bits
RESTORED_LEAP = 2**24  # ids left out where neither clock nor backup knows what was given since
SESSION_LIMIT = 50_000  # rows kept, the oldest go first
OPEN_LIMIT = 10_000  # running sessions remembered, whatever chargers never stop
TAG_LIMIT = 255


@dataclass(frozen=True)
class Start:
    """What a charger said at the start; `stamp` is its time stamp as sent."""

    charger_id: str
    connector: int | None
    tag: str | None
    meter: int | None  # Wh
    at: datetime
    stamp: str | None = None

    @property
    def fingerprint(self) -> str | None:
        """Return what a repetition has in common with its original; None if nothing tells."""
        if not self.stamp:
            return None
        words = (self.connector, self.tag, self.meter, self.stamp)
        return hashlib.sha256(repr(words).encode()).hexdigest()


@dataclass(frozen=True)
class Stop:
    """What a charger said at the end."""

    charger_id: str
    transaction_id: TransactionId | None
    meter: int | None  # Wh
    at: datetime
    reason: str


@dataclass(frozen=True)
class Session:
    """One charging session, running until it has `ended_at`; meters in Wh."""

    number: int
    charger_id: str
    transaction_id: TransactionId
    connector: int | None
    tag: str | None
    meter_start: int | None
    meter_stop: int | None
    started_at: datetime
    ended_at: datetime | None
    reason: str | None
    fingerprint: str | None


class Transactions:
    """Keep sessions; what is told is in memory at once and on disk after the journal's flush."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS transaction_ids (one INTEGER PRIMARY KEY, last INTEGER)",
        # No type for the transaction id: 7 and "7" stay what they are.
        "CREATE TABLE IF NOT EXISTS sessions"
        " (number INTEGER PRIMARY KEY, charger_id TEXT NOT NULL, transaction_id NOT NULL,"
        " connector INTEGER, tag TEXT, meter_start INTEGER, meter_stop INTEGER,"
        " started_at TEXT NOT NULL, ended_at TEXT, reason TEXT, fingerprint TEXT)",
    )

    def __init__(
        self, journal: Journal, last_id: int, last_number: int, *, restored: bool = False
    ) -> None:
        self._journal = journal
        self._last_id = last_id
        self._restored = restored
        self._last_number = last_number
        self._open: dict[tuple[str, TransactionId], Session] = {}

    @classmethod
    async def open(cls, database: Database, journal: Journal) -> Self:
        """Read the last id and the sessions that were running."""
        [(last_id,)] = await database.read("SELECT max(last) FROM transaction_ids")
        [(last_number,)] = await database.read("SELECT max(number) FROM sessions")
        transactions = cls(journal, last_id or 0, last_number or 0, restored=database.restored)
        rows = await database.read(
            "SELECT number, charger_id, transaction_id, connector, tag, meter_start, started_at,"
            " fingerprint FROM sessions WHERE ended_at IS NULL ORDER BY number DESC LIMIT ?",
            OPEN_LIMIT,
        )
        for number, charger_id, identity, connector, tag, meter, started_at, print_ in rows[::-1]:
            at = datetime.fromisoformat(started_at)
            transactions._open[charger_id, identity] = Session(
                *(number, charger_id, identity, connector, tag, meter, None, at, None, None, print_)
            )
        return transactions

    def running(self, charger_id: str, connector: int) -> Session | None:
        """Return the session that runs on a connector, the latest if there are several."""
        for session in reversed(self._of(charger_id)):
            if session.connector == connector:
                return session
        return None

    def new_id(self, charger_id: str, now: datetime) -> int:
        """Return an id that was never given, not even by a database that a backup has replaced.

        It may be told to a charger once the journal is flushed.
        """
        seconds = int((now - EPOCH).total_seconds())
        if self._restored and seconds <= self._last_id:  # a clock that is behind
            self._last_id += RESTORED_LEAP
        self._restored = False
        identity = max(self._last_id + 1, seconds if seconds < LATEST else 0)
        while (charger_id, identity) in self._open:  # given by another central system
            identity += 1
        self._journal.later(
            ("transaction_id", 1),
            "INSERT OR REPLACE INTO transaction_ids VALUES (1, ?)",
            identity,
        )
        self._last_id = identity
        return identity

    def begin(self, start: Start, now: datetime) -> int:
        """Open a session under a new id; a repeated start gets the id of its original."""
        original = self._original(start)
        if original is not None and isinstance(original.transaction_id, int):
            return original.transaction_id
        identity = self.new_id(start.charger_id, now)
        self.begun(start, identity)
        return identity

    def begun(self, start: Start, transaction_id: TransactionId) -> None:
        """Open a session under an id that somebody else chose; nothing happens if it is open."""
        if (start.charger_id, transaction_id) in self._open:
            return
        original = self._original(start)
        if original is not None:  # its answer was lost, and the repetition got another id
            self._keep(replace(original, transaction_id=transaction_id))
            del self._open[original.charger_id, original.transaction_id]
            return
        self._last_number += 1
        self._keep(
            Session(
                number=self._last_number,
                charger_id=start.charger_id,
                transaction_id=transaction_id,
                connector=start.connector,
                tag=start.tag[:TAG_LIMIT] if start.tag else None,
                meter_start=start.meter,
                meter_stop=None,
                started_at=start.at,
                ended_at=None,
                reason=None,
                fingerprint=start.fingerprint,
            )
        )
        self._journal.later(
            ("sessions", "trim"),
            "DELETE FROM sessions WHERE number <= ?",
            self._last_number - SESSION_LIMIT,
        )
        if len(self._open) > OPEN_LIMIT:
            del self._open[next(iter(self._open))]

    def amend(
        self,
        charger_id: str,
        transaction_id: TransactionId,
        *,
        connector: int | None,
        tag: str | None,
    ) -> None:
        """Add what a running session did not know at its start."""
        session = self._open.get((charger_id, transaction_id))
        if session is None:
            return
        fuller = replace(
            session,
            connector=connector if session.connector is None else session.connector,
            tag=session.tag or (tag[:TAG_LIMIT] if tag else None),
        )
        if fuller != session:
            self._keep(fuller)

    def end(self, stop: Stop) -> None:
        """End a session; one that does not run, or ended already, stays as it is.

        A charger that never learnt its id says -1 or nothing (OCPP 1.6 errata 3.18): that means
        its only running session.
        """
        session = self._open.get((stop.charger_id, stop.transaction_id or 0))
        if session is None and (stop.transaction_id in (None, "") or _negative(stop)):
            running = self._of(stop.charger_id)
            session = running[0] if len(running) == 1 else None
        if session is not None:
            ended = replace(
                session,
                meter_stop=stop.meter,
                ended_at=max(stop.at, session.started_at),
                reason=stop.reason,
            )
            self._keep(ended)
            del self._open[session.charger_id, session.transaction_id]

    def _original(self, start: Start) -> Session | None:
        fingerprint = start.fingerprint
        for session in self._of(start.charger_id):
            if fingerprint and session.fingerprint == fingerprint:
                return session
        return None

    def _of(self, charger_id: str) -> list[Session]:
        return [session for session in self._open.values() if session.charger_id == charger_id]

    def _keep(self, session: Session) -> None:
        self._journal.later(
            ("session", session.number),
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            session.number,
            *(session.charger_id, session.transaction_id, session.connector, session.tag),
            *(session.meter_start, session.meter_stop, utc(session.started_at)),
            utc(session.ended_at) if session.ended_at else None,
            *(session.reason, session.fingerprint),
        )
        self._open[session.charger_id, session.transaction_id] = session


def _negative(stop: Stop) -> bool:
    return isinstance(stop.transaction_id, int) and stop.transaction_id < 1
