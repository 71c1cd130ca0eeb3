"""What only the page asks of chargers, as Calls of their version; and outcomes in words."""

from typing import Any

from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.text import printable
from ocpp_addon.web import variables

Asked = tuple[str, dict[str, Any]]  # action and payload

_FINE = frozenset({"Accepted", "Scheduled", "Unlocked", "RebootRequired", "AcceptedCanceled"})
_MEANINGS = {
    "RebootRequired": "It takes effect after a restart of the charger.",
    "Scheduled": "It will do so when the running session has ended.",
    "NotSupported": "It does not support that.",
    "NotImplemented": "It does not know how to do that.",
}


def diagnostics(protocol: str, location: str) -> Asked:
    """Let a charger upload its log."""
    if protocol == "1.6":
        return "GetDiagnostics", {"location": location}
    log = {"remoteLocation": location}
    return "GetLog", {"logType": "DiagnosticsLog", "requestId": 1, "log": log}


def read_configuration(protocol: str, name: str) -> Asked:
    """Read one key, or a variable of OCPP 2; Refused if the name cannot be one."""
    if protocol == "1.6":
        return "GetConfiguration", {"key": [name]}
    return "GetVariables", {"getVariableData": [variables.place(name)]}


def read_all(protocol: str, number: int) -> Asked:
    """Read all keys; a charger of OCPP 2 reports its variables in messages of their own."""
    if protocol == "1.6":
        return "GetConfiguration", {}
    return "GetBaseReport", {"requestId": number, "reportBase": "FullInventory"}


def write_configuration(protocol: str, name: str, value: str) -> Asked:
    """Write one key, or a variable of OCPP 2; Refused if the name cannot be one."""
    if protocol == "1.6":
        return "ChangeConfiguration", {"key": name, "value": value}
    return "SetVariables", {"setVariableData": [variables.place(name) | {"attributeValue": value}]}


def write_password(protocol: str, password: str) -> Asked:
    """Give a charger its password for the next connection.

    1.6 wants hex digits (security whitepaper, A00): the gateway takes both readings for the same.
    """
    if protocol == "1.6":
        is_hex = len(password) >= 32 and set(password) <= set("0123456789abcdefABCDEF")
        value = password if is_hex else password.encode().hex()
        return write_configuration(protocol, "AuthorizationKey", value)
    return write_configuration(protocol, "SecurityCtrlr.BasicAuthPassword", password)


def result(outcome: CallResult | CallError) -> dict[str, Any] | None:
    """Return what a charger answered; None if it refused."""
    return outcome.payload if isinstance(outcome, CallResult) else None


def status(outcome: CallResult | CallError) -> str:
    """Return the word that decides: a status, or the code of an error."""
    if isinstance(outcome, CallError):
        return outcome.code
    answers = outcome.payload.get("setVariableResult")
    if isinstance(answers, list) and answers and isinstance(answers[0], dict):
        return printable(answers[0].get("attributeStatus"))
    return printable(outcome.payload.get("status", "Accepted"))


def is_fine(outcome: CallResult | CallError) -> bool:
    """Tell whether the charger does what it was asked."""
    return isinstance(outcome, CallResult) and status(outcome) in _FINE


def in_words(action: str, outcome: CallResult | CallError) -> str:
    """Return one sentence or two about an outcome."""
    word = status(outcome)
    if isinstance(outcome, CallError):
        if outcome.details.get("origin") == "gateway":
            return f"{action}: {printable(outcome.description, 200)}"
        return (
            f"{action}: the charger refused: {word} {printable(outcome.description, 200)}".strip()
        )
    verb = "accepted" if is_fine(outcome) else "refused"
    return f"{action}: the charger {verb} ({word}). {_MEANINGS.get(word, '')}".strip()
