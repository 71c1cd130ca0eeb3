"""Where the rooms meet: chargers' messages to MQTT and the built-in central system, and back."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from ocpp_addon.announcer import Announcer
from ocpp_addon.endpoint.connection import Connection
from ocpp_addon.endpoint.history import Entry
from ocpp_addon.endpoint.server import Endpoint
from ocpp_addon.errors import StorageError
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.mishaps import Mishaps
from ocpp_addon.mqtt import payload
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.link import Incoming
from ocpp_addon.mqtt.outbox import Outbox
from ocpp_addon.mqtt.retained import Retained
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.ocpp.accepted_key import accepted_key
from ocpp_addon.ocpp.effects import (
    Answer,
    Answered,
    Command,
    Hold,
    Publish,
    Reason,
    Settle,
    report,
)
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Message, Send
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import Version
from ocpp_addon.schemas import heavy_schemas
from ocpp_addon.text import printable
from ocpp_addon.upstream import Asker, Upstream, new_id

log = logging.getLogger(__name__)

HANDLED_LIMIT = 1024  # commands remembered, so that a redelivery is not executed again
ONLINE, OFFLINE = b"online", b"offline"


class Bridge:
    """Carry messages between the rooms; implements the endpoint's Ports."""

    def __init__(
        self,
        topics: Topics,
        broker: Broker,
        outbox: Outbox,
        retained: Retained,
        home: CentralSystem,
        mishaps: Mishaps,
        announcer: Announcer,
        validator: Validator,
        spawn: Callable[[Coroutine[Any, Any, object], str], None],
    ) -> None:
        self.endpoint: Endpoint  # set by the gateway: endpoint and bridge know each other
        self.on_frame: Callable[[str, Entry], None] = lambda charger_id, entry: None
        self.on_call: Callable[[str, Call | Send], None] = lambda charger_id, call: None
        self.on_change: Callable[[str], None] = lambda charger_id: None
        self.on_order: Callable[[str, str, str, bytes], None] = _ignore_order
        self.on_birth: Callable[[], None] = lambda: None
        self.spawn = spawn
        self._topics = topics
        self._upstream = Upstream(topics, outbox)
        self._broker = broker
        self._outbox = outbox
        self._retained = retained
        self._home = home
        self._mishaps = mishaps
        self._announcer = announcer
        announcer.last_seen, announcer.is_known = self.last_seen, self._is_known
        self._validator = validator
        self._warm: set[Version] = set()
        self._subscribed: set[str] = set()
        broker.filters = self.filters
        broker.on_message = self.receive
        self._handled: OrderedDict[int, None] = OrderedDict()

    # The endpoint's ports.

    async def admit(self, charger_id: str, version: Version, pending: bool) -> None:
        """Let MQTT reach a charger before its handshake completes."""
        if version not in self._warm:
            # Some schemas of 2.x take long to compile: do it before they are needed.
            self._warm.add(version)
            work = asyncio.to_thread(self._validator.prepare, version, heavy_schemas(version))
            self.spawn(work, f"schemas of OCPP {version.number}")
        if charger_id in self._subscribed:
            return
        if pending:  # a command for it gets an outcome that says so
            self._subscribed.add(charger_id)
            await self._broker.subscribe(self._topics.filters(charger_id))
        else:
            await self.make_known(charger_id)

    def opened(self, connection: Connection) -> None:
        """Announce a charger."""
        self._changed(connection.charger_id)
        if not connection.session.pending:
            self._retained.set(self._topics.presence(connection.charger_id), ONLINE)

    async def closed(self, connection: Connection) -> None:
        """Take a charger's presence back, unless a newer connection has taken over."""
        charger_id = connection.charger_id
        self._changed(charger_id)
        if self.endpoint.connection(charger_id) not in (None, connection):
            return
        if charger_id in self.endpoint.credentials:
            self._retained.set(self._topics.presence(charger_id), OFFLINE)
            self._announcer.touch(charger_id)
        else:
            await self.left(charger_id)

    async def left(self, charger_id: str) -> None:
        """Unsubscribe for a stranger that is gone, or never quite came."""
        if charger_id in self._subscribed and charger_id not in self.endpoint.credentials:
            self._subscribed.discard(charger_id)
            await self._broker.unsubscribe(self._topics.filters(charger_id))

    def seen(self, connection: Connection, entry: Entry) -> None:
        """Tell whoever watches of a frame."""
        with self._mishaps.contained("showing a message"):
            self.on_frame(connection.charger_id, entry)

    async def publish(self, connection: Connection, effect: Publish) -> None:
        """Publish a message of a charger and return once it is safe."""
        message = effect.message
        safe = self._upstream.publish(connection.charger_id, effect)
        if isinstance(message, Call | Send):
            await asyncio.sleep(0)  # let it leave first: the broker works while we look at it
            version = connection.session.version
            with self._mishaps.contained("understanding a message"):
                self._home.received(connection.charger_id, version, message, datetime.now(UTC))
                self.on_call(connection.charger_id, message)
        await safe

    async def hold(self, connection: Connection, effect: Hold) -> None:
        """Keep a message of a charger that waits for approval."""
        if connection.session.pending:
            await self._upstream.hold(connection.charger_id, effect)
        else:  # approved while the message waited for its turn
            late = Publish(effect.call, repairs=effect.repairs, warnings=effect.warnings)
            await self.publish(connection, late)

    async def answer(self, connection: Connection, effect: Answer) -> CallResult | CallError:
        """Let the built-in central system answer."""
        version, now = connection.session.version, datetime.now(UTC)
        with self._mishaps.contained("answering a charger"):
            if effect.pending:
                self._home.received(connection.charger_id, version, effect.call, now, pending=True)
            return await self._home.answer(
                connection.charger_id, version, effect.call, now, pending=effect.pending
            )
        return CallError(effect.call.unique_id, "InternalError", "the gateway made a mistake")

    def answered(self, connection: Connection, effect: Answered) -> None:
        """Let the room of the home, the dialogue on MQTT and the watch for silence know."""
        call, response = effect.call, effect.response
        if call.action == "BootNotification" and isinstance(response, CallResult):
            # OCPP 1.6 4.2: of any other status it is the wait until the next boot, in silence.
            interval = response.payload.get("interval")
            accepted = response.payload.get("status") == "Accepted"
            if accepted and type(interval) is int and 0 < interval < 1_000_000:
                connection.liveness.heartbeat_interval = interval
        if connection.session.pending:
            return
        version, now = connection.session.version, datetime.now(UTC)
        with self._mishaps.contained("understanding an answer"):
            self._home.answered(connection.charger_id, version, call, response, now)
        if effect.built_in:
            self._upstream.answered(connection.charger_id, call, response)

    def settle(self, connection: Connection, effect: Settle) -> None:
        """Report the outcome of a command."""
        self._upstream.settle(connection.charger_id, effect)
        call, outcome = effect.command.call, effect.outcome
        version, now = connection.session.version, datetime.now(UTC)
        with self._mishaps.contained("understanding an outcome"):
            self._home.settled(connection.charger_id, version, call, outcome, now)
        key = accepted_key(call, outcome)
        if key is not None:
            self.spawn(self._expect_key(connection.charger_id, key), "new password")

    # From MQTT, and from whoever else has a command.

    def receive(self, incoming: Incoming) -> None:
        """Take a message of the broker: a command, an answer or an order for a charger."""
        if incoming.topic in self._topics.births:
            if incoming.payload == ONLINE:
                self.on_birth()
            return
        order = self._topics.entity(incoming.topic, self._is_known)
        charger_id = order[0] if order else self._topics.charger(incoming.topic, self._is_known)
        if charger_id is None:
            return
        if incoming.retain and not incoming.payload:  # somebody removes a retained message
            return
        key = hash((incoming.topic, incoming.payload, incoming.correlation_data))
        if incoming.duplicate and key in self._handled:
            return
        self._handled[key] = None
        if len(self._handled) > HANDLED_LIMIT:
            self._handled.popitem(last=False)
        if order is not None:
            if incoming.retain:
                log.warning("%s: a retained order is ignored", printable(charger_id))
            else:
                self.on_order(*order, incoming.payload)
            return
        asker = Asker(incoming.response_topic, incoming.correlation_data)
        try:
            message = payload.read(incoming.payload, new_id())
        except payload.UnreadablePayload as error:
            log.warning("%s: a command is unreadable: %s", printable(charger_id), error)
            self._report(
                charger_id, Call(error.unique_id, error.action or "", {}), "invalid", error, asker
            )
            return
        if not isinstance(message, Call):
            self._forward(charger_id, message, retained=incoming.retain)
        elif incoming.retain:
            self._report(charger_id, message, "retained", "Retained commands are refused.", asker)
        else:
            self.command(charger_id, message, asker)

    def command(self, charger_id: str, call: Call, asker: Asker) -> None:
        """Send a Call to a charger; it ends in exactly one outcome, on MQTT and for its asker."""
        if asker.response_topic and not self._topics.may_respond_to(asker.response_topic):
            text = "The Response Topic is not allowed."
            without = Asker(None, asker.correlation, asker.settled)
            self._report(charger_id, call, "invalid", text, without)
            return
        connection = self.endpoint.connection(charger_id)
        if connection is None:
            self._report(charger_id, call, "offline", "The charger is not connected.", asker)
            return
        connection.command(Command(call, asker))

    async def call(
        self, charger_id: str, action: str, body: dict[str, object]
    ) -> CallResult | CallError:
        """Send a Call to a charger and return its outcome, which is bounded by time-outs."""
        outcome: asyncio.Future[CallResult | CallError] = asyncio.get_running_loop().create_future()

        def settled(message: CallResult | CallError) -> None:
            if not outcome.done():
                outcome.set_result(message)

        self.command(charger_id, Call(new_id(), action, body), Asker(settled=settled))
        return await outcome

    # Chargers that become known and unknown.

    def filters(self) -> list[str]:
        """Return what to subscribe: the filters of every charger that is known or connected."""
        self._subscribed = {*self.endpoint.credentials.ids(), *self.endpoint.connections}
        of_chargers = (
            topic
            for charger_id in sorted(self._subscribed)
            for topic in self._topics.filters(charger_id)
        )
        return [*self._topics.births, *of_chargers]

    async def make_known(self, charger_id: str) -> None:
        """Subscribe for a charger and show its presence."""
        self._changed(charger_id)
        self._subscribed.add(charger_id)
        connected = self.endpoint.connection(charger_id) is not None
        self._retained.set(self._topics.presence(charger_id), ONLINE if connected else OFFLINE)
        self._home.states.introduced(charger_id)
        await self._broker.subscribe(self._topics.filters(charger_id))

    async def make_unknown(self, charger_id: str) -> None:
        """Unsubscribe for a charger and remove its traces from the broker."""
        self._changed(charger_id)
        self._subscribed.discard(charger_id)
        self._announcer.forget(charger_id)
        self._home.forget(charger_id)
        self._retained.set(self._topics.presence(charger_id), b"")
        self._outbox.discard(charger_id)
        await self._broker.unsubscribe(self._topics.filters(charger_id))

    async def approve(self, connection: Connection) -> None:
        """Treat a waiting charger as known: publish what was kept and let it boot again."""
        charger_id = connection.charger_id
        connection.session.approve()
        try:
            await self._outbox.release(charger_id)  # before what it says from now on
        finally:
            await self.make_known(charger_id)
        current = self.endpoint.connection(charger_id)
        if current is connection:
            # OCPP 1.6 4.2: a pending charger keeps silent, unless it is asked.
            body = {"requestedMessage": "BootNotification"}
            self.command(charger_id, Call(new_id(), "TriggerMessage", body), Asker())
        elif current is not None and current.session.pending:
            current.abort("an earlier connection was approved: it has to log in")

    def last_seen(self, charger_id: str) -> datetime | None:
        """Return when something was last heard of a charger."""
        connection = self.endpoint.connection(charger_id)
        return connection.last_seen if connection else self.endpoint.last_seen(charger_id)

    async def _expect_key(self, charger_id: str, key: bytes) -> None:
        try:
            await self.endpoint.expect_password(charger_id, key)
        except StorageError as error:
            log.error("%s: its new password is not stored: %s", printable(charger_id), error)

    def _changed(self, charger_id: str) -> None:
        with self._mishaps.contained("showing a change"):
            self.on_change(charger_id)

    def _is_known(self, charger_id: str) -> bool:
        return charger_id in self.endpoint.credentials or (
            self.endpoint.connection(charger_id) is not None
        )

    def _forward(self, charger_id: str, message: Message, *, retained: bool) -> None:
        connection = self.endpoint.connection(charger_id)
        if retained or connection is None or isinstance(message, Call):
            reason = "it was retained" if retained else "the charger is not connected"
            log.debug("%s: an answer from MQTT was dropped: %s", printable(charger_id), reason)
            return
        connection.forward(message)

    def _report(
        self, charger_id: str, call: Call, reason: Reason, text: object, asker: Asker
    ) -> None:
        outcome = report(call, reason, str(text))
        self._upstream.settle(charger_id, Settle(Command(call, asker), outcome))


def _ignore_order(charger_id: str, connector: str, key: str, value: bytes) -> None:
    """Take an order that nobody carries out."""
