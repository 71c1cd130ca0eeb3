"""What MQTT, and whoever else has a command, says to chargers; each command has one outcome."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from ocpp_addon.endpoint.roster import Roster
from ocpp_addon.mqtt import payload
from ocpp_addon.mqtt.link import Incoming
from ocpp_addon.mqtt.topics import ONLINE, Topics
from ocpp_addon.ocpp.effects import Command, Reason, Settle, report
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Message
from ocpp_addon.text import printable
from ocpp_addon.upstream import Asker, Upstream, new_id

log = logging.getLogger(__name__)

HANDLED_LIMIT = 1024  # commands remembered, so that a redelivery is not executed again


class Downstream:
    """Bring commands, answers and orders to the chargers that they are for."""

    def __init__(self, roster: Roster, topics: Topics, upstream: Upstream) -> None:
        self.on_order: Callable[[str, str, str, bytes], None] = _ignore_order
        self.on_birth: Callable[[], None] = lambda: None
        self._roster = roster
        self._topics = topics
        self._upstream = upstream
        self._handled: OrderedDict[int, None] = OrderedDict()

    def receive(self, incoming: Incoming) -> None:
        """Take a message of the broker: a command, an answer or an order for a charger."""
        if incoming.topic in self._topics.births:
            if incoming.payload == ONLINE:
                self.on_birth()
            return
        topic, is_known = incoming.topic, self._roster.is_known
        order = self._topics.entity(topic, is_known)
        charger_id = order[0] if order else self._topics.charger(topic, is_known)
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
            self._forward(charger_id, message, incoming)
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
        connection = self._roster.connection(charger_id)
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

    def _forward(self, charger_id: str, message: Message, incoming: Incoming) -> None:
        connection = self._roster.connection(charger_id)
        if incoming.retain or connection is None or isinstance(message, Call):
            reason = "it was retained" if incoming.retain else "the charger is not connected"
            log.debug("%s: an answer from MQTT was dropped: %s", printable(charger_id), reason)
            return
        connection.forward(message, len(incoming.payload))

    def _report(
        self, charger_id: str, call: Call, reason: Reason, text: object, asker: Asker
    ) -> None:
        outcome = report(call, reason, str(text))
        self._upstream.settle(charger_id, Settle(Command(call, asker), outcome))


def _ignore_order(charger_id: str, connector: str, key: str, value: bytes) -> None:
    """Take an order that nobody carries out."""
