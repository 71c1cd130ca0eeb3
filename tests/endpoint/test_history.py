"""The last frames of a charger, and what people see of them: everything but secrets."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ocpp_addon.endpoint.history import LONGEST_ACTION, Entry, History
from ocpp_addon.ocpp.frame import Frame, decode
from ocpp_addon.ocpp.messages import Call, CallResult
from ocpp_addon.ocpp.redaction import HIDDEN
from ocpp_addon.ocpp.version import V16

NOW = datetime(2026, 11, 25, tzinfo=UTC)
KEY = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"
URL = "ftp://user:pw-of-ftp@example/logs"


def entry(text: str) -> Entry:
    decoded = decode(text, V16)
    message = decoded.message if isinstance(decoded, Frame) else None
    return Entry(datetime(2026, 11, 24, tzinfo=UTC), "sent", text, message, 0.0123, (), ("odd",))


def frame(kind: int, *rest: Any) -> str:
    return json.dumps([kind, "1", *rest])


@pytest.mark.parametrize(
    "text",
    [
        frame(2, "ChangeConfiguration", {"key": "AuthorizationKey", "value": KEY}),
        frame(2, "ChangeConfiguration", {"key": "authorizationkey", "value": KEY}),
        frame(3, {"configurationKey": [{"key": "AuthorizationKey", "value": KEY}]}),
        frame(2, "SetVariables", {"setVariableData": [
            {"variable": {"name": "BasicAuthPassword"}, "attributeValue": KEY}]}),
        frame(2, "X", {"wifiPassword": KEY}),
        frame(2, "GetDiagnostics", {"location": URL}),
        frame(2, "ChangeConfiguration", {"key": "AuthorizationKey", "value": KEY})[:-2],
        f'[2,"1","ChangeConfiguration",{{"key":"AuthorizationKey","value":"{KEY}" oops',
        f"garbage {URL}",
    ],
)  # fmt: skip
def test_secrets_are_hidden(text: str) -> None:
    shown = json.dumps(entry(text).as_json(), ensure_ascii=False)
    assert KEY not in shown
    assert "pw-of-ftp" not in shown
    assert HIDDEN in shown


def test_everything_else_is_shown() -> None:
    text = frame(2, "ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"})
    assert entry(text).as_json() == {
        "time": "2026-11-24T00:00:00.000Z",
        "direction": "sent",
        "frame": text,
        "latency_ms": 12.3,
        "repaired": [],
        "warnings": ["odd"],
        "type": 2,
        "id": "1",
        "action": "ChangeConfiguration",
        "payload": {"key": "HeartbeatInterval", "value": "60"},
    }


def test_errors_and_results_are_told_apart() -> None:
    error = entry(frame(4, "NotSupported", "no", {})).as_json()
    assert error["error"] == {"code": "NotSupported", "description": "no"}
    assert entry(frame(3, {"a": 1})).as_json()["payload"] == {"a": 1}


def test_an_answer_knows_its_call_however_long_the_action_is() -> None:
    history = History()
    action = "x" * 100_000
    asked = history.add(NOW, 1.0, "received", "too long", Call("1", action, {}))
    answered = history.add(NOW, 1.5, "sent", "short", CallResult("1", {}))
    assert (asked.asked, answered.asked) == (None, action[:LONGEST_ACTION])
    assert answered.latency == 0.5
