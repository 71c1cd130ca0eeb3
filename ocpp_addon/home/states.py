"""The states of all connectors: what chargers report goes in, what survives a restart goes out."""

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NoReturn, Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home.connector import ConnectorState
from ocpp_addon.home.events import SessionEnded, SessionStarted, StateChanged, Tell
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.reports import ChargingReport, MeterReport, Report, StatusReport
from ocpp_addon.home.transactions import Session, Start, TransactionId, Transactions
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

CHARGER_LIMIT = 5_000
CONNECTOR_LIMIT = 64  # of a charger, its number 0 included
LIVE = timedelta(minutes=5)  # what is older says nothing of the present
STALE = timedelta(minutes=10)  # that a session outlives the plug; its end may still be on its way
SAVE_EVERY = 300.0  # seconds between writes of meter readings (SD cards)
RESERVE = 500.0  # Wh that may be shown beyond what is stored, and are shown at once after a crash

# What a reading changes of what is stored.
MOVED_BY_METER = frozenset({"energy", "sampled_at", "session_energy", "values"})

Key = tuple[str, int]


@dataclass(frozen=True)
class _Stored:
    """What is on disk, and which energy it was then; `floor` is the most that may be shown."""

    text: str
    facts: str  # all of it but what the meter moves
    energy: float
    floor: float


_CHARGES = frozenset({None, "Charging", "SuspendedEV", "SuspendedEVSE", "Occupied", "Other"})


