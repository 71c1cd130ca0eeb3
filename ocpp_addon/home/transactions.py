"""The charging sessions that chargers report: which run, which have ended, under which id."""

from collections import OrderedDict
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self

from ocpp_addon.database import Database
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.session import TAG_LIMIT, Session, Start, Stop, TransactionId
from ocpp_addon.home.transaction_ids import TransactionIds
from ocpp_addon.text import utc

SESSION_LIMIT = 50_000  # rows kept, the oldest go first
OPEN_LIMIT = 10_000  # running sessions remembered, whatever chargers never stop
ENDED_LIMIT = 1_000  # ended sessions remembered, for what chargers tell late

_COLUMNS = (
    "number, charger_id, transaction_id, connector, tag, meter_start, meter_stop, started_at,"
    " ended_at, reason, fingerprint, energy, stale"
)


class Listener(Protocol):
    """Learn of sessions; one that begins again under the same number has got another id."""

    def begun(self, session: Session) -> None:
        """Learn that a session runs."""

    def amended(self, session: Session) -> None:
        """Learn that more is known of a running session."""

    def measured(self, session: Session) -> int | None:
        """Learn that a session ends, and return what was measured of its energy in Wh."""

    def ended(self, session: Session) -> None:
        """Learn that a session has ended, and with which energy."""


class _Nobody:
    def begun(self, session: Session) -> None: ...

    def amended(self, session: Session) -> None: ...

    def measured(self, session: Session) -> int | None:
        return None

    def ended(self, session: Session) -> None: ...


