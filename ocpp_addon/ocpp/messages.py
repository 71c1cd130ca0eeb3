"""The five OCPP-J messages as types."""

from dataclasses import dataclass, field
from typing import Any

UniqueId = str | int | float  # strings by the specification; chargers send numbers as well
Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """Ask the other side to do something (type 2)."""

    unique_id: UniqueId
    action: str
    payload: Payload


@dataclass(frozen=True, slots=True)
class CallResult:
    """Answer a Call (type 3)."""

    unique_id: UniqueId
    payload: Payload


@dataclass(frozen=True, slots=True)
class CallError:
    """Refuse a Call (type 4)."""

    unique_id: UniqueId
    code: str
    description: str = ""
    details: Payload = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallResultError:
    """Refuse a CallResult (type 5, OCPP 2.1)."""

    unique_id: UniqueId
    code: str
    description: str = ""
    details: Payload = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Tell something that is never answered (type 6, OCPP 2.1)."""

    unique_id: UniqueId
    action: str
    payload: Payload


Message = Call | CallResult | CallError | CallResultError | Send
MESSAGE_TYPES: dict[type[Message], int] = {
    Call: 2,
    CallResult: 3,
    CallError: 4,
    CallResultError: 5,
    Send: 6,
}
