"""The current limit that a charger has accepted."""

from typing import Any

import pytest

from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.limits import accepted
from ocpp_addon.ocpp.messages import Call, CallError, CallResult
from ocpp_addon.ocpp.version import V16, V201, Version
from tests.home.charger import Charger
from tests.home.conftest import NOW

YES = {"status": "Accepted"}


def profile(limit: Any, unit: str = "A", connector: int = 1, **period: Any) -> dict[str, Any]:
    periods = [{"startPeriod": 0, "limit": limit, **period}, {"startPeriod": 60, "limit": 1}]
    schedule = {"chargingRateUnit": unit, "chargingSchedulePeriod": periods}
    return {"connectorId": connector, "csChargingProfiles": {"chargingSchedule": schedule}}


def profile2(limit: Any, evse: int = 1) -> dict[str, Any]:
    schedule = profile(limit)["csChargingProfiles"]["chargingSchedule"]
    return {"evseId": evse, "chargingProfile": {"chargingSchedule": [schedule]}}


@pytest.mark.parametrize(
    ("version", "action", "payload", "limit"),
    [
        (V16, "SetChargingProfile", profile(16), (1, 16)),
        (V16, "SetChargingProfile", profile(0, connector=2), (2, 0)),
        (V16, "SetChargingProfile", profile(11040, "W"), (1, 16)),
        (V16, "SetChargingProfile", profile(3680, "W", numberPhases=1), (1, 16)),
        (V16, "SetChargingProfile", profile(10.04, connector=0), (0, 10)),
        (V16, "SetChargingProfile", profile("much"), None),
        (V16, "SetChargingProfile", {}, None),
        (V16, "SetChargingProfile", {"csChargingProfiles": {"chargingSchedule": 1}}, None),
        (V16, "ClearChargingProfile", {"connectorId": 1}, (1, None)),
        (V16, "ClearChargingProfile", {}, (0, None)),
        (V16, "UnlockConnector", {"connectorId": 1}, None),
        (V201, "SetChargingProfile", profile2(16, evse=2), (2, 16)),
    ],
)
def test_what_is_accepted(
    version: Version, action: str, payload: dict[str, Any], limit: tuple[int, float] | None
) -> None:
    assert accepted(version, Call("1", action, payload), YES) == limit
    assert accepted(version, Call("1", action, payload), {"status": "Scheduled"}) == limit
    assert accepted(version, Call("1", action, payload), {"status": "Rejected"}) is None


async def test_the_limit_is_part_of_the_state(central: CentralSystem) -> None:
    charger = Charger(central)

    def settle(payload: dict[str, Any], outcome: CallResult | CallError) -> None:
        central.settled("garage", V16, Call("1", "SetChargingProfile", payload), outcome, NOW)

    await charger.status("Available", connector=1)
    await charger.status("Available", connector=2)
    settle(profile(16), CallResult("1", {"status": "Rejected"}))
    settle(profile(16), CallError("1", "NotSupported"))
    assert "current_limit" not in charger.state(1)
    settle(profile(16), CallResult("1", YES))
    assert charger.state(1)["current_limit"] == 16
    assert "current_limit" not in charger.state(2)
    settle(profile(6, connector=0), CallResult("1", YES))
    assert (charger.state(1)["current_limit"], charger.state(2)["current_limit"]) == (6, 6)
