"""Energy, limits and meter values of the simulated car."""

from typing import Any

import pytest

from ocpp_addon.simulator.connector import SimulatedConnector


def profile(
    limit: float,
    *,
    purpose: str = "TxDefaultProfile",
    unit: str = "A",
    number: int = 1,
    stack_level: int = 0,
    **schedule: Any,
) -> dict[str, Any]:
    return {
        "charging_profile_id": number,
        "stack_level": stack_level,
        "charging_profile_purpose": purpose,
        "charging_schedule": {
            "charging_rate_unit": unit,
            "charging_schedule_period": [{"start_period": 0, "limit": limit}],
            **schedule,
        },
    }


@pytest.fixture
def connector() -> SimulatedConnector:
    connector = SimulatedConnector(1, speed=1)
    connector.start("TAG", 0)
    return connector


def test_an_hour_at_full_current_is_eleven_kilowatt_hours(connector: SimulatedConnector) -> None:
    before = connector.advance(0)
    assert connector.advance(3600) - before == 16 * 230 * 3


def test_speed_makes_energy_of_less_time() -> None:
    connector = SimulatedConnector(1, speed=60)
    connector.start("TAG", 0)
    before = connector.advance(0)
    assert connector.advance(60) - before == 16 * 230 * 3


def test_a_clock_that_goes_back_takes_no_energy_away(connector: SimulatedConnector) -> None:
    energy = connector.advance(100)
    assert connector.advance(50) == energy


def test_the_last_profile_of_a_place_and_the_highest_place_win(
    connector: SimulatedConnector,
) -> None:
    connector.set_profile(profile(10), 0)
    assert connector.current(0) == 10
    connector.set_profile(profile(8, number=2), 0)
    assert connector.current(0) == 8
    connector.set_profile(profile(12, number=3, stack_level=1), 0)
    assert connector.current(0) == 12
    connector.set_profile(profile(9, number=4, purpose="TxProfile"), 0)
    assert connector.current(0) == 9
    connector.set_profile(profile(7, number=5, purpose="ChargePointMaxProfile"), 0)
    assert connector.current(0) == 7


def test_watts_are_of_all_phases(connector: SimulatedConnector) -> None:
    connector.set_profile(profile(6900, unit="W"), 0)
    assert connector.current(0) == pytest.approx(10)


def test_less_than_six_ampere_suspends(connector: SimulatedConnector) -> None:
    connector.set_profile(profile(5.9), 0)
    assert (connector.current(0), connector.status(0)) == (0, "SuspendedEVSE")


def test_periods_follow_each_other_until_the_duration_ends(
    connector: SimulatedConnector,
) -> None:
    periods = [{"start_period": 0, "limit": 6}, {"start_period": 60, "limit": 10}]
    connector.set_profile(profile(0, charging_schedule_period=periods, duration=120), 1000)
    assert [connector.current(now) for now in (1000, 1059, 1060, 1120)] == [6, 6, 10, 16]


@pytest.mark.parametrize(
    ("wanted", "cleared"),
    [
        ((None, None, None), True),
        ((1, None, None), True),
        ((2, None, None), False),
        ((None, "TxDefaultProfile", None), True),
        ((None, "TxProfile", None), False),
        ((None, None, 0), True),
        ((1, None, 3), False),
    ],
)
def test_profiles_that_match_are_cleared(
    connector: SimulatedConnector, wanted: tuple[int | None, str | None, int | None], cleared: bool
) -> None:
    connector.set_profile(profile(10), 0)
    assert connector.clear_profiles(0, *wanted) is cleared
    assert connector.current(0) == (16 if cleared else 10)


def test_a_full_battery_takes_no_more(connector: SimulatedConnector) -> None:
    for minute in range(24 * 60):
        connector.advance(minute * 60)
    assert connector.status(24 * 3600) == "SuspendedEV"
    values = {one["measurand"]: one["value"] for one in connector.samples(24 * 3600, "Trigger")}
    assert (values["SoC"], values["Power.Active.Import"]) == ("100", "0")


def test_a_session_ends_with_its_profiles_but_not_with_the_defaults(
    connector: SimulatedConnector,
) -> None:
    connector.set_profile(profile(10), 0)
    connector.set_profile(profile(7, number=2, purpose="TxProfile"), 0)
    connector.stop(60)
    assert connector.status(60) == "Available"
    connector.start("TAG", 60)
    assert connector.current(60) == 10


def test_status_without_a_session() -> None:
    connector = SimulatedConnector(1, speed=1)
    assert connector.status(0) == "Available"
    connector.plugged_in = True
    assert connector.status(0) == "Preparing"
    connector.operative = False
    assert connector.status(0) == "Unavailable"


def test_the_meter_says_energy_power_charge_and_each_phase(
    connector: SimulatedConnector,
) -> None:
    samples = connector.samples(60, "Sample.Periodic")
    said = {(one["measurand"], one.get("phase")): (one["value"], one["unit"]) for one in samples}
    assert said == {
        ("Energy.Active.Import.Register", None): ("100184", "Wh"),
        ("Power.Active.Import", None): ("11040", "W"),
        ("SoC", None): ("20", "Percent"),
        ("Current.Import", "L1"): ("16.0", "A"),
        ("Current.Import", "L2"): ("16.0", "A"),
        ("Current.Import", "L3"): ("16.0", "A"),
        ("Voltage", "L1-N"): ("230.0", "V"),
        ("Voltage", "L2-N"): ("230.0", "V"),
        ("Voltage", "L3-N"): ("230.0", "V"),
    }
