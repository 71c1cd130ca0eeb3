"""What only the page asks of chargers, held against the schemas; and outcomes in words."""

from typing import Any

import pytest

from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import V16, V21, V201, Version
from ocpp_addon.schemas import load_schema
from ocpp_addon.web import calls


@pytest.mark.parametrize("version", [V16, V201, V21], ids=lambda version: version.number)
def test_orders_are_valid(version: Version) -> None:
    protocol = version.number
    asked = [
        calls.diagnostics(protocol, "ftp://192.168.1.2/logs"),
        calls.read_all(protocol, 7),
        calls.read_configuration(protocol, "Connector[1,2](x).HeartbeatInterval(y)"),
        calls.write_configuration(protocol, "OCPPCommCtrlr.HeartbeatInterval", "60"),
        calls.write_password(protocol, "Sixteen-letters!"),
    ]
    for action, payload in asked:
        assert Validator(load_schema).findings(version, action, payload, "request") is None


def test_passwords_travel_as_their_version_wants() -> None:
    hexadecimal = "00112233445566778899AABBCCDDEEFF00112233"
    for password, value in (("sixteen-letters!", b"sixteen-letters!".hex()), (hexadecimal,) * 2):
        _, payload = calls.write_password("1.6", password)
        assert payload == {"key": "AuthorizationKey", "value": value}
    _, payload = calls.write_password("2.0.1", "sixteen-letters!")
    assert payload["setVariableData"][0]["attributeValue"] == "sixteen-letters!"


GATEWAY = {"origin": "gateway", "reason": "timeout"}
SET = {"setVariableResult": [{"attributeStatus": "RebootRequired"}]}


@pytest.mark.parametrize(
    ("outcome", "fine", "words"),
    [
        (CallResult("1", {"status": "Accepted"}), True, "X: the charger accepted (Accepted)."),
        (CallResult("1", {}), True, "X: the charger accepted (Accepted)."),
        (
            CallResult("1", SET),
            True,
            "X: the charger accepted (RebootRequired)."
            " It takes effect after a restart of the charger.",
        ),
        (
            CallResult("1", {"status": "NotSupported"}),
            False,
            "X: the charger refused (NotSupported). It does not support that.",
        ),
        (CallResult("1", {"status": "\x1b[1m"}), False, "X: the charger refused (\\x1b[1m)."),
        (CallResult("1", {"setVariableResult": 7}), True, "X: the charger accepted (Accepted)."),
        (CallError("1", "InternalError", ""), False, "X: the charger refused: InternalError"),
        (CallError("1", "GenericError", "No answer.", GATEWAY), False, "X: No answer."),
    ],
)
def test_outcomes_in_words(outcome: Any, fine: bool, words: str) -> None:
    assert calls.is_fine(outcome) is fine
    assert calls.in_words("X", outcome) == words
