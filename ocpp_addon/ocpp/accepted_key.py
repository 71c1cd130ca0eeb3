"""The password that a charger has accepted for its next connection, read from a command."""

from collections.abc import Iterator
from typing import Any

from ocpp_addon.ocpp.messages import Call, CallError, CallResult

_ACCEPTED = ("Accepted", "RebootRequired")


def accepted_key(call: Call, outcome: CallResult | CallError) -> bytes | None:
    """Return the secret with which a charger will log in from now on, if it accepted one.

    AuthorizationKey of 1.6 (security whitepaper A01.FR.03), BasicAuthPassword of 2.x (A01.FR.02).
    """
    if isinstance(outcome, CallError):
        return None
    if call.action == "ChangeConfiguration":
        name, value = call.payload.get("key"), call.payload.get("value")
        accepted = outcome.payload.get("status") in _ACCEPTED
        is_key = isinstance(name, str) and name.lower() == "authorizationkey"
        return _secret(value) if accepted and is_key else None
    if call.action == "SetVariables":
        told = outcome.payload.get("setVariableResult")
        if any(item.get("attributeStatus") in _ACCEPTED for item in _passwords(told)):
            for item in _passwords(call.payload.get("setVariableData")):
                return _secret(item.get("attributeValue"))
    return None


def _passwords(items: Any) -> Iterator[dict[str, Any]]:
    """Yield the items that are about the password of the charger."""
    for item in items if isinstance(items, list) else ():
        variable = item.get("variable") if isinstance(item, dict) else None
        name = variable.get("name") if isinstance(variable, dict) else None
        if isinstance(name, str) and name.lower() == "basicauthpassword":
            yield item


def _secret(value: Any) -> bytes | None:
    return value.encode("utf-8", "replace") if isinstance(value, str) and value else None
