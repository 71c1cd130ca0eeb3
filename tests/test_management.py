"""What people see of frames: everything but secrets."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ocpp_addon.endpoint.history import Entry
from ocpp_addon.management import shown_frame
from ocpp_addon.ocpp.frame import Frame, decode
from ocpp_addon.ocpp.redaction import HIDDEN
from ocpp_addon.ocpp.version import V16

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
    shown = json.dumps(shown_frame(entry(text)), ensure_ascii=False)
    assert KEY not in shown
    assert "pw-of-ftp" not in shown
    assert HIDDEN in shown


def test_everything_else_is_shown() -> None:
    text = frame(2, "ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"})
    assert shown_frame(entry(text)) == {
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
    error = shown_frame(entry(frame(4, "NotSupported", "no", {})))
    assert error["error"] == {"code": "NotSupported", "description": "no"}
    assert shown_frame(entry(frame(3, {"a": 1})))["payload"] == {"a": 1}
