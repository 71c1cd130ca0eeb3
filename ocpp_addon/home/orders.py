"""What entities and people order, checked, and as questions to the charger; pure.

An order has the connector's number (0 is the charger itself), a key and a value, as on the topic
`ocpp/set/<charger>/<connector>/<key>`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ocpp_addon.home import wanted
from ocpp_addon.home.profiles import Habits, Limit, set_limit
from ocpp_addon.home.questions import OrderFailed, Questions, demand, verdict
from ocpp_addon.home.session import TransactionId
from ocpp_addon.ocpp.messages import Payload
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.text import printable

MOST_CURRENT = 500.0  # A; more is a slip of the finger
PRESS = "PRESS"
METER_SECONDS, PING_SECONDS = 60, 60  # what a pressed button wants
LONGEST_INTERVAL = 86_400

_AMPERES = re.compile(r"[0-9]{1,3}(\.[0-9]{0,9})?")


@dataclass(frozen=True)
class Order:
    """One order whose value is fit for its key."""

    connector: int
    key: str
    value: str


@dataclass(frozen=True)
class Situation:
    """What is known of a charger when an order for it is carried out.

    `connectors` are the numbers of its connectors (EVSEs in 2.x) that have shown themselves, each
    with the connectors of OCPP 2.x in it; `booted` tells whether the charger has introduced itself.
    """

    version: Version
    connectors: dict[int, tuple[int, ...]]
    booted: bool
    transaction_id: TransactionId | None
    phases: int
    tag: str  # under which a remote start charges
    now: datetime


def read(connector: str, key: str, value: str) -> Order:
    """Return an order as it came by MQTT or HTTP; OrderFailed says what is wrong with it."""
    if not connector.isdecimal() or len(connector) > 5:
        raise OrderFailed("unknown_order", "The connector is no number.")
    number = int(connector)
    known = _OF_CONNECTORS if number else _OF_CHARGERS
    if key not in known:
        place = "A connector" if number else "A charger"
        raise OrderFailed("unknown_order", f"{place} has no order {printable(key)}.")
    text = value.strip()
    fit, expected = known[key]
    if not fit(text):
        raise OrderFailed("bad_value", f"{key}: {printable(text)} is not {expected}.")
    return Order(number, key, text)


def questions(order: Order, situation: Situation, habits: Habits) -> Questions[None]:
    """Return what to ask; OrderFailed when the charger refuses or does not answer."""
    number = order.connector
    match order.key:
        case "charging":
            return _start(number, situation) if order.value == "ON" else _stop(number, situation)
        case "available":
            return _change_availability(number, order.value == "ON", situation)
        case "current_limit":
            limit = Limit(
                number,
                float(order.value),
                situation.transaction_id,
                alone=len(situation.connectors) <= 1,
                phases=situation.phases,
                now=situation.now,
            )
            return set_limit(situation.version, limit, habits)
        case "unlock":
            return _unlock(number, situation)
        case "restart":
            return _restart(order.value, situation.version)
        case "refresh":
            habits.forget_configuration()
            return _refresh(situation)
        case "meter_values":
            return wanted.meter_values(situation.version, _seconds(order.value, METER_SECONDS))
        case _:
            return wanted.keepalive(situation.version, _seconds(order.value, PING_SECONDS))


def _start(connector: int, situation: Situation) -> Questions[None]:
    if situation.transaction_id is not None:
        return
    if situation.version == V16:
        payload: Payload = {"connectorId": connector, "idTag": situation.tag}
        yield from demand("start charging", "RemoteStartTransaction", payload)
    else:
        payload = {
            "evseId": connector,
            "remoteStartId": int(situation.now.timestamp()) % 2**31,
            "idToken": {"idToken": situation.tag, "type": "Central"},
        }
        yield from demand("start charging", "RequestStartTransaction", payload)


def _stop(connector: int, situation: Situation) -> Questions[None]:
    if situation.transaction_id is None:
        raise OrderFailed("no_session", f"No session is known to run on connector {connector}.")
    action = "RemoteStopTransaction" if situation.version == V16 else "RequestStopTransaction"
    payload = {"transactionId": situation.transaction_id}
    yield from demand("stop charging", action, payload)


def _change_availability(connector: int, operative: bool, situation: Situation) -> Questions[None]:
    kind = "Operative" if operative else "Inoperative"
    if situation.version == V16:
        payload: Payload = {"connectorId": connector, "type": kind}
    else:
        payload = {"operationalStatus": kind}
        if connector:
            payload["evse"] = {"id": connector}
    yield from demand("change its availability", "ChangeAvailability", payload)


def _unlock(connector: int, situation: Situation) -> Questions[None]:
    if situation.version == V16:
        payload = {"connectorId": connector}
    else:
        inside = situation.connectors.get(connector) or (1,)
        payload = {"evseId": connector, "connectorId": inside[0]}
    yield from demand("unlock the connector", "UnlockConnector", payload)


def _restart(value: str, version: Version) -> Questions[None]:
    if version == V16:
        kind = "Hard" if value == "HARD" else "Soft"
    else:
        kind = "OnIdle" if value == "SOFT" else "Immediate"
    yield from demand("restart", "Reset", {"type": kind})


def _refresh(situation: Situation) -> Questions[None]:
    """Ask for everything that the state is made of, as far as the charger tells on request."""
    triggers: list[Payload] = []
    # A charger that has booted may refuse to do so again (1.6 errata 3.40).
    if not situation.booted:
        triggers.append({"requestedMessage": "BootNotification"})
    for number, inside in sorted(situation.connectors.items()):
        for message in ("StatusNotification", "MeterValues"):
            trigger: Payload = {"requestedMessage": message}
            if situation.version == V16:
                trigger["connectorId"] = number
            else:
                trigger["evse"] = {"id": number}
                if message == "StatusNotification":
                    trigger["evse"]["connectorId"] = (inside or (1,))[0]
            triggers.append(trigger)
    if not situation.connectors:
        triggers.append({"requestedMessage": "StatusNotification"})
    answers = []
    for trigger in triggers:
        answers.append(verdict((yield ("TriggerMessage", trigger))))
    if "Accepted" not in answers:
        raise OrderFailed("refused", f"The charger refuses to report anew: {answers[-1]}.")


_Fit = tuple[Callable[[str], bool], str]


def _one_of(*values: str) -> _Fit:
    return (lambda text: text in values), " or ".join(values)


def _is_current(text: str) -> bool:
    return _AMPERES.fullmatch(text) is not None and float(text) <= MOST_CURRENT


def _is_interval(text: str) -> bool:
    digits = text.isascii() and text.isdecimal() and len(text) < 6
    return text == PRESS or (digits and 0 < int(text) <= LONGEST_INTERVAL)


def _seconds(value: str, usual: int) -> int:
    return usual if value == PRESS else int(value)


_SWITCH = _one_of("ON", "OFF")
_INTERVAL: _Fit = (_is_interval, f"{PRESS} or a number of seconds")
_OF_CONNECTORS: dict[str, _Fit] = {
    "charging": _SWITCH,
    "available": _SWITCH,
    "current_limit": (_is_current, f"a number of amperes from 0 to {MOST_CURRENT:g}"),
    "unlock": _one_of(PRESS),
}
_OF_CHARGERS: dict[str, _Fit] = {
    "available": _SWITCH,
    "restart": _one_of(PRESS, "SOFT", "HARD"),
    "refresh": _one_of(PRESS),
    "meter_values": _INTERVAL,
    "keepalive": _INTERVAL,
}
