"""The JSON objects of the MQTT side."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_addon.mqtt.payload import MAX_PAYLOAD, UnreadablePayload, read, write
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, CallResultError, Message, Send

PATTERN: list[tuple[Message, str | None, dict[str, Any]]] = [
    (
        Call("1", "Reset", {"type": "Soft"}),
        None,
        {"MessageTypeId": 2, "UniqueId": "1", "Action": "Reset", "Payload": {"type": "Soft"}},
    ),
    (Send(7, "A", {}), None, {"MessageTypeId": 6, "UniqueId": 7, "Action": "A", "Payload": {}}),
    (CallResult("1", {}), None, {"MessageTypeId": 3, "UniqueId": "1", "Payload": {}}),
    (
        CallResult("1", {}),
        "Reset",
        {"MessageTypeId": 3, "UniqueId": "1", "Action": "Reset", "Payload": {}},
    ),
    (
        CallError("1", "NotSupported", "no", {"a": 1}),
        "Reset",
        {
            "MessageTypeId": 4,
            "UniqueId": "1",
            "Action": "Reset",
            "ErrorCode": "NotSupported",
            "ErrorDescription": "no",
            "ErrorDetails": {"a": 1},
        },
    ),
    (
        CallResultError("1", "X"),
        None,
        {
            "MessageTypeId": 5,
            "UniqueId": "1",
            "ErrorCode": "X",
            "ErrorDescription": "",
            "ErrorDetails": {},
        },
    ),
]


@pytest.mark.parametrize(("message", "action", "fields"), PATTERN)
def test_the_pattern_is_fixed_in_both_directions(
    message: Message, action: str | None, fields: dict[str, Any]
) -> None:
    assert json.loads(write(message, action)) == fields
    assert read(json.dumps(fields).encode(), "new") == message


def test_what_may_be_left_out() -> None:
    assert read(b'{"Action":"GetConfiguration"}', "new") == Call("new", "GetConfiguration", {})
    assert read(b'{"UniqueId":"1","Action":"A","Payload":null}', "new") == Call("1", "A", {})
    assert read(b'{"MessageTypeId":6,"Action":"A"}', "new") == Send("new", "A", {})
    error = read(b'{"MessageTypeId":4,"UniqueId":"1","ErrorCode":"X"}', "new")
    assert error == CallError("1", "X", "", {})


@pytest.mark.parametrize(
    ("payload", "unique_id"),
    [
        (b"", "-1"),
        (b"hello", "-1"),
        (b"\xff\xfe", "-1"),
        (b"[2]", "-1"),
        (b"{}", "-1"),
        (b'{"UniqueId":"' + b"x" * 2000 + b'","Action":"A"}', "-1"),
        (b'{"UniqueId":"1"}', "1"),
        (b'{"MessageTypeId":"2","UniqueId":"1","Action":"A"}', "1"),
        (b'{"MessageTypeId":2,"UniqueId":"1"}', "1"),
        (b'{"MessageTypeId":2,"UniqueId":["1"],"Action":"A"}', "-1"),
        (b'{"MessageTypeId":2,"UniqueId":true,"Action":"A"}', "-1"),
        (b'{"MessageTypeId":2,"UniqueId":"1","Action":"A","Payload":[]}', "1"),
        (b'{"MessageTypeId":3,"Payload":{}}', "-1"),
        (b'{"MessageTypeId":4,"UniqueId":"1"}', "1"),
        (b'{"MessageTypeId":7,"UniqueId":"1","Action":"A"}', "1"),
        (b'{"Action":"A","Payload":{"a":NaN}}', "-1"),
        (b"[" * 100_000, "-1"),
        (b" " * (MAX_PAYLOAD + 1), "-1"),
    ],
)
def test_unreadable_payloads_say_why(payload: bytes, unique_id: str) -> None:
    with pytest.raises(UnreadablePayload) as refused:
        read(payload, "new")
    assert refused.value.unique_id == unique_id
    assert str(refused.value)


@given(st.binary(max_size=200))
def test_reading_raises_nothing_else(payload: bytes) -> None:
    with contextlib.suppress(UnreadablePayload):
        read(payload, "new")
