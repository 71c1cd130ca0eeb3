"""What chargers say, and what became of commands, as messages that leave for MQTT."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ocpp_addon.mqtt import payload
from ocpp_addon.mqtt.outbox import Outbox, Safe
from ocpp_addon.mqtt.outgoing import BOUNDARY, HEARTBEAT, ORDINARY, TRANSACTION, Outgoing
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.ocpp.effects import Hold, Publish, Settle
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Message, Send
from ocpp_addon.ocpp.session import TRANSACTION_ACTIONS
from ocpp_addon.text import utc

_RANKS = dict.fromkeys(TRANSACTION_ACTIONS, BOUNDARY) | {
    "MeterValues": TRANSACTION,
    "Heartbeat": HEARTBEAT,
}

_Marks = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who gave a command, and where the outcome goes besides the charger's own topics."""

    response_topic: str | None = None
    correlation: bytes | None = None
    settled: Callable[[CallResult | CallError], None] | None = None


class Upstream:
    """Give each message its topic, payload, properties and rank, and hand it to the outbox."""

    def __init__(self, topics: Topics, outbox: Outbox) -> None:
        self._topics = topics
        self._outbox = outbox

    def publish(self, charger_id: str, effect: Publish) -> Safe:
        """Publish a message of a charger; the future ends once it is safe."""
        marks = _marks(effect.repairs, effect.warnings, late=effect.late)
        topic = self._topics.upstream(charger_id, effect.message, effect.action)
        outgoing = self._public(charger_id, topic, effect.message, effect.action, marks)
        return self._outbox.post(outgoing)

    def hold(self, charger_id: str, effect: Hold) -> Safe:
        """Keep a message of a charger that waits for approval."""
        marks = _marks(effect.repairs, effect.warnings)
        topic = self._topics.upstream(charger_id, effect.call, None)
        return self._outbox.hold(self._public(charger_id, topic, effect.call, None, marks))

    def answered(self, charger_id: str, call: Call, response: CallResult | CallError) -> None:
        """Show what the built-in central system answered; it goes first when room is short."""
        topic = self._topics.answer(charger_id, response, call.action)
        outgoing = self._public(charger_id, topic, response, call.action)
        self._outbox.post(replace(outgoing, rank=HEARTBEAT))

    def settle(self, charger_id: str, effect: Settle) -> None:
        """Report the outcome of a command, to its asker as well."""
        outcome, asker = effect.outcome, effect.command.origin
        action = effect.command.call.action or None
        marks = _marks(effect.repairs, effect.warnings)
        topic = self._topics.upstream(charger_id, outcome, action)
        self._outbox.post(self._public(charger_id, topic, outcome, action, marks))
        if not isinstance(asker, Asker):
            return
        private = asker.response_topic
        if private and self._topics.may_respond_to(private):
            self._outbox.post(
                self._outgoing(charger_id, private, outcome, action, marks, asker.correlation)
            )
        if asker.settled is not None:
            asker.settled(outcome)

    def _public(
        self,
        charger_id: str,
        topic: str,
        message: Message,
        action: str | None,
        marks: _Marks = (),
    ) -> Outgoing:
        replay_topic = self._topics.replay(charger_id, message, action)
        return self._outgoing(charger_id, topic, message, action, marks, replay_topic=replay_topic)

    def _outgoing(
        self,
        charger_id: str,
        topic: str,
        message: Message,
        action: str | None,
        marks: _Marks = (),
        correlation: bytes | None = None,
        replay_topic: str | None = None,
    ) -> Outgoing:
        added = (("received-at", utc(datetime.now(UTC))), ("message-id", new_id()))
        return Outgoing(
            charger_id,
            topic,
            payload.write(message, action),
            added + marks,
            _rank(message, action),
            replay_topic,
            correlation,
        )


def new_id() -> str:
    """Return an id for a Call, of 32 characters."""
    return secrets.token_hex(16)


def _rank(message: Message, action: str | None) -> int:
    if isinstance(message, Call | Send):
        rank = _RANKS.get(message.action, ORDINARY)
        measured = message.payload.get("eventType") == "Updated"  # of TransactionEvent
        return TRANSACTION if rank == BOUNDARY and measured else rank
    return HEARTBEAT if action == "Heartbeat" else ORDINARY


def _marks(repairs: tuple[str, ...], warnings: tuple[str, ...], *, late: bool = False) -> _Marks:
    marks = [("late", "true")] if late else []
    if repairs:
        marks.append(("repaired", "; ".join(repairs)))
    marks += [("warning", warning) for warning in warnings]
    return tuple(marks)
