"""Read and write OCPP-J frames: text to message and back; decoding never raises."""

import re
from dataclasses import dataclass
from typing import Any

from ocpp_addon.ocpp import jsontext
from ocpp_addon.ocpp.messages import (
    MESSAGE_TYPES,
    Call,
    CallError,
    CallResult,
    CallResultError,
    Message,
    Send,
    UniqueId,
)
from ocpp_addon.ocpp.repair import repair
from ocpp_addon.ocpp.version import Version

LONGEST_ID = 1024  # characters; 36 by the specification, and ids are remembered
UNREADABLE_ID = "-1"  # OCPP-J 2.0.1 4.2.3: the id of an answer to what has no readable id

_ID_OF_BROKEN_CALL = re.compile(r'\[[\s,]*2\s*,\s*(?:"([^"\\]{1,64})"|([0-9]{1,15}))\s*,')


@dataclass(frozen=True, slots=True)
class Frame:
    """A message, and in words what had to be mended to read it."""

    message: Message
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that is no message; `reply` is what the specification wants sent back, if any."""

    reason: str
    reply: CallError | CallResultError | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something that is to be passed over in silence."""

    reason: str


def decode(text: str, version: Version) -> Frame | Malformed | Ignored:
    """Read one WebSocket text message."""
    text = text.strip("\ufeff\0 \t\r\n")
    if not text or text in ("ping", "pong"):  # some clients send such texts to keep a link alive
        return Ignored("keep-alive text")
    repairs: tuple[str, ...] = ()
    try:
        frame = jsontext.load(text)
    except (ValueError, RecursionError) as error:
        mended, repairs = repair(text)
        try:
            if not repairs:
                raise error
            frame = jsontext.load(mended)
        except (ValueError, RecursionError):
            return _not_json(text, f"not JSON: {error}", version)
    if not isinstance(frame, list) or not frame:
        return _unreadable("not an array", version)
    message_type = frame[0]
    if type(message_type) is not int:
        return _unreadable("the message type is no integer", version)
    reader = _READERS.get(message_type)
    if reader is None or (message_type in (5, 6) and not version.has_send):
        return _unknown_type(frame, message_type, version)
    if len(frame) < 2 or not is_id(frame[1]):
        return _unreadable("no readable message id", version)
    return reader(frame, frame[1], repairs, version)


def encode(message: Message) -> str:
    """Write a message as one WebSocket text message."""
    head: list[Any] = [MESSAGE_TYPES[type(message)], message.unique_id]
    match message:
        case Call() | Send():
            return jsontext.dump([*head, message.action, message.payload])
        case CallResult():
            return jsontext.dump([*head, message.payload])
        case _:
            return jsontext.dump([*head, message.code, message.description, message.details])


def is_id(value: object) -> bool:
    """Tell whether a value can be the id of a message."""
    if isinstance(value, str):
        return len(value) <= LONGEST_ID
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_json(text: str, reason: str, version: Version) -> Malformed:
    found = _ID_OF_BROKEN_CALL.match(text)
    if found is None:
        return _unreadable(reason, version)
    unique_id = found[1] if found[1] is not None else int(found[2])
    return Malformed(reason, CallError(unique_id, version.formation, reason))


def _unreadable(reason: str, version: Version) -> Malformed:
    if not version.answers_unreadable:
        return Malformed(reason)
    return Malformed(reason, CallError(UNREADABLE_ID, "RpcFrameworkError", reason))


def _unknown_type(frame: list[Any], message_type: int, version: Version) -> Malformed | Ignored:
    reason = f"message type {message_type} is unknown"
    # OCPP-J 1.6 4.1.3: ignore the message. 2.0.1 4.1.3: say so.
    if version.answers_unreadable and len(frame) > 1 and is_id(frame[1]):
        return Malformed(reason, CallError(frame[1], "MessageTypeNotSupported", reason))
    return Ignored(reason)


def _call(
    frame: list[Any], unique_id: UniqueId, repairs: tuple[str, ...], version: Version
) -> Frame | Malformed:
    body = _action_and_payload(frame)
    if isinstance(body, str):
        return Malformed(body, CallError(unique_id, version.formation, body))
    return Frame(Call(unique_id, *body), (*repairs, *_missing_payload(frame, 4)))


def _send(
    frame: list[Any], unique_id: UniqueId, repairs: tuple[str, ...], version: Version
) -> Frame | Malformed:
    body = _action_and_payload(frame)
    if isinstance(body, str):
        return Malformed(body)  # OCPP-J 2.1: a Send is never answered
    return Frame(Send(unique_id, *body), (*repairs, *_missing_payload(frame, 4)))


def _call_result(
    frame: list[Any], unique_id: UniqueId, repairs: tuple[str, ...], version: Version
) -> Frame | Malformed:
    payload = frame[2] if len(frame) > 2 else None
    if payload is None:
        payload = {}
    if not isinstance(payload, dict) or len(frame) > 3:
        reason = "a CallResult has an id and an object as payload"
        if version.has_send:
            return Malformed(reason, CallResultError(unique_id, version.formation, reason))
        return Malformed(reason)
    return Frame(CallResult(unique_id, payload), (*repairs, *_missing_payload(frame, 3)))


def _call_error(
    frame: list[Any], unique_id: UniqueId, repairs: tuple[str, ...], version: Version
) -> Frame | Malformed:
    return Frame(CallError(unique_id, *_error(frame)), repairs)


def _call_result_error(
    frame: list[Any], unique_id: UniqueId, repairs: tuple[str, ...], version: Version
) -> Frame | Malformed:
    return Frame(CallResultError(unique_id, *_error(frame)), repairs)


def _action_and_payload(frame: list[Any]) -> tuple[str, dict[str, Any]] | str:
    if len(frame) < 3 or not isinstance(frame[2], str) or not frame[2]:
        return "the action is missing or no text"
    payload = frame[3] if len(frame) > 3 else None
    if payload is None:  # OCPP-J 4.2.1: null stands for an empty payload
        payload = {}
    if not isinstance(payload, dict):
        return "the payload is no object"
    if len(frame) > 4:
        return "too many elements"
    return frame[2], payload


def _error(frame: list[Any]) -> tuple[str, str, dict[str, Any]]:
    # Chargers leave out the last elements, or send null or "" for details.
    code, description, details = (*frame[2:5], None, None, None)[:3]
    return (
        code if isinstance(code, str) and code else "GenericError",
        description if isinstance(description, str) else "",
        details if isinstance(details, dict) else {},
    )


def _missing_payload(frame: list[Any], length: int) -> tuple[str, ...]:
    return ("missing payload read as empty",) if len(frame) < length else ()


_READERS = {2: _call, 3: _call_result, 4: _call_error, 5: _call_result_error, 6: _send}