class Transactions:
    """Keep sessions; what is told is in memory at once and on disk after the journal's flush."""

    TABLES: ClassVar[tuple[str, ...]] = (
        *TransactionIds.TABLES,
        # No type for the transaction id: 7 and "7" stay what they are.
        "CREATE TABLE IF NOT EXISTS sessions"
        " (number INTEGER PRIMARY KEY, charger_id TEXT NOT NULL, transaction_id NOT NULL,"
        " connector INTEGER, tag TEXT, meter_start INTEGER, meter_stop INTEGER,"
        " started_at TEXT NOT NULL, ended_at TEXT, reason TEXT, fingerprint TEXT,"
        " energy INTEGER, stale INTEGER NOT NULL DEFAULT 0)",
    )

    def __init__(self, journal: Journal, ids: TransactionIds, last_number: int) -> None:
        self._journal = journal
        self._ids = ids
        self._last_number = last_number
        self._open: dict[tuple[str, TransactionId], Session] = {}
        self._ended: OrderedDict[tuple[str, TransactionId], Session] = OrderedDict()
        self.listener: Listener = _Nobody()

    @classmethod
    async def open(cls, database: Database, journal: Journal) -> Self:
        """Read the sessions that were running, and those that ended last."""
        [(last_number,)] = await database.read("SELECT max(number) FROM sessions")
        ids = await TransactionIds.open(database, journal)
        transactions = cls(journal, ids, last_number or 0)
        for session in await _stored(database, "ended_at IS NULL", OPEN_LIMIT):
            transactions._open[session.charger_id, session.transaction_id] = session
        for session in await _stored(database, "ended_at IS NOT NULL", ENDED_LIMIT):
            transactions._ended[session.charger_id, session.transaction_id] = session
        return transactions

    def all_running(self) -> list[Session]:
        """Return the sessions that run, the oldest first."""
        return list(self._open.values())

    def running(self, charger_id: str, connector: int) -> Session | None:
        """Return the session that runs on a connector, the latest if there are several."""
        for session in reversed(self._of(charger_id)):
            if session.connector == connector:
                return session
        return None

    def resume(self, session: Session) -> None:
        """Take back that a session was given up: it has told of itself again."""
        resumed = replace(session, ended_at=None, reason=None, energy=None, stale=False)
        self._keep(resumed)
        del self._ended[session.charger_id, session.transaction_id]
        self.listener.begun(resumed)

    def abandon(self, charger_id: str, at: datetime) -> None:
        """End what runs at a charger that is forgotten."""
        for session in self._of(charger_id):
            self.give_up(session, at)

    def get(self, charger_id: str, transaction_id: TransactionId) -> Session | None:
        """Return a session that runs or ended lately."""
        key = (charger_id, transaction_id)
        return self._open.get(key) or self._ended.get(key)

    def new_id(self, charger_id: str, now: datetime) -> int:
        """Return an id that was never given; it may be told once the journal is flushed."""
        return self._ids.give(now, lambda identity: (charger_id, identity) in self._open)

    def begin(self, start: Start, now: datetime) -> int:
        """Open a session under a new id; a repeated start gets the id of its original."""
        original = self._original(start)
        if original is not None and isinstance(original.transaction_id, int):
            return original.transaction_id
        identity = self.new_id(start.charger_id, now)
        self.begun(start, identity)
        return identity

    def begun(self, start: Start, transaction_id: TransactionId) -> None:
        """Open a session under an id that somebody else chose, unless it is or was that one."""
        known = self.get(start.charger_id, transaction_id)
        if known is not None:
            if known.ended_at is None:
                self._complete(known, start)
                return
            if start.at <= known.ended_at:  # told again; more may be known of its clock by now
                return
        original = self._original(start)
        if original is not None:  # its answer was lost, and the repetition got another id
            del self._open[original.charger_id, original.transaction_id]
            renamed = replace(original, transaction_id=transaction_id)
            self._keep(renamed)
            self.listener.begun(renamed)
            return
        for other in self._of(start.charger_id):
            # Whatever ran there before is over: its end was lost.
            if other.connector == start.connector is not None and other.started_at <= start.at:
                self.give_up(other, start.at)
        self._last_number += 1
        session = Session(
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
        self._keep(session)
        self.listener.begun(session)
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
            self.listener.amended(fuller)

    def end(self, stop: Stop) -> None:
        """End a session; one that does not run, or ended already, stays as it is.

        A charger that never learnt its id says -1 or nothing (OCPP 1.6 errata 3.18): that means
        its only running session.
        """
        session = self._open.get((stop.charger_id, stop.transaction_id or 0))
        if session is None and (stop.transaction_id in (None, "") or _negative(stop)):
            running = self._of(stop.charger_id)
            session = running[0] if len(running) == 1 else None
        if session is None:
            session = self._ended.get((stop.charger_id, stop.transaction_id or 0))
            if session is None or not session.stale:
                return
        ended_at = max(stop.at, session.started_at)
        self._finish(
            replace(
                session, meter_stop=stop.meter, ended_at=ended_at, reason=stop.reason, stale=False
            )
        )

    def give_up(self, session: Session, at: datetime) -> None:
        """End a session whose end the charger did not tell."""
        ended_at = max(at, session.started_at)
        self._finish(replace(session, ended_at=ended_at, reason="Other", stale=True))

    def _complete(self, session: Session, start: Start) -> None:
        """Take a start that comes after what else was told of its session."""
        if session.meter_start is not None or start.at > session.started_at:
            return
        fuller = replace(session, meter_start=start.meter, started_at=start.at)
        if fuller != session:
            self._keep(fuller)
            self.listener.amended(fuller)
        self.amend(
            session.charger_id, session.transaction_id, connector=start.connector, tag=start.tag
        )

    def _finish(self, session: Session) -> None:
        key = (session.charger_id, session.transaction_id)
        news = key in self._open
        measured = self.listener.measured(session) if news else session.energy
        session = session.finished(measured)
        self._keep(session)
        self._open.pop(key, None)
        self._ended[key] = session
        if len(self._ended) > ENDED_LIMIT:
            self._ended.popitem(last=False)
        if news:
            self.listener.ended(session)

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
            f"INSERT OR REPLACE INTO sessions ({_COLUMNS})"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            session.number,
            *(session.charger_id, session.transaction_id, session.connector, session.tag),
            *(session.meter_start, session.meter_stop, utc(session.started_at)),
            utc(session.ended_at) if session.ended_at else None,
            *(session.reason, session.fingerprint, session.energy, session.stale),
        )
        if session.ended_at is None:
            self._open[session.charger_id, session.transaction_id] = session


def _negative(stop: Stop) -> bool:
    return isinstance(stop.transaction_id, int) and stop.transaction_id < 1


async def _stored(database: Database, condition: str, limit: int) -> list[Session]:
    rows = await database.read(
        f"SELECT {_COLUMNS} FROM sessions WHERE {condition} ORDER BY number DESC LIMIT ?",
        limit,
    )
    return [_session(row) for row in reversed(rows)]


def _session(row: tuple[Any, ...]) -> Session:
    found = dict(zip(_COLUMNS.split(", "), row, strict=True))
    for moment in ("started_at", "ended_at"):
        found[moment] = datetime.fromisoformat(found[moment]) if found[moment] else None
    return Session(**{**found, "stale": bool(found["stale"])})
