"""The current limit that a charger has accepted, whoever asked for it; pure."""

from collections.abc import Mapping
from typing import Any

from ocpp_addon.home import fields
from ocpp_addon.home.questions import GOOD
from ocpp_addon.ocpp.messages import Call
from ocpp_addon.ocpp.version import V16, Version

VOLTAGE = 230.0  # V between a phase and neutral
PHASES = 3  # in use where a schedule does not tell (1.6 and 2.x: numberPhases)


def accepted(
    version: Version, call: Call, result: Mapping[str, Any]
) -> tuple[int, float | None] | None:
    """Return connector and limit in A per phase, as it begins; None where a result sets none.

    Connector 0 means all of them, the limit None that there is none any more.
    """
    if fields.text(result, "status") not in GOOD:
        return None
    number = fields.integer(call.payload, "connectorId" if version == V16 else "evseId") or 0
    if call.action == "ClearChargingProfile":
        return number, None
    if call.action != "SetChargingProfile":
        return None
    key = "csChargingProfiles" if version == V16 else "chargingProfile"
    for schedule in fields.groups(fields.group(call.payload, key), "chargingSchedule"):
        for period in fields.groups(schedule, "chargingSchedulePeriod"):
            limit = fields.real(period, "limit")
            if limit is None:
                return None
            if fields.text(schedule, "chargingRateUnit") == "W":
                limit /= VOLTAGE * (fields.integer(period, "numberPhases") or PHASES)
            return number, round(limit, 1)
    return None
