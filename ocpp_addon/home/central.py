"""The built-in central system as a whole: what the gateway asks, and tells of both modes."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home import fields, limits
from ocpp_addon.home.announced import Announced
from ocpp_addon.home.answers2 import Answers2
from ocpp_addon.home.answers16 import Answers16
from ocpp_addon.home.chargers import ChargerFacts, Chargers
from ocpp_addon.home.clock import Clocks
from ocpp_addon.home.desk import Desk
from ocpp_addon.home.events import Event, Tell
from ocpp_addon.home.habits import HabitBook
from ocpp_addon.home.hang_ups import HangUps
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.orders import Order, Situation
from ocpp_addon.home.plot import Plot
from ocpp_addon.home.scans import Scans
from ocpp_addon.home.sessions import Sessions
from ocpp_addon.home.states import States
from ocpp_addon.home.tags import TagPolicy, Tags
from ocpp_addon.home.transactions import Transactions
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Send
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.text import printable

log = logging.getLogger(__name__)


class CentralSystem:
    """Answer chargers, and remember what they tell, whoever answers them.

    For each Call: `received`, then `answer` if nobody else answers, then `answered`. Observing
    what was observed already changes nothing. `listeners` learn what happens, at once.
    """

    TABLES: ClassVar[tuple[str, ...]] = (
        *Chargers.TABLES,
        *Tags.TABLES,
        *Transactions.TABLES,
        *States.TABLES,
        *Clocks.TABLES,
        *HabitBook.TABLES,
        *Plot.TABLES,
        *Announced.TABLES,
    )

    def __init__(
        self,
        database: Database,
        journal: Journal,
        chargers: Chargers,
        tags: Tags,
        transactions: Transactions,
        states: States,
        clocks: Clocks,
        habits: HabitBook,
        announced: Announced,
        heartbeat_interval: int,
    ) -> None:
        self.listeners: list[Tell] = []
        self.tags = tags
        self.states = states
        self.sessions = Sessions(database, journal, states)
        self.plot = Plot(database, states)
        self.habits = habits
        self._hang_ups = HangUps(habits)
        self.announced = announced
        self._transactions = transactions
        self._journal = journal
        self._chargers = chargers
        self._clocks = clocks
        self._scans = Scans(self._tell)
        parts = (journal, self._clocks, tags, self._scans, transactions, states)
        desk = Desk(*parts, heartbeat_interval)
        self._answers16, self._answers2 = Answers16(desk), Answers2(desk)
        states.tell = self._tell

    @classmethod
    async def open(
        cls, database: Database, *, tag_policy: TagPolicy, heartbeat_interval: int
    ) -> Self:
        """Read the stored state; the database must have been opened with `TABLES`."""
        journal = Journal(database)
        transactions = await Transactions.open(database, journal)
        return cls(
            database,
            journal,
            await Chargers.open(database, journal),
            await Tags.open(database, journal, tag_policy),
            transactions,
            await States.open(database, journal, transactions),
            await Clocks.open(database, journal),
            await HabitBook.open(database, journal),
            await Announced.open(database, journal),
            heartbeat_interval,
        )

    async def run(self) -> None:
        """Write what changes, a few seconds later and together; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._journal.run(), name="journal")
            tasks.create_task(self.states.run(), name="states")
            tasks.create_task(self.plot.run(), name="plot")

    async def close(self) -> None:
        """Write what still waits; StorageError when the disk refuses."""
        self.states.save_all()
        await self._journal.flush()
        await self.plot.write(datetime.now(UTC))

    def received(
        self,
        charger_id: str,
        version: Version,
        call: Call | Send,
        now: datetime,
        *,
        pending: bool = False,
    ) -> None:
        """Observe a message of a charger, before it is answered.

        What a charger that waits for approval says about itself is remembered, not stored.
        """
        with contextlib.suppress(StorageError):  # `answer` and `run` tell of a disk that refuses
            self._chargers.observe(charger_id, version, call, keep=not pending)
            if not pending:
                if call.action == "BootNotification":
                    self._clocks.forget(charger_id)  # it may be another one now
                    self.states.booted(charger_id)
                self._clocks.hear(charger_id, call.payload, now)
                answers = self._answers16 if version == V16 else self._answers2
                answers.observe(charger_id, call, now)

    async def answer(
        self,
        charger_id: str,
        version: Version,
        call: Call,
        now: datetime,
        *,
        pending: bool = False,
    ) -> CallResult | CallError:
        """Answer a Call; starts and ends of transactions are on disk when it returns.

        Raises StorageError when they cannot be stored: refuse the Call, the charger keeps it then.
        """
        if version == V16:
            payload = await self._answers16.answer(charger_id, call, now, pending=pending)
        else:
            payload = await self._answers2.answer(charger_id, version, call, now, pending=pending)
        if call.action == "StartTransaction" and not pending:
            await asyncio.sleep(self._hang_ups.pause(charger_id))
        if payload is None:
            sentence = f"OCPP {version.number} has no action {printable(call.action)} of chargers."
            return CallError(call.unique_id, "NotImplemented", sentence)
        return CallResult(call.unique_id, dict(payload))

    def answered(
        self,
        charger_id: str,
        version: Version,
        call: Call,
        response: CallResult | CallError,
        now: datetime,
    ) -> None:
        """Observe what a charger was answered, by whomever; not while it waits for approval."""
        if not isinstance(response, CallResult):
            return
        with contextlib.suppress(StorageError):
            if call.action == "BootNotification":
                accepted = fields.text(response.payload, "status") == "Accepted"
                self._chargers.booted(charger_id, accepted=accepted)
                self.habits.of(charger_id).forget_configuration()
            if call.action == "StartTransaction":
                self._hang_ups.answered(charger_id, now)
            if version == V16:
                self._answers16.observe_answer(charger_id, call, response.payload, now)

    def settled(
        self,
        charger_id: str,
        version: Version,
        call: Call,
        outcome: CallResult | CallError,
        now: datetime,
    ) -> None:
        """Observe the outcome of a command, whoever gave it."""
        if not isinstance(outcome, CallResult):
            return
        with contextlib.suppress(StorageError):
            limit = limits.accepted(version, call, outcome.payload)
            if limit is not None:
                self.states.limited(charger_id, *limit)
        if call.action in ("RemoteStartTransaction", "RequestStartTransaction"):
            self._scans.remote(charger_id, _remote_tag(call.payload), now)

    def disconnected(self, charger_id: str, now: datetime, *, hung_up: bool) -> None:
        """Observe the end of a connection; `hung_up`: by the charger, without a Close frame."""
        with contextlib.suppress(StorageError):
            self._hang_ups.disconnected(charger_id, now, hung_up=hung_up)

    def seen(self, charger_id: str, moment: datetime) -> None:
        """Keep over restarts when a charger came or was last heard of."""
        with contextlib.suppress(StorageError):
            self._chargers.seen(charger_id, moment)

    def charger(self, charger_id: str) -> ChargerFacts:
        """Return what is known of a charger."""
        return self._chargers.get(charger_id)

    def forget(self, charger_id: str) -> None:
        """Drop what is known of a charger; its past sessions and its tags stay."""
        self._transactions.abandon(charger_id, datetime.now(UTC))
        self._chargers.forget(charger_id)
        self.habits.forget(charger_id)
        self.announced.forget(charger_id)
        self._clocks.forget(charger_id)
        self.states.forget(charger_id)
        self.plot.forget(charger_id)

    async def situation(
        self, charger_id: str, version: Version, order: Order, now: datetime
    ) -> Situation:
        """Return what an order must know; StorageError."""
        facts = self._chargers.get(charger_id)
        connectors = {
            state.number: () if version == V16 else tuple(sorted(state.statuses))
            for state in self.states.of(charger_id)
            if state.number > 0
        }
        session = self._transactions.running(charger_id, order.connector)
        state = self.states.get(charger_id, order.connector)
        return Situation(
            version,
            connectors,
            facts.vendor is not None,
            session.transaction_id if session else None,
            phases=state.phases if state else limits.PHASES,
            tag=await self.tags.remote() if order.key == "charging" else "",
            now=now,
        )

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:  # a mistake of a listener must not cost us a session
                log.exception("A listener of the built-in central system has failed")


def _remote_tag(payload: Mapping[str, Any]) -> str | None:
    token = fields.group(payload, "idToken")
    return fields.text(payload, "idTag") or fields.text(token, "idToken")
