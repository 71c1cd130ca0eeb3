"""The JSON object of the MQTT side: a message as MQTT payload, and back."""

from typing import Any

from ocpp_addon.ocpp import jsontext
from ocpp_addon.ocpp.frame import LONGEST_ID, UNREADABLE_ID, is_id
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

MAX_PAYLOAD = 131_072  # bytes of a message for a charger, as from one


class UnreadablePayload(Exception):
    """Tell why an MQTT payload is no message; `unique_id` and `action` as far as they show."""

    def __init__(
        self, reason: str, unique_id: UniqueId = UNREADABLE_ID, action: str | None = None
    ) -> None:
        super().__init__(reason)
        self.unique_id = unique_id
        self.action = action


def write(message: Message, action: str | None = None) -> bytes:
    """Return the MQTT payload of a message; `action` is that of the command a result belongs to.

    Raises ValueError or TypeError for what JSON cannot say, which no decoded message contains.
    """
    fields: dict[str, Any] = {
        "MessageTypeId": MESSAGE_TYPES[type(message)],
        "UniqueId": message.unique_id,
    }
    if isinstance(message, Call | Send):
        fields["Action"] = message.action
        fields["Payload"] = message.payload
    else:
        if action is not None:
            fields["Action"] = action
        if isinstance(message, CallResult):
            fields["Payload"] = message.payload
        else:
            fields["ErrorCode"] = message.code
            fields["ErrorDescription"] = message.description
            fields["ErrorDetails"] = message.details
    return jsontext.dump(fields).encode()


def read(payload: bytes, new_id: str) -> Message:
    """Return the message of an MQTT payload; UnreadablePayload tells why it is none.

    `MessageTypeId` may be left out where `Action` is there (a Call), `UniqueId` of a Call too:
    it gets `new_id` then.
    """
    fields = _object(payload)
    unique_id = fields.get("UniqueId")
    action = fields.get("Action")
    readable = is_id(unique_id)

    def unreadable(reason: str) -> UnreadablePayload:
        named = action if isinstance(action, str) else None
        return UnreadablePayload(
            reason, unique_id if readable and unique_id is not None else UNREADABLE_ID, named
        )

    type_ = fields.get("MessageTypeId")
    if type_ is None and isinstance(action, str):
        type_ = 2
    if type(type_) is not int or type_ not in (2, 3, 4, 5, 6):
        raise unreadable("MessageTypeId is not a number from 2 to 6")
    if unique_id is None and type_ in (2, 6):
        unique_id, readable = new_id, True
    if not readable or unique_id is None:
        raise unreadable(f"UniqueId is no number and no text of at most {LONGEST_ID} characters")
    if type_ in (2, 6):
        if not isinstance(action, str) or not action:
            raise unreadable("Action is missing or no text")
        body = _payload(fields, unreadable)
        return Call(unique_id, action, body) if type_ == 2 else Send(unique_id, action, body)
    if type_ == 3:
        return CallResult(unique_id, _payload(fields, unreadable))
    code = fields.get("ErrorCode")
    if not isinstance(code, str) or not code:
        raise unreadable("ErrorCode is missing or no text")
    description = fields.get("ErrorDescription")
    details = fields.get("ErrorDetails")
    error = CallError if type_ == 4 else CallResultError
    return error(
        unique_id,
        code,
        description if isinstance(description, str) else "",
        details if isinstance(details, dict) else {},
    )


def _object(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD:
        raise UnreadablePayload(f"The payload has more than {MAX_PAYLOAD} bytes.")
    try:
        fields = jsontext.load(payload.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UnreadablePayload("The payload is not JSON.") from None
    if not isinstance(fields, dict):
        raise UnreadablePayload("The payload is no JSON object.")
    return fields


def _payload(fields: dict[str, Any], unreadable: Any) -> dict[str, Any]:
    body = fields.get("Payload")
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise unreadable("Payload is no object")
    return body
