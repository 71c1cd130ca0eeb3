"""Orders of entities and people, carried to chargers one question at a time."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ocpp_addon.announcer import Announcer
from ocpp_addon.downstream import Downstream
from ocpp_addon.endpoint.roster import Roster
from ocpp_addon.errors import GatewayError, StorageError
from ocpp_addon.home import orders
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.events import Event, SessionStarted
from ocpp_addon.home.orders import Order
from ocpp_addon.home.questions import OrderFailed, Questions
from ocpp_addon.news import News
from ocpp_addon.tasks import Spawn
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

QUIET = 5.0  # seconds after connecting in which a charger hears nothing but answers
GAP = 0.2  # seconds between two questions: some chargers reboot when they are hurried
LEARNING = 2.0  # seconds in which a charger learns the id of a transaction that it has begun
WAITING_LIMIT = 16  # orders that wait for one charger
FAILURE_LIMIT = 250  # characters of a sentence: Home Assistant shows 255
SUPERSEDED = "superseded"


@dataclass(frozen=True, eq=False)
class _Waiting:
    order: Order
    done: "asyncio.Future[OrderFailed | None]"


@dataclass
class _Line:
    """The orders that wait for one charger; of the same kind only the newest."""

    waiting: dict[tuple[int, str], _Waiting] = field(default_factory=dict)


class Controls:
    """Carry out orders, in order and one at a time for each charger."""

    def __init__(
        self,
        roster: Roster,
        downstream: Downstream,
        home: CentralSystem,
        announcer: Announcer,
        news: News,
        spawn: Spawn,
    ) -> None:
        self._roster = roster
        self._downstream = downstream
        self._spawn = spawn
        self._home = home
        self._announcer = announcer
        self._news = news
        self._lines: dict[str, _Line] = {}
        downstream.on_order = self.receive
        home.listeners.append(self.heed)

    def heed(self, event: Event) -> None:
        """Make a limit hold anew for a session, where the charger takes it for sessions only."""
        if not isinstance(event, SessionStarted) or not event.connector:
            return
        state = self._home.states.get(event.charger_id, event.connector)
        shapes = self._home.habits.of(event.charger_id).shapes
        if state is not None and state.current_limit is not None and list(shapes) == ["TxProfile"]:
            limit = f"{state.current_limit:g}"
            work = self._limit_anew(event, limit)
            self._spawn(work, "order")

    def receive(self, charger_id: str, connector: str, key: str, value: bytes) -> None:
        """Take an order that came by MQTT."""
        text = value.decode("utf-8", "replace")
        self._spawn(self._try(charger_id, connector, key, text), "order")

    async def set(self, charger_id: str, connector: str, key: str, value: str) -> None:
        """Carry out an order and return once it is done; OrderFailed tells why it is not."""
        try:
            order = orders.read(connector, key, value)
            await self._in_turn(charger_id, order)
        except OrderFailed as failure:
            if failure.code != SUPERSEDED:
                self._tell(charger_id, connector, key, value, failure)
            raise
        self._note(charger_id, None)

    def _tell(
        self, charger_id: str, connector: str, key: str, value: str, failure: OrderFailed
    ) -> None:
        """Show people a failure, and let who expects a change see that there is none."""
        sentence = printable(failure, FAILURE_LIMIT)
        self._note(charger_id, sentence)
        shown = (printable(connector), printable(key), printable(value))
        self._news.failed(charger_id, *shown, failure.code, sentence)
        if connector.isdecimal():
            for state in self._home.states.of(charger_id):
                if str(state.number) == connector:
                    self._announcer.repeat(charger_id, state.number)

    def _note(self, charger_id: str, sentence: str | None) -> None:
        if self._home.states.get(charger_id, 0) is not None:  # not forgotten meanwhile
            with contextlib.suppress(StorageError):  # the journal tells of it
                self._home.states.failed(charger_id, sentence)

    async def _in_turn(self, charger_id: str, order: Order) -> None:
        """Carry out an order after those that wait already."""
        serving = charger_id in self._lines
        line = self._lines.setdefault(charger_id, _Line())
        place = (order.connector, order.key)
        if place not in line.waiting and len(line.waiting) >= WAITING_LIMIT:
            raise OrderFailed("queue_full", "Too many orders wait for the charger.")
        older = line.waiting.pop(place, None)
        if older is not None:
            older.done.set_result(OrderFailed(SUPERSEDED, "A newer order has taken its place."))
        waiting = _Waiting(order, asyncio.get_running_loop().create_future())
        line.waiting[place] = waiting
        if not serving:
            self._spawn(self._serve(charger_id, line), "orders")
        failure = await asyncio.shield(waiting.done)
        if failure is not None:
            raise failure

    async def _try(self, charger_id: str, connector: str, key: str, value: str) -> None:
        try:
            await self.set(charger_id, connector, key, value)
        except OrderFailed as failure:
            log.warning(
                "%s: %s of connector %s was not set: %s",
                *(printable(charger_id), printable(key), printable(connector), failure),
            )

    async def _limit_anew(self, session: SessionStarted, limit: str) -> None:
        await asyncio.sleep(LEARNING)
        place = session.charger_id, session.connector
        if self._home.states.runs(*place, session.transaction_id):  # not one out of a queue
            await self._try(session.charger_id, str(session.connector), "current_limit", limit)

    async def _serve(self, charger_id: str, line: _Line) -> None:
        """Carry out what waits, until nothing does."""
        while line.waiting:
            waiting = line.waiting.pop(next(iter(line.waiting)))
            failure: OrderFailed | None = OrderFailed("stopped", "The gateway has failed.")
            try:
                await self._carry_out(charger_id, waiting.order)
                failure = None
            except OrderFailed as error:
                failure = error
            except GatewayError as error:
                failure = OrderFailed("storage", str(error))
            except Exception:
                log.exception("%s: an order has failed", printable(charger_id))
            finally:  # a stop of the gateway leaves nobody waiting
                if not waiting.done.done():
                    waiting.done.set_result(failure)
            await asyncio.sleep(GAP)  # orders of the meantime wait in line
        self._lines.pop(charger_id, None)

    async def _carry_out(self, charger_id: str, order: Order) -> None:
        connection = self._roster.connection(charger_id)
        if connection is None:
            raise OrderFailed("offline", "The charger is not connected.")
        await asyncio.sleep(max(0.0, QUIET - connection.age))
        habits = self._home.habits.of(charger_id)
        version = connection.session.version
        situation = await self._home.situation(charger_id, version, order, datetime.now(UTC))
        try:
            await self._ask(charger_id, orders.questions(order, situation, habits))
        finally:
            self._home.habits.keep(charger_id)

    async def _ask(self, charger_id: str, questions: Questions[None]) -> None:
        try:
            action, payload = next(questions)
            while True:
                outcome = await self._downstream.call(charger_id, action, payload)
                action, payload = questions.send(outcome)
                await asyncio.sleep(GAP)
        except StopIteration:
            pass
