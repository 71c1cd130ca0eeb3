"""The conversation with one charger over one connection: messages and time in, effects out."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ocpp_addon.ocpp.effects import (
    Answer,
    Answered,
    Close,
    Command,
    Effect,
    Hold,
    Note,
    Publish,
    Reason,
    Settle,
    Transmit,
    report,
)
from ocpp_addon.ocpp.frame import Frame, Ignored, Malformed, decode
from ocpp_addon.ocpp.messages import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    Payload,
    Send,
)
from ocpp_addon.ocpp.validation import Direction, Findings
from ocpp_addon.ocpp.version import Version

MALFORMED_LIMIT = 10  # unreadable frames in a row that end the connection
AWAITED_LIMIT = 256  # Calls of the charger that wait for an answer from MQTT
REMEMBERED_LIMIT = 256  # ids kept of Calls answered by us, and of commands that timed out

# Transaction data: a charger discards what is refused, so it is never refused for its schema.
TRANSACTION_ACTIONS = frozenset(
    {"StartTransaction", "StopTransaction", "MeterValues", "TransactionEvent"}
)

Validate = Callable[[Version, str, Payload, Direction], Findings | None]


@dataclass(frozen=True)
class Policy:
    """The options that shape a conversation; times in seconds."""

    central_system: Literal["home", "external"] = "home"
    answer_timeout: float = 10
    validation: Literal["warn", "strict", "off"] = "warn"
    call_timeout: float = 30
    queue_limit: int = 32


class Session:
    """Keep the state of one conversation; pure, never raises on what it receives.

    Every method returns the effects to perform, in order. Times are seconds of any clock that
    never goes back. `pending` tells that the charger still waits for a person's approval.
    """

    def __init__(
        self, version: Version, policy: Policy, validate: Validate, *, pending: bool = False
    ) -> None:
        self.version = version
        self.pending = pending
        self._policy = policy
        self._validate = validate
        self._queue: deque[Command] = deque()
        self._outstanding: Command | None = None  # OCPP-J 4.1.1: at most one at a time
        self._outstanding_until = 0.0
        # By id as text: either side may echo a number as text, or text as a number.
        self._timed_out: dict[str, Call] = {}  # a late answer still finds its action here
        self._awaited: dict[str, tuple[Call, float]] = {}  # from MQTT, until when
        self._answered: dict[str, None] = {}  # by the built-in central system
        self._malformed = 0

    def receive(self, text: str, now: float) -> list[Effect]:
        """Take one text message of the charger."""
        decoded = decode(text, self.version)
        if isinstance(decoded, Ignored):
            return []
        if isinstance(decoded, Malformed):
            return self._receive_malformed(decoded)
        self._malformed = 0
        message = decoded.message
        if isinstance(message, Call):
            return self._receive_call(message, decoded, now)
        if isinstance(message, CallResult | CallError):
            return self._receive_answer(message, decoded, now)
        if self.pending:
            return []
        warnings: tuple[str, ...] = ()
        if isinstance(message, Send):
            findings = self._check(message.action, message.payload, "request")
            warnings = findings.texts if findings else ()
        return [Publish(message, repairs=decoded.repairs, warnings=warnings)]

    def command(self, command: Command, now: float) -> list[Effect]:
        """Take a Call for the charger; it will end in exactly one Settle."""
        call = command.call
        if self.pending:
            return [_refusal(command, "pending_approval", "The charger waits for approval.")]
        findings = self._check(call.action, call.payload, "request")
        if findings:
            if self._policy.validation == "strict":
                text = f"{findings.code}: {'; '.join(findings.texts)}"
                return [_refusal(command, "invalid", text)]
            command = replace(command, warnings=findings.texts)
        if self._outstanding is None:
            return self._transmit(command, now)
        if len(self._queue) >= self._policy.queue_limit:
            return [_refusal(command, "queue_full", "Too many commands wait for the charger.")]
        self._queue.append(command)
        return []

    def forward(
        self, message: CallResult | CallError | CallResultError | Send, now: float
    ) -> list[Effect]:
        """Take an answer, or a Send, that MQTT has for the charger: it is sent on as it is."""
        if self.pending:
            return [Note("an answer from MQTT was dropped: the charger waits for approval")]
        if not isinstance(message, CallResult | CallError):
            if not self.version.has_send:
                kind = f"a {type(message).__name__}"
                return [Note(f"{kind} from MQTT was dropped: OCPP {self.version.number} has none")]
            return [Transmit(message)]
        if str(message.unique_id) in self._answered:
            return [Note("an answer from MQTT was dropped: the Call was answered already")]
        call, _ = self._awaited.pop(str(message.unique_id), (None, 0.0))
        if call is None:
            return [Transmit(message)]
        message = replace(message, unique_id=call.unique_id)
        effects: list[Effect] = [Transmit(message), Answered(call, message, built_in=False)]
        warnings = self._check_result(call, message)
        if warnings:
            effects.append(Note(f"the answer from MQTT to {call.action}: {'; '.join(warnings)}"))
        return effects

    def answer(self, call: Call, response: CallResult | CallError) -> list[Effect]:
        """Take what the built-in central system, or the gateway itself, answers to a Call."""
        self._settle_ourselves(call)
        return [Transmit(response), Answered(call, response, built_in=True)]

    def tick(self, now: float) -> list[Effect]:
        """Let time pass: end what has waited too long."""
        effects: list[Effect] = []
        while self._outstanding is not None and now >= self._outstanding_until:
            command = self._outstanding
            self._timed_out[str(command.call.unique_id)] = command.call
            _forget_oldest(self._timed_out)
            text = f"The charger gave no answer within {self._policy.call_timeout:g} s."
            effects.append(_refusal(command, "timeout", text))
            effects += self._next(now)
        overdue = [call for call, until in self._awaited.values() if now >= until]
        for call in overdue:
            self._settle_ourselves(call)
            effects.append(Answer(call))
        return effects

    def closed(self, now: float) -> list[Effect]:
        """End the conversation: the connection is gone."""
        commands = [*([self._outstanding] if self._outstanding else []), *self._queue]
        self._outstanding = None
        self._queue.clear()
        self._awaited.clear()
        text = "The charger's connection ended before its answer."
        return [_refusal(command, "disconnected", text) for command in commands]

    def approve(self) -> None:
        """Treat the charger as known from now on."""
        self.pending = False

    def _receive_malformed(self, malformed: Malformed) -> list[Effect]:
        self._malformed += 1
        effects: list[Effect] = [Note(f"unreadable message: {malformed.reason}")]
        if malformed.reply is not None:
            effects.append(Transmit(malformed.reply))
        if self._malformed >= MALFORMED_LIMIT:
            effects.append(Close(1008, f"{MALFORMED_LIMIT} unreadable messages in a row"))
        return effects

    def _receive_call(self, call: Call, frame: Frame, now: float) -> list[Effect]:
        findings = self._check(call.action, call.payload, "request")
        warnings = findings.texts if findings else ()
        if (
            findings
            and self._policy.validation == "strict"
            and call.action not in TRANSACTION_ACTIONS
        ):
            text = "; ".join(warnings)
            refusal = CallError(call.unique_id, findings.code, text[:255])
            return [Note(f"{call.action} refused: {text}"), Transmit(refusal)]
        # The same id again is a new message: what is remembered of the old one must not bind it.
        self._answered.pop(str(call.unique_id), None)
        if self.pending:
            self._settle_ourselves(call)  # although it may be approved before it is answered
            held: list[Effect] = []
            if call.action in TRANSACTION_ACTIONS:
                held.append(Hold(call, frame.repairs, warnings))
            return [*held, Answer(call, pending=True)]
        publish = Publish(call, repairs=frame.repairs, warnings=warnings)
        if self._policy.central_system == "home":
            self._settle_ourselves(call)
            return [publish, Answer(call)]
        # Without a timeout it is awaited all the same: what MQTT answers tells of transactions.
        timeout = self._policy.answer_timeout
        self._awaited.pop(str(call.unique_id), None)
        self._awaited[str(call.unique_id)] = (call, now + timeout if timeout > 0 else math.inf)
        if len(self._awaited) > AWAITED_LIMIT:
            oldest, _ = self._awaited.pop(next(iter(self._awaited)))
            if timeout > 0:
                self._settle_ourselves(oldest)
                return [publish, Answer(oldest)]
        return [publish]

    def _settle_ourselves(self, call: Call) -> None:
        """Let nobody else answer a Call."""
        self._awaited.pop(str(call.unique_id), None)
        self._answered[str(call.unique_id)] = None
        _forget_oldest(self._answered)

    def _receive_answer(
        self, message: CallResult | CallError, frame: Frame, now: float
    ) -> list[Effect]:
        command = self._outstanding
        if command is not None and str(command.call.unique_id) == str(message.unique_id):
            message = replace(message, unique_id=command.call.unique_id)
            warnings = self._check_result(command.call, message)
            asked = tuple(f"command: {text}" for text in command.warnings)
            settled = Settle(command, message, frame.repairs, (*asked, *warnings))
            return [settled, *self._next(now)]
        call = self._timed_out.pop(str(message.unique_id), None)
        if call is not None:
            message = replace(message, unique_id=call.unique_id)
            warnings = self._check_result(call, message)
            return [Publish(message, call.action, frame.repairs, warnings, late=True)]
        if self.pending:
            return []
        return [Publish(message, repairs=frame.repairs)]

    def _check_result(self, call: Call, message: CallResult | CallError) -> tuple[str, ...]:
        if isinstance(message, CallError):
            return ()
        findings = self._check(call.action, message.payload, "response")
        return findings.texts if findings else ()

    def _check(self, action: str, payload: Payload, direction: Direction) -> Findings | None:
        if self._policy.validation == "off":
            return None
        return self._validate(self.version, action, payload, direction)

    def _transmit(self, command: Command, now: float) -> list[Effect]:
        self._outstanding = command
        self._outstanding_until = now + self._policy.call_timeout
        return [Transmit(command.call)]

    def _next(self, now: float) -> list[Effect]:
        self._outstanding = None
        return self._transmit(self._queue.popleft(), now) if self._queue else []


def _refusal(command: Command, reason: Reason, description: str) -> Settle:
    return Settle(command, report(command.call, reason, description))


def _forget_oldest(remembered: dict[str, Call] | dict[str, None]) -> None:
    while len(remembered) > REMEMBERED_LIMIT:
        del remembered[next(iter(remembered))]
