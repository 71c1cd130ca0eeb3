"""A charger's own configuration, read and written alike in 1.6 and 2.x; pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from ocpp_addon.home import fields
from ocpp_addon.home.questions import Questions, verdict
from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.ocpp.version import V16, Version


@dataclass(frozen=True)
class Setting:
    """One setting: the key of 1.6, component and variable of 2.x."""

    key: str
    component: str
    variable: str


METER_INTERVAL = Setting("MeterValueSampleInterval", "SampledDataCtrlr", "TxUpdatedInterval")
MEASURANDS = Setting("MeterValuesSampledData", "SampledDataCtrlr", "TxUpdatedMeasurands")
KEEPALIVE = Setting("WebSocketPingInterval", "OCPPCommCtrlr", "WebSocketPingInterval")
STACK_LEVEL = Setting("ChargeProfileMaxStackLevel", "SmartChargingCtrlr", "ProfileStackLevel")
RATE_UNIT = Setting("ChargingScheduleAllowedChargingRateUnit", "SmartChargingCtrlr", "RateUnit")


def read(version: Version, settings: Iterable[Setting]) -> Questions[dict[Setting, str]]:
    """Return the values of those that the charger has and tells; OrderFailed without an answer."""
    wanted = list(settings)
    if version == V16:
        outcome = yield ("GetConfiguration", {"key": [one.key for one in wanted]})
    else:
        asked = [_names(one) for one in wanted]
        outcome = yield ("GetVariables", {"getVariableData": asked})
    if isinstance(outcome, CallError):
        verdict(outcome)
        return {}
    found = _values16(outcome) if version == V16 else _values2(outcome)
    names = [(one, one.key if version == V16 else one.variable) for one in wanted]
    return {one: found[name.lower()] for one, name in names if name.lower() in found}


def write(version: Version, setting: Setting, value: str) -> Questions[str]:
    """Write one setting and return the status."""
    if version == V16:
        return verdict((yield ("ChangeConfiguration", {"key": setting.key, "value": value})))
    data = {**_names(setting), "attributeValue": value}
    outcome = yield ("SetVariables", {"setVariableData": [data]})
    if isinstance(outcome, CallError):
        return verdict(outcome)
    for result in fields.groups(outcome.payload, "setVariableResult"):
        return fields.label(result, "attributeStatus") or "no status"
    return "no status"


def words(value: str) -> list[str]:
    """Return the items of a list as chargers write it, with blanks and quotes around or not."""
    items = (item.strip().strip("\"'").strip() for item in value.strip().strip("\"'").split(","))
    return [item for item in items if item]


def _names(setting: Setting) -> dict[str, dict[str, str]]:
    return {"component": {"name": setting.component}, "variable": {"name": setting.variable}}


def _values16(outcome: CallResult) -> dict[str, str]:
    """Return values by key in lower case: chargers spell keys as they like."""
    values = {}
    for item in fields.groups(outcome.payload, "configurationKey"):
        key, value = fields.text(item, "key"), fields.text(item, "value")
        if key is not None and value is not None:
            values[key.strip().lower()] = value.strip()
    return values


def _values2(outcome: CallResult) -> dict[str, str]:
    values = {}
    for item in fields.groups(outcome.payload, "getVariableResult"):
        name = fields.text(fields.group(item, "variable"), "name")
        value = fields.text(item, "attributeValue")
        if name is not None and value is not None:
            values[name.strip().lower()] = value.strip()
    return values
