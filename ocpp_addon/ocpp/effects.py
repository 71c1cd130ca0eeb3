"""What a session wants done, as values; the shell performs them in order."""

from dataclasses import dataclass
from typing import Any, Literal

from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Message

Reason = Literal[
    "invalid",
    "retained",
    "offline",
    "queue_full",
    "timeout",
    "disconnected",
    "pending_approval",
]


@dataclass(frozen=True, slots=True)
class Command:
    """A Call for a charger; `origin` is the asker's own note, handed back with the outcome."""

    call: Call
    origin: Any = None
    warnings: tuple[str, ...] = ()  # what its schema says against the Call


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send a message to the charger."""

    message: Message


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish a message of the charger; go on only once it is safe."""

    message: Message
    action: str | None = None  # of the command that a result belongs to
    repairs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    late: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep a Call of a charger that waits for approval, to be published once it is approved."""

    call: Call
    repairs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Ask the built-in central system, and give what it says to `Session.answer`."""

    call: Call
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """Tell that a Call of the charger has been answered, and by whom."""

    call: Call
    response: CallResult | CallError
    built_in: bool


@dataclass(frozen=True, slots=True)
class Settle:
    """Report the one outcome of a command."""

    command: Command
    outcome: CallResult | CallError
    repairs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Tell people what was odd: one line of the log."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection with a WebSocket close code."""

    code: int
    reason: str


Effect = Transmit | Publish | Hold | Answer | Answered | Settle | Note | Close


def report(call: Call, reason: Reason, description: str) -> CallError:
    """Make the gateway's own report about a command that reached no answer of the charger."""
    details = {"origin": "gateway", "reason": reason}
    return CallError(call.unique_id, "GenericError", description, details)


def subject(
    effects: list[Effect],
) -> tuple[Message | None, tuple[str, ...], tuple[str, ...]]:
    """Return the received message that effects are about, its repairs and warnings."""
    for effect in effects:
        match effect:
            case Publish():
                return effect.message, effect.repairs, effect.warnings
            case Settle():
                return effect.outcome, effect.repairs, effect.warnings
            case Hold():
                return effect.call, effect.repairs, effect.warnings
            case Answer():
                return effect.call, (), ()
            case Note():
                return None, (), (effect.text,)
    return None, (), ()
