"""The built-in central system as a whole: what the gateway asks, and tells of both modes."""

import contextlib
from datetime import datetime
from typing import ClassVar, NoReturn, Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home import fields
from ocpp_addon.home.answers2 import Answers2
from ocpp_addon.home.answers16 import Answers16
from ocpp_addon.home.chargers import ChargerFacts, Chargers
from ocpp_addon.home.habits import HabitBook
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.orders import Situation
from ocpp_addon.home.sessions import Sessions
from ocpp_addon.home.tags import TagPolicy, Tags
from ocpp_addon.home.transactions import Transactions
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Send
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.text import printable


class CentralSystem:
    """Answer chargers, and remember what they tell, whoever answers them.

    For each Call: `received`, then `answer` if nobody else answers, then `answered`. Observing
    what was observed already changes nothing.
    """

    TABLES: ClassVar[tuple[str, ...]] = (
        *Chargers.TABLES,
        *Tags.TABLES,
        *Transactions.TABLES,
        *HabitBook.TABLES,
    )

    def __init__(
        self,
        journal: Journal,
        chargers: Chargers,
        tags: Tags,
        transactions: Transactions,
        sessions: Sessions,
        habits: HabitBook,
        heartbeat_interval: int,
    ) -> None:
        self.tags = tags
        self.sessions = sessions
        self.habits = habits
        self._transactions = transactions
        self._journal = journal
        self._chargers = chargers
        self._answers16 = Answers16(journal, tags, transactions, heartbeat_interval)
        self._answers2 = Answers2(journal, tags, transactions, heartbeat_interval)

    @classmethod
    async def open(
        cls, database: Database, *, tag_policy: TagPolicy, heartbeat_interval: int
    ) -> Self:
        """Read the stored state; the database must have been opened with `TABLES`."""
        journal = Journal(database)
        return cls(
            journal,
            await Chargers.open(database, journal),
            await Tags.open(database, journal, tag_policy),
            await Transactions.open(database, journal),
            Sessions(database, journal),
            await HabitBook.open(database, journal),
            heartbeat_interval,
        )

    async def run(self) -> NoReturn:
        """Write what changes, a few seconds later and together; runs until cancelled."""
        await self._journal.run()

    async def close(self) -> None:
        """Write what still waits; StorageError when the disk refuses."""
        await self._journal.flush()

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
            self._chargers.observe(charger_id, version, call, now, keep=not pending)
            if not pending:
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
            if version == V16:
                self._answers16.observe_answer(charger_id, call, response.payload, now)

    def charger(self, charger_id: str) -> ChargerFacts:
        """Return what is known of a charger."""
        return self._chargers.get(charger_id)

    def forget(self, charger_id: str) -> None:
        """Drop what is known of a charger; its sessions and tags stay."""
        self._chargers.forget(charger_id)
        self.habits.forget(charger_id)

    async def situation(
        self, charger_id: str, version: Version, connector: int, now: datetime
    ) -> Situation:
        """Return what an order for a connector must know; StorageError."""
        facts = self._chargers.get(charger_id)
        connectors: dict[int, tuple[int, ...]] = {}
        for one in facts.connectors:
            number = one.number if version == V16 else one.evse
            if number:
                inside = () if version == V16 else (one.number,)
                connectors[number] = (*connectors.get(number, ()), *inside)
        session = self._transactions.running(charger_id, connector)
        return Situation(
            version,
            connectors,
            facts.vendor is not None,
            session.transaction_id if session else None,
            phases=3,
            tag=await self.tags.remote(),
            now=now,
        )
