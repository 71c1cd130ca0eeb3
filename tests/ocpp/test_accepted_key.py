"""Which secret a charger has accepted."""

from typing import Any

import pytest

from ocpp_addon.ocpp.accepted_key import accepted_key
from ocpp_addon.ocpp.messages import Call, CallError, CallResult

KEY = "0011223344556677"


def change(key: Any, value: Any) -> Call:
    return Call("1", "ChangeConfiguration", {"key": key, "value": value})


def variable(name: Any, **others: Any) -> dict[str, Any]:
    return {"component": {"name": "SecurityCtrlr"}, "variable": {"name": name}, **others}


SET = Call(
    "1",
    "SetVariables",
    {
        "setVariableData": [
            variable("OrganizationName", attributeValue="home"),
            variable("BasicAuthPassword", attributeValue=KEY),
        ]
    },
)


def told(status: str, name: str = "BasicAuthPassword") -> dict[str, Any]:
    return {"setVariableResult": [variable(name, attributeStatus=status)]}


@pytest.mark.parametrize(
    ("call", "answer", "right"),
    [
        (change("AuthorizationKey", KEY), {"status": "Accepted"}, True),
        (change("authorizationkey", KEY), {"status": "RebootRequired"}, True),
        (change("AuthorizationKey", KEY), {"status": "Rejected"}, False),
        (change("AuthorizationKey", KEY), {}, False),
        (change("HeartbeatInterval", KEY), {"status": "Accepted"}, False),
        (change("AuthorizationKey", ""), {"status": "Accepted"}, False),
        (change("AuthorizationKey", 7), {"status": "Accepted"}, False),
        (change(None, None), {"status": "Accepted"}, False),
        (SET, told("Accepted"), True),
        (SET, told("RebootRequired"), True),
        (SET, told("Rejected"), False),
        (SET, told("Accepted", "OrganizationName"), False),
        (SET, {"setVariableResult": ["odd", {"variable": 7}, None]}, False),
        (SET, {}, False),
        (Call("1", "SetVariables", {"setVariableData": 7}), told("Accepted"), False),
        (Call("1", "Reset", {}), {"status": "Accepted"}, False),
    ],
)
def test_accepted(call: Call, answer: dict[str, Any], right: bool) -> None:
    assert accepted_key(call, CallResult("1", answer)) == (KEY.encode() if right else None)


def test_an_error_accepts_nothing() -> None:
    assert accepted_key(change("AuthorizationKey", KEY), CallError("1", "InternalError")) is None
