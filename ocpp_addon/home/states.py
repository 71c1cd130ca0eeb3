"""The states of all connectors, and the sessions at them: what chargers report goes in here."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn, Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home.connector import ConnectorState
from ocpp_addon.home.events import SessionEnded, SessionStarted, StateChanged, Tell
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.reports import ChargingReport, MeterReport, Report, StatusReport
from ocpp_addon.home.session import Session, Start, TransactionId
from ocpp_addon.home.stored_states import Key, StoredStates
from ocpp_addon.home.transactions import Transactions
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

CHARGER_LIMIT = 5_000
CONNECTOR_LIMIT = 64  # of a charger, its number 0 included
LIVE = timedelta(minutes=5)  # what is older says nothing of the present
STALE = timedelta(minutes=10)  # that a session outlives the plug; its end may still be on its way
SAVE_EVERY = 300.0  # seconds between writes of meter readings (SD cards)

_CHARGES = frozenset({None, "Charging", "SuspendedEV", "SuspendedEVSE", "Occupied", "Other"})


class States:
    """Keep a state for each connector that was ever spoken of."""

    TABLES = StoredStates.TABLES

    def __init__(self, stored: StoredStates, transactions: Transactions) -> None:
        self.tell: Tell = lambda event: None
        self._stored = stored
        self._transactions = transactions
        self._states: dict[str, dict[int, ConnectorState]] = {}
        transactions.listener = self

    @classmethod
    async def open(cls, database: Database, journal: Journal, transactions: Transactions) -> Self:
        """Read what is stored and follow the sessions that run."""
        stored = StoredStates(journal)
        states = cls(stored, transactions)
        for (charger_id, number), state in (await stored.read(database)).items():
            states._states.setdefault(charger_id, {})[number] = state
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

    def runs(self, charger_id: str, number: int | None, transaction: TransactionId) -> bool:
        """Tell whether this is the session that runs at a connector."""
        state = self.get(charger_id, number or 0)
        run = state.run if state else None
        return run is not None and run.transaction_id == transaction

    def only_outlet(self, charger_id: str) -> int | None:
        """Return the number of a charger's connector; None where it has several, or none."""
        outlets = [number for number in self._states.get(charger_id, {}) if number > 0]
        return outlets[0] if len(outlets) == 1 else None

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
            self._stored.forget((charger_id, number))

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
        for key in self._stored.due():
            self._stored.save(key, self._state(key))

    def save_all(self) -> None:
        """Note for the disk that nothing will be shown that is not stored."""
        for key in self.known():
            self._stored.save(key, self._state(key), surely=True)

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
        state = self._of_session(session)
        if state is not None:
            state.conclude(session)
            self._changed(session.charger_id, state.number)
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
        transaction = report.transaction
        if transaction is not None and now - report.samples[-1].at <= LIVE:
            self._follow(charger_id, state, transaction, report.samples[0].at)
        for sample in report.samples:
            live = now - sample.at <= LIVE
            state.take(sample, sample.at, live=live, transaction=transaction)
        self._stored.measured((charger_id, state.number), state)
        self.tell(StateChanged(charger_id, state.number))

    def _follow(
        self, charger_id: str, state: ConnectorState, transaction: TransactionId, at: datetime
    ) -> None:
        """Make sure that a session which tells of itself, first of `at`, is the one that runs.

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
            before = self._transactions.running(charger_id, state.number)
            began = max(at, before.started_at) if before else at
            start = Start(charger_id, state.number, None, None, began)
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
            number = self.only_outlet(charger_id)
        return None if number is None else self._at(charger_id, number)

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
        key = charger_id, number
        self._stored.changed(key, self._state(key))
        self.tell(StateChanged(charger_id, number))
