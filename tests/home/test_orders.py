"""Orders: what is refused at once, and what chargers are asked for each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ocpp_addon.home import orders
from ocpp_addon.home.orders import Situation
from ocpp_addon.home.profiles import Habits
from ocpp_addon.home.questions import OrderFailed, Question
from ocpp_addon.home.wanted import WANTED_MEASURANDS
from ocpp_addon.ocpp.messages import CallError, Payload
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import V16, V201, Version
from ocpp_addon.schemas import load_schema
from tests.home.conftest import NOW
from tests.home.script import Rule, carry_out, report

TAG = "HA00000000000000"
FREE = Situation(V16, {1: (), 2: ()}, True, None, 1, TAG, NOW)
FREE2 = replace(FREE, version=V201, connectors={1: (1,), 2: (2,)})
VALIDATOR = Validator(load_schema)


def always(status: str) -> Rule:
    return lambda action, payload: {"status": status}


def ask(
    connector: int, key: str, value: str, situation: Situation, rule: Rule | None = None
) -> list[Question]:
    order = orders.read(str(connector), key, value)
    asked = carry_out(orders.questions(order, situation, Habits()), rule or always("Accepted"))
    for action, payload in asked:
        assert not VALIDATOR.findings(situation.version, action, payload, "request")
    return asked


@pytest.mark.parametrize(
    ("connector", "key", "value", "code"),
    [
        ("x", "charging", "ON", "unknown_order"),
        ("-1", "charging", "ON", "unknown_order"),
        ("0", "charging", "ON", "unknown_order"),
        ("1", "restart", "PRESS", "unknown_order"),
        ("1", "reboot", "PRESS", "unknown_order"),
        ("1", "charging", "on", "bad_value"),
        ("1", "charging", "", "bad_value"),
        ("1", "current_limit", "-1", "bad_value"),
        ("1", "current_limit", "501", "bad_value"),
        ("1", "current_limit", "nan", "bad_value"),
        ("1", "current_limit", "lots", "bad_value"),
        ("1", "current_limit", "1_6", "bad_value"),
        ("1", "current_limit", "1e1", "bad_value"),
        ("1", "current_limit", "-0", "bad_value"),
        ("1", "current_limit", "١٦", "bad_value"),
        ("0", "meter_values", "0", "bad_value"),
        ("0", "meter_values", "²", "bad_value"),
        ("0", "keepalive", "99999", "bad_value"),
    ],
)
def test_unfit_orders_are_refused_with_a_sentence(
    connector: str, key: str, value: str, code: str
) -> None:
    with pytest.raises(OrderFailed) as refused:
        orders.read(connector, key, value)
    assert refused.value.code == code
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("order", "situation", "question"),
    [
        ((1, "charging", "ON"), FREE,
         ("RemoteStartTransaction", {"connectorId": 1, "idTag": TAG})),
        ((2, "charging", "OFF"), replace(FREE, transaction_id=7),
         ("RemoteStopTransaction", {"transactionId": 7})),
        ((2, "available", "OFF"), FREE,
         ("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"})),
        ((0, "available", " ON\n"), FREE,
         ("ChangeAvailability", {"connectorId": 0, "type": "Operative"})),
        ((1, "unlock", "PRESS"), FREE, ("UnlockConnector", {"connectorId": 1})),
        ((0, "restart", "PRESS"), FREE, ("Reset", {"type": "Soft"})),
        ((0, "restart", "HARD"), FREE, ("Reset", {"type": "Hard"})),
        ((1, "charging", "ON"), FREE2,
         ("RequestStartTransaction", {"evseId": 1, "remoteStartId": int(NOW.timestamp()),
                                      "idToken": {"idToken": TAG, "type": "Central"}})),
        ((1, "charging", "OFF"), replace(FREE2, transaction_id="t"),
         ("RequestStopTransaction", {"transactionId": "t"})),
        ((2, "available", "OFF"), FREE2,
         ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 2}})),
        ((0, "available", "ON"), FREE2, ("ChangeAvailability", {"operationalStatus": "Operative"})),
        ((2, "unlock", "PRESS"), FREE2, ("UnlockConnector", {"evseId": 2, "connectorId": 2})),
        ((0, "restart", "PRESS"), FREE2, ("Reset", {"type": "Immediate"})),
        ((0, "restart", "SOFT"), FREE2, ("Reset", {"type": "OnIdle"})),
    ],
)  # fmt: skip
def test_most_orders_are_one_question(
    order: tuple[int, str, str], situation: Situation, question: Question
) -> None:
    status = "Unlocked" if order[1] == "unlock" else "Accepted"
    assert ask(*order, situation, always(status)) == [question]


def test_what_is_so_already_is_not_asked() -> None:
    assert ask(1, "charging", "ON", replace(FREE, transaction_id=7)) == []
    with pytest.raises(OrderFailed, match="No session is known to run on connector 1"):
        ask(1, "charging", "OFF", FREE)


def test_a_later_change_of_availability_is_no_failure() -> None:
    assert len(ask(1, "available", "OFF", FREE, always("Scheduled"))) == 1


@pytest.mark.parametrize(
    ("rule", "words", "code"),
    [
        (always("Rejected"), "The charger refuses to start charging: Rejected.", "refused"),
        (lambda *_: {}, "The charger refuses to start charging: no status.", "refused"),
        (lambda *_: CallError("1", "InternalError"), "charging: InternalError.", "refused"),
        (lambda *_: CallError("1", "a\nb"), r"charging: a\\nb.", "refused"),
        (lambda *_: report("offline", "The charger is not connected."),
         "The charger is not connected.", "offline"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_words(rule: Rule, words: str, code: str) -> None:
    with pytest.raises(OrderFailed, match=words) as failed:
        ask(1, "charging", "ON", FREE, rule)
    assert failed.value.code == code


def test_refresh_asks_for_all_that_the_state_is_made_of() -> None:
    assert ask(0, "refresh", "PRESS", replace(FREE, booted=False)) == [
        ("TriggerMessage", {"requestedMessage": "BootNotification"}),
        *(
            ("TriggerMessage", {"requestedMessage": message, "connectorId": number})
            for number in (1, 2)
            for message in ("StatusNotification", "MeterValues")
        ),
    ]
    assert ask(0, "refresh", "PRESS", replace(FREE2, connectors={1: (1, 2)})) == [
        ("TriggerMessage", {"requestedMessage": "StatusNotification",
                            "evse": {"id": 1, "connectorId": 1}}),
        ("TriggerMessage", {"requestedMessage": "MeterValues", "evse": {"id": 1}}),
    ]  # fmt: skip
    assert len(ask(0, "refresh", "PRESS", replace(FREE, connectors={}))) == 1


def test_refresh_fails_only_when_nothing_is_told() -> None:
    def partly(action: str, payload: Payload) -> Payload:
        told = payload["requestedMessage"] == "StatusNotification"
        return {"status": "Accepted" if told else "NotImplemented"}

    ask(0, "refresh", "PRESS", FREE, partly)
    with pytest.raises(OrderFailed, match="refuses to report anew: NotImplemented"):
        ask(0, "refresh", "PRESS", FREE, always("NotImplemented"))


class Configurable:
    """A charger with settings, in the words of 1.6 or 2.x."""

    def __init__(self, version: Version, settings: dict[str, str]) -> None:
        self.settings = settings
        self.takes: Callable[[str, str], str] = lambda name, value: "Accepted"
        self.written: list[tuple[str, str]] = []
        self._v16 = version == V16

    def __call__(self, action: str, payload: Payload) -> Payload:
        if action == "GetConfiguration":
            known = [name for name in payload["key"] if name in self.settings]
            return {"configurationKey": [
                {"key": name, "readonly": False, "value": self.settings[name]} for name in known
            ]}  # fmt: skip
        if action == "GetVariables":
            return {"getVariableResult": [self._got(one) for one in payload["getVariableData"]]}
        if action == "ChangeConfiguration":
            return {"status": self._set(payload["key"], payload["value"])}
        assert action == "SetVariables"
        [data] = payload["setVariableData"]
        status = self._set(data["variable"]["name"], data["attributeValue"])
        return {"setVariableResult": [{**data, "attributeStatus": status}]}

    def _got(self, asked: dict[str, Any]) -> dict[str, Any]:
        value = self.settings.get(asked["variable"]["name"])
        if value is None:
            return {**asked, "attributeStatus": "UnknownVariable"}
        return {**asked, "attributeStatus": "Accepted", "attributeValue": value}

    def _set(self, name: str, value: str) -> str:
        self.written.append((name, value))
        status = self.takes(name, value)
        if status == "Accepted":
            self.settings[name] = value
        return status


INTERVALS = {V16: "MeterValueSampleInterval", V201: "TxUpdatedInterval"}
MEASURANDS = {V16: "MeterValuesSampledData", V201: "TxUpdatedMeasurands"}


@pytest.mark.parametrize("version", [V16, V201], ids=lambda one: one.number)
def test_settings_are_written_where_they_differ(version: Version) -> None:
    situation = replace(FREE, version=version)
    interval, measurands = INTERVALS[version], MEASURANDS[version]
    charger = Configurable(version, {interval: "900", measurands: '"Power.Offered , Voltage.L1"'})
    ask(0, "meter_values", "PRESS", situation, charger)
    kept = [one for one in WANTED_MEASURANDS if one != "Voltage"]
    assert charger.settings == {
        interval: "60",
        measurands: ",".join(["Power.Offered", "Voltage.L1", *kept]),
    }
    charger.written.clear()
    ask(0, "meter_values", "60", situation, charger)
    assert charger.written == []
    ask(0, "meter_values", "30", situation, charger)
    assert charger.written == [(interval, "30")]


def test_measurands_that_a_charger_lacks_do_not_spoil_the_others() -> None:
    charger = Configurable(V16, {"MeterValuesSampledData": "", "MeterValueSampleInterval": "60"})
    charger.takes = lambda name, value: "Rejected" if "SoC" in value else "Accepted"
    ask(0, "meter_values", "PRESS", FREE, charger)
    assert charger.settings["MeterValuesSampledData"] == ",".join(WANTED_MEASURANDS[:-1])


def test_settings_that_are_refused_are_told() -> None:
    charger = Configurable(V16, {})
    charger.takes = lambda name, value: "NotSupported"
    with pytest.raises(OrderFailed, match="refuses to change its meter interval: NotSupported"):
        ask(0, "meter_values", "PRESS", FREE, charger)
    charger.settings["MeterValueSampleInterval"] = "60"
    with pytest.raises(OrderFailed, match="refuses to report more of its meter: NotSupported"):
        ask(0, "meter_values", "PRESS", FREE, charger)
    with pytest.raises(OrderFailed, match="refuses to change its ping interval: NotSupported"):
        ask(0, "keepalive", "PRESS", FREE, charger)


def test_a_setting_that_holds_after_a_restart_is_no_failure() -> None:
    charger = Configurable(V16, {})
    charger.takes = lambda name, value: "RebootRequired"
    ask(0, "keepalive", "PRESS", FREE, charger)
    assert charger.written == [("WebSocketPingInterval", "60")]