class States:
    """Keep a state for each connector that was ever spoken of."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS states (charger_id TEXT NOT NULL, number INTEGER NOT NULL,"
        " state TEXT NOT NULL, PRIMARY KEY (charger_id, number))",
    )

    def __init__(self, journal: Journal, transactions: Transactions) -> None:
        self.tell: Tell = lambda event: None
        self._journal = journal
        self._transactions = transactions
        self._states: dict[str, dict[int, ConnectorState]] = {}
        self._unsaved: set[Key] = set()
        self._stored: dict[Key, _Stored] = {}
        transactions.listener = self

    @classmethod
    async def open(cls, database: Database, journal: Journal, transactions: Transactions) -> Self:
        """Read what is stored and follow the sessions that run."""
        states = cls(journal, transactions)
        for charger_id, number, text in await database.read(
            "SELECT charger_id, number, state FROM states ORDER BY rowid"
        ):
            try:
                state = ConnectorState.from_json(number, json.loads(text))
            except (KeyError, TypeError, ValueError, AttributeError):
                log.warning("The stored state of %s cannot be read.", printable(charger_id))
                continue
            state.energy.unsure = database.restored
            states._states.setdefault(charger_id, {})[number] = state
            states._stored[charger_id, number] = _Stored(
                text, _facts(json.loads(text)), state.energy.floor, state.energy.floor
            )
            if state.run is not None:
                session = transactions.get(charger_id, state.run.transaction_id)
                if session is None or session.ended_at is not None:
                    state.run = None
        for session in transactions.all_running():
            followed = states._of_session(session)
            if followed is not None:
                followed.begin(session)
        return states

    def of(self, charger_id: str) -> list[ConnectorState]:
        """Return the states of a charger in the order of their numbers."""
        found = self._states.get(charger_id, {})
        return [found[number] for number in sorted(found)]

    def get(self, charger_id: str, number: int) -> ConnectorState | None:
        """Return one state."""
        return self._states.get(charger_id, {}).get(number)

    def charger_ids(self) -> list[str]:
        """Return the chargers that have states."""
        return list(self._states)

    def known(self) -> Iterator[Key]:
        """Return charger and number of every state."""
        for charger_id, found in self._states.items():
            for number in found:
                yield charger_id, number

    def observe(
        self, charger_id: str, reports: Iterable[Report], now: datetime, *, evse: bool = False
    ) -> None:
        """Learn from what a charger reports; its numbers are connectors or EVSEs."""
        for report in reports:
            match report:
                case StatusReport(number=number):
                    state = self._at(charger_id, number)
                    if state is not None:
                        state.heed_clock(now)
                        state.evse = evse
                        state.report_status(
                            report.part, report.status, report.error, report.info, report.at
                        )
                        self._changed(charger_id, number)
                case ChargingReport():
                    state = self._of_transaction(charger_id, report.number, report.transaction)
                    if state is not None and now - report.at <= LIVE:
                        self._follow(charger_id, state, report.transaction, report.at)
                    run = state.run if state else None
                    if state and run and run.transaction_id == report.transaction:
                        state.evse = evse
                        state.report_charging_state(report.charging_state, report.at)
                        self._changed(charger_id, state.number)
                case MeterReport():
                    self._meter(charger_id, report, now, evse=evse)

    def limited(self, charger_id: str, number: int, amperes: float | None) -> None:
        """Note the current limit that a charger has accepted; number 0 means all connectors."""
        found = self._states.get(charger_id, {})
        for one in [number] if number else [other for other in found if other]:
            state = self._at(charger_id, one)
            if state is not None and state.current_limit != amperes:
                state.current_limit = amperes
                self._changed(charger_id, one)

    def failed(self, charger_id: str, sentence: str | None) -> None:
        """Note why the last command failed, None if it did not."""
        state = self._at(charger_id, 0)
        if state is not None and state.failure != sentence:
            state.failure = sentence
            self._changed(charger_id, 0)

    def introduced(self, charger_id: str) -> None:
        """Make sure that a charger has a state, and tell that it may be another one."""
        if self._at(charger_id, 0) is not None:
            self._changed(charger_id, 0)

    def booted(self, charger_id: str) -> None:
        """Learn that a charger begins anew: its clock may be another one now."""
        for state in self.of(charger_id):
            state.status_at = None
        self.introduced(charger_id)

    def forget(self, charger_id: str) -> None:
        """Drop the states of a charger; whoever shows them must have taken them back before."""
        for number in self._states.pop(charger_id, {}):
            self._unsaved.discard((charger_id, number))
            self._stored.pop((charger_id, number), None)
            self._journal.later(
                ("state", (charger_id, number)),
                "DELETE FROM states WHERE charger_id = ? AND number = ?",
                *(charger_id, number),
            )

    async def run(self) -> NoReturn:
        """Write meter readings now and then, and end sessions that nobody ends."""
        while True:
            await asyncio.sleep(SAVE_EVERY)
            with suppress(StorageError):  # the journal tells of it
                self.tick(datetime.now(UTC))

    def tick(self, now: datetime) -> None:
        """Note for the disk what has changed, and end sessions of connectors long free."""
        for charger_id, number in list(self.known()):
            state = self._states[charger_id][number]
            if state.free_since is not None and now - state.free_since >= STALE:
                session = self._transactions.running(charger_id, number)
                if session is not None:
                    log.info(
                        "%s: session %s was never ended",
                        printable(charger_id),
                        printable(session.transaction_id),
                    )
                    self._transactions.give_up(session, state.free_since)
        # What stands still is stored as it is shown.
        moving = {key for key, stored in self._stored.items() if stored.floor > stored.energy}
        for key in self._unsaved | moving:
            self._save(key)

    def save_all(self) -> None:
        """Note for the disk that nothing will be shown that is not stored."""
        for key in self.known():
            self._save(key, surely=True)

    # What happens to sessions.

    def begun(self, session: Session) -> None:
        """Learn that a session runs."""
        state = self._of_session(session)
        again = state is not None and state.run is not None and state.run.number == session.number
        if state is not None:
            state.begin(session)
            self._changed(session.charger_id, state.number)
        if not again:
            self.tell(
                SessionStarted(
                    session.charger_id,
                    session.connector,
                    session.transaction_id,
                    session.tag,
                    session.started_at,
                )
            )

    def amended(self, session: Session) -> None:
        """Learn that more is known of a running session."""
        state = self._of_session(session)
        if state is None:
            return
        if state.run is None:
            state.begin(session)
        state.amend(session)
        self._changed(session.charger_id, state.number)

    def measured(self, session: Session) -> int | None:
        """Learn that a session ends, and return what was measured of its energy in Wh."""
        state = self._of_session(session)
        if state is None:
            return None
        energy = state.end(session)
        self._changed(session.charger_id, state.number)
        return energy

    def ended(self, session: Session) -> None:
        """Learn that a session has ended, and with which energy."""
        assert session.ended_at is not None
        self.tell(
            SessionEnded(
                session.charger_id,
                session.connector,
                session.transaction_id,
                session.tag,
                session.started_at,
                session.ended_at,
                session.energy,
                session.reason,
            )
        )

    # The rest.

    def _meter(self, charger_id: str, report: MeterReport, now: datetime, *, evse: bool) -> None:
        if not report.samples:
            return
        state = self._of_transaction(charger_id, report.number, report.transaction)
        if state is None:
            return
        state.heed_clock(now)
        state.evse = evse
        newest = report.samples[-1].at
        transaction = report.transaction
        if transaction is not None and now - newest <= LIVE:
            self._follow(charger_id, state, transaction, newest)
        for sample in report.samples:
            live = now - sample.at <= LIVE
            state.take(sample, sample.at, live=live, transaction=transaction)
        key = (charger_id, state.number)
        stored, energy = self._stored.get(key), state.energy.most_shown
        if stored is None or energy > stored.floor:
            self._save(key)
        elif state.run is not None or energy != stored.energy:
            self._unsaved.add(key)
        self.tell(StateChanged(charger_id, state.number))

    def _follow(
        self, charger_id: str, state: ConnectorState, transaction: TransactionId, at: datetime
    ) -> None:
        """Make sure that a session which tells of itself is the one that runs.

        Its start may be lost, or was given an id by somebody unknown, or looked old.
        """
        session = self._transactions.get(charger_id, transaction)
        if state.number == 0 or (session is not None and session.connector != state.number):
            return
        if session is not None and session.ended_at is None:
            state.begin(session, surely=True)
        elif state.status not in _CHARGES:
            return
        elif session is None:
            start = Start(charger_id, state.number, None, None, at)
            self._transactions.begun(start, transaction)
        elif session.stale and state.run is None:
            self._transactions.resume(session)

    def _of_transaction(
        self, charger_id: str, number: int | None, transaction: TransactionId | None
    ) -> ConnectorState | None:
        """Return the state that a message is about; its transaction knows best."""
        if transaction is not None:
            session = self._transactions.get(charger_id, transaction)
            if session is not None and session.connector:
                number = session.connector
        if number is None:
            outlets = [state for state in self.of(charger_id) if state.number > 0]
            return outlets[0] if len(outlets) == 1 else None
        return self._at(charger_id, number)

    def _of_session(self, session: Session) -> ConnectorState | None:
        number = session.connector
        return self._at(session.charger_id, number) if number is not None and number > 0 else None

    def _at(self, charger_id: str, number: int) -> ConnectorState | None:
        found = self._states.get(charger_id)
        if found is None:
            if len(self._states) >= CHARGER_LIMIT:
                self.forget(next(iter(self._states)))
            found = self._states[charger_id] = {}
        if number not in found and number >= 0 and len(found) < CONNECTOR_LIMIT:
            found[number] = ConnectorState(number)
        return found.get(number)

    def _state(self, key: Key) -> ConnectorState:
        return self._states[key[0]][key[1]]

    def _changed(self, charger_id: str, number: int) -> None:
        """Take a change that is worth the disk at once, unless the meter alone has moved."""
        key = (charger_id, number)
        stored = self._stored.get(key)
        if stored is None or stored.facts != _facts(self._state(key).as_json(stored.floor)):
            try:
                self._save(key)
            except StorageError:  # the journal tells of it
                self._unsaved.add(key)
        else:  # chargers repeat themselves
            self._unsaved.add(key)
        self.tell(StateChanged(charger_id, number))

    def _save(self, key: Key, *, surely: bool = False) -> None:
        """Note a state for the disk; `surely` if nothing more will be shown."""
        state, stored = self._state(key), self._stored.get(key)
        energy = state.energy.most_shown
        still = state.run is None and (stored is None or energy == stored.energy)
        floor = energy if still or surely else energy + RESERVE
        content = state.as_json(floor)
        text = json.dumps(content)
        if stored is None or stored.text != text:
            self._journal.later(
                ("state", key), "INSERT OR REPLACE INTO states VALUES (?, ?, ?)", *key, text
            )
            self._stored[key] = _Stored(text, _facts(content), energy, floor)
        self._unsaved.discard(key)


def _facts(content: Mapping[str, Any]) -> str:
    return json.dumps([content[name] for name in sorted(content.keys() - MOVED_BY_METER)])
