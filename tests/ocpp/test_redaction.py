"""No secret of any shape survives."""

import json
import time
from typing import Any

import pytest

from ocpp_addon.ocpp.redaction import HIDDEN, redacted, redacted_text

SECRET = "0001020304050607FFFF"


@pytest.mark.parametrize(
    "payload",
    [
        {"key": "AuthorizationKey", "value": SECRET},
        {"configurationKey": [{"key": "AUTHORIZATIONKEY", "readonly": False, "value": SECRET}]},
        {"setVariableData": [
            {"variable": {"name": "BasicAuthPassword"}, "attributeValue": SECRET}]},
        {"reportData": [
            {"variable": {"name": "BasicAuthPassword"}, "variableAttribute": [{"value": SECRET}]}]},
        {"eventData": [{"variable": {"name": "BasicAuthPassword"}, "actualValue": SECRET}]},
        {"connectionData": {"vpn": {"server": "x", "user": "x", "password": "x", "key": SECRET}}},
        {"connectionData": {"basicAuthPassword": SECRET, "apn": {"apnPassword": SECRET}}},
        {"wifi": {"passphrase": SECRET, "psk": SECRET}},
        {"location": f"ftp://user:{SECRET}@example/logs"},
        {"data": json.dumps({"password": SECRET})},
        {"data": f"user=x password={SECRET}&more=1"},
        {"accessToken": SECRET, "privateKey": SECRET, "private_key": SECRET},
    ],
)  # fmt: skip
def test_secrets_are_hidden(payload: dict[str, Any]) -> None:
    shown = json.dumps(redacted(payload), ensure_ascii=False)
    assert SECRET not in shown and HIDDEN in shown
    text = json.dumps([2, "1", "X", payload])
    for broken in (text, text[:-1], text + "oops"):
        assert SECRET not in redacted_text(broken)


@pytest.mark.parametrize(
    "payload",
    [
        {"key": "HeartbeatInterval", "value": "60"},
        {"idTag": "04A2B3"},
        {"idToken": {"idToken": "04A2B3", "type": "ISO14443"}, "groupIdToken": {"idToken": "x"}},
        {"location": "ftp://example/logs"},
        {"errorDescription": "AuthorizationKey is not supported"},
    ],
)
def test_everything_else_is_shown(payload: dict[str, Any]) -> None:
    assert redacted(payload) == payload
    text = json.dumps([2, "1", "X", payload])
    assert redacted_text(text) == text


@pytest.mark.parametrize("letters", ["a", "a://", "a:", "psk=", "psk ", "a@", "token'"])
def test_a_long_text_takes_no_more_than_its_length(letters: str) -> None:
    text = letters * (128 * 1024 // len(letters))
    began = time.process_time()
    redacted_text(json.dumps([2, "1", "DataTransfer", {"data": text}]))
    assert time.process_time() - began < 10  # the square of the length is minutes
