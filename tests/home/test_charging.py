"""Charging as chargers in the field tell it, and the state, sessions and events that come of it."""

from datetime import timedelta
from typing import Any

import pytest

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home import journal
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.events import SessionEnded, SessionStarted, TagScanned
from ocpp_addon.home.sessions import Choice, Record
from ocpp_addon.home.shown import api_item
from ocpp_addon.home.states import SAVE_EVERY, STALE
from ocpp_addon.home.stored_states import RESERVE
from ocpp_addon.ocpp.messages import Call, CallResult
from ocpp_addon.ocpp.version import V16, V201, Version
from ocpp_addon.text import utc
from tests.home.charger import Charger
from tests.home.conftest import NOW, OpenCentral

POWER = {"measurand": "Power.Active.Import", "unit": "W"}


@pytest.fixture
def charger(central: CentralSystem) -> Charger:
    return Charger(central)


@pytest.fixture
def charger2(central: CentralSystem) -> Charger:
    return Charger(central, V201)


async def record(charger: Charger) -> Record:
    """Return the newest session."""
    return (await charger.central.sessions.find(Choice()))[0]


async def charge(charger: Charger, readings: list[Any], start: int, stop: int) -> list[float]:
    """Charge for some minutes; return the energy in kWh that is shown after each reading."""
    identity = await charger.start(meterStart=start)
    await charger.status("Charging")
    shown: list[float] = []
    for reading in readings:
        charger.wait(60)
        await charger.meter(reading, transactionId=identity)
        shown.append(charger.state()["energy"])
    await charger.stop(identity, meterStop=stop)
    await charger.status("Available")
    charger.wait(600)
    return [round(value, 3) for value in shown]


# Registers.


async def test_a_register_that_counts_for_ever(charger: Charger) -> None:
    shown = await charge(charger, [50_100, 50_200, 50_300], start=50_000, stop=50_350)
    assert shown == [50.1, 50.2, 50.3]
    state = charger.state()
    assert (state["energy"], state["session_energy"]) == (50.35, 0.35)
    assert (await record(charger)).energy == 350


async def test_abb_counts_from_zero_although_its_start_does_not(charger: Charger) -> None:
    for start in (50_000, 50_350):
        await charge(charger, [0, 100, 300], start=start, stop=start + 350)
        await charger.meter(350)  # it shows the last session until the next one
        assert charger.state()["energy"] == (start + 350) / 1000
        assert charger.state()["session_energy"] == 0.35
        assert (await record(charger)).energy == 350


async def test_grizzl_e_starts_anew_with_each_session(charger: Charger) -> None:
    energy = 0.0
    for final in (7000, 400, 9000):
        steps = list(range(0, final, 100))
        await charge(charger, steps, start=0, stop=final)
        energy += final / 1000
        assert charger.state()["energy"] == pytest.approx(energy)
        assert charger.state()["session_energy"] == final / 1000
        assert (await record(charger)).energy == final
        await charger.meter(0)  # and shows nothing meanwhile
        assert charger.state()["energy"] == pytest.approx(energy)


async def test_only_starts_and_stops_tell_energy(charger: Charger) -> None:
    for number, final in enumerate((7000, 6000, 6500)):
        identity = await charger.start(meterStart=0)
        charger.wait(3600)
        await charger.stop(identity, meterStop=final)
        assert charger.state()["energy"] == [7, 13, 19.5][number]
        assert (await record(charger)).energy == final


async def test_a_lifetime_register_whose_starts_say_zero(charger: Charger) -> None:
    for base in (1_234_000, 1_234_300):
        shown = await charge(charger, [base + 100, base + 200, base + 300], start=0, stop=0)
        assert shown[-1] == (base + 300) / 1000
        charger.wait(3600)
        await charger.meter(base + 300)
        assert charger.state()["energy"] == (base + 300) / 1000
    assert (await record(charger)).energy == 300


@pytest.mark.parametrize(
    "odd", [0, 5, 4_000_000_000, {"value": "50.2", "unit": "Wh"}, {"value": "-1"}]
)
async def test_a_glitch_in_a_session_counts_nothing(charger: Charger, odd: Any) -> None:
    shown = await charge(charger, [50_100, odd, 50_200, 50_300], start=50_000, stop=50_350)
    assert shown[0] == 50.1
    assert shown[2:] == [50.2, 50.3]
    assert charger.state()["energy"] == 50.35


async def test_zeros_while_idle_count_nothing(charger: Charger) -> None:
    for start in (50_000, 57_000):
        readings = list(range(start, start + 7_000, 250))
        await charge(charger, readings, start=start, stop=start + 7_000)
        for _ in range(5):
            charger.wait(900)
            await charger.meter(0)
            assert charger.state()["energy"] == (start + 7_000) / 1000


async def test_kwh_without_unit_are_found_out_by_the_start(charger: Charger) -> None:
    readings = [{"value": "604.213"}, {"value": "604.331"}]
    assert await charge(charger, readings, start=604_100, stop=604_400) == [604.213, 604.331]
    await charger.meter({"value": "604.4"})
    assert charger.state()["energy"] == 604.4


async def test_wh_that_are_called_kwh_are_found_out_by_the_start(charger: Charger) -> None:
    readings = [{"value": "604213", "unit": "kWh"}, {"value": "604331", "unit": "kWh"}]
    assert await charge(charger, readings, start=604_100, stop=604_400) == [604.213, 604.331]
    assert (await record(charger)).energy == 300


@pytest.mark.parametrize("reading", [{"value": "604213", "unit": "kWh"}, {"value": "604.213"}])
async def test_a_long_session_counts_although_other_readings_have_a_wrong_unit(
    charger: Charger, reading: dict[str, str]
) -> None:
    await charge(charger, [reading], start=604_100, stop=604_400)
    identity = await charger.start(meterStart=604_400)
    charger.wait(5 * 3600)
    await charger.stop(identity, meterStop=644_400)
    assert (charger.state()["energy"], charger.state()["session_energy"]) == (644.4, 40)


async def test_another_meter_is_believed_once_it_is_sure(charger: Charger) -> None:
    await charge(charger, [50_100], start=50_000, stop=50_200)
    for reading in (900_000, 900_010, 900_020, 900_030, 900_040):
        charger.wait(60)
        await charger.meter(reading)
    assert charger.state()["energy"] == 50.22  # what lies between the two is nobody's energy


async def test_a_stop_without_register_keeps_what_was_measured(charger: Charger) -> None:
    await charge(charger, [50_100, 50_250], start=50_000, stop=0)
    assert (await record(charger)).energy == 250


async def test_stops_may_bring_the_meter_values_of_the_session(charger: Charger) -> None:
    identity = await charger.start(meterStart=1000)
    await charger.status("Charging")
    began = utc(charger.now)
    charger.wait(1800)
    power = {"value": "7000", **POWER}
    data = [
        {"timestamp": began, "sampledValue": [{"value": "1000", "context": "Transaction.Begin"}]},
        {
            "timestamp": utc(charger.now),
            "sampledValue": [
                {"value": "4500", "context": "Transaction.End"},
                power | {"context": "Transaction.End"},
            ],
        },
    ]
    await charger.stop(identity, meterStop=0, transactionData=data)
    state = charger.state()
    assert (state["status"], state["charging"]) == ("Charging", False)  # it is slow to say so
    assert (state["energy"], state["session_energy"]) == (4.5, 3.5)
    assert state.get("power", 0) == 0
    assert (await record(charger)).energy == 3500


# Power and current.


@pytest.mark.parametrize("status", ["SuspendedEV", "SuspendedEVSE", "Finishing", "Available"])
async def test_power_and_current_fall_to_zero_when_charging_stops(
    charger: Charger, status: str
) -> None:
    identity = await charger.start()
    await charger.status("Charging")
    samples = [
        {"value": "7000", **POWER},
        {"value": "16", "measurand": "Current.Import", "phase": "L1"},
        {"value": "230", "measurand": "Voltage", "phase": "L1"},
        {"value": "32", "measurand": "Current.Offered"},
    ]
    await charger.meter(*samples, transactionId=identity)
    assert charger.state()["power"] == 7000
    charger.wait(1)
    await charger.status(status)
    state = charger.state()
    assert (state["power"], state["current_l1"], state["charging"]) == (0, 0, False)
    assert (state["voltage_l1"], state["current_offered"]) == (230, 32)
    charger.wait(60)
    await charger.meter({"value": "25", **POWER})  # what a meter says afterwards counts
    assert charger.state()["power"] == 25
    await charger.status("Charging")
    await charger.meter({"value": "7000", **POWER}, transactionId=identity)
    assert charger.state()["power"] == 7000


async def test_values_of_a_session_that_is_over_bring_no_power_back(charger: Charger) -> None:
    identity = await charger.start(meterStart=1000)
    await charger.status("Charging")
    await charger.meter(1100, {"value": "7000", **POWER}, transactionId=identity)
    charger.wait(60)
    await charger.stop(identity, meterStop=1200)
    charger.wait(5)
    await charger.meter(1210, {"value": "7000", **POWER}, transactionId=identity)
    state = charger.state()
    assert (state["power"], state["energy"], state["session_active"]) == (0, 1.21, False)
    assert len(await charger.central.sessions.find(Choice())) == 1


async def test_old_values_never_overwrite_newer_ones(charger: Charger) -> None:
    await charger.meter(9000, {"value": "7000", **POWER})
    old: dict[str, Any] = {"timestamp": utc(charger.now - timedelta(minutes=1))}
    old["sampledValue"] = [{"value": "8000"}, {"value": "3000", **POWER}]
    await charger.say("MeterValues", {"connectorId": 1, "meterValue": [old]})
    assert (charger.state()["power"], charger.state()["energy"]) == (7000, 9)


async def test_a_clock_that_is_hours_behind_does_not_make_values_old(charger: Charger) -> None:
    for minute in range(3):
        charger.wait(60)
        stamp = utc(charger.now - timedelta(hours=6))
        values = [{"value": str(7000 + minute), **POWER}]
        moment = {"timestamp": stamp, "sampledValue": values}
        await charger.say("MeterValues", {"connectorId": 1, "meterValue": [moment]})
    assert charger.state()["power"] == 7002


async def test_alfen_dumps_its_history_when_it_connects(charger: Charger) -> None:
    identity = await charger.start(meterStart=90_000)
    await charger.status("Charging")
    await charger.meter(90_100, {"value": "7000", **POWER}, transactionId=identity)
    before = charger.state()
    for quarter in range(200):
        charger.wait(0.05)
        stamp = utc(NOW - timedelta(days=3) + quarter * timedelta(minutes=15))
        values = [{"value": str(70_000 + quarter)}, {"value": "11000", **POWER}]
        moment = {"timestamp": stamp, "sampledValue": values}
        told = {"connectorId": 1, "transactionId": 17, "meterValue": [moment]}
        await charger.say("MeterValues", told)
    assert charger.state() | {"session_duration": 0} == before | {"session_duration": 0}
    assert len(await charger.central.sessions.find(Choice())) == 1


# Sessions.


async def test_what_happens_to_a_session_is_told(charger: Charger) -> None:
    await charger.say("Authorize", {"idTag": "card"})
    identity = await charger.start(meterStart=1000)
    charger.wait(3600)
    await charger.stop(identity, meterStop=8000, reason="EVDisconnected", idTag="card")
    began, ended = NOW, NOW + timedelta(hours=1)
    assert charger.events == [
        TagScanned("garage", None, "card"),
        SessionStarted("garage", 1, identity, "card", began),
        SessionEnded("garage", 1, identity, "card", began, ended, 7000, "EVDisconnected"),
    ]


async def test_a_repeated_start_or_stop_is_told_once(charger: Charger) -> None:
    start: dict[str, Any] = {"meterStart": 0, "timestamp": utc(NOW)}
    identity = await charger.start(**start)
    assert await charger.start(**start) == identity
    for _ in range(2):
        await charger.stop(identity, meterStop=100)
    assert [type(event) for event in charger.events] == [TagScanned, SessionStarted, SessionEnded]


@pytest.mark.parametrize("charges", [False, True])
async def test_a_refused_start_is_a_session_only_if_it_charges_all_the_same(
    open_central: OpenCentral, charges: bool
) -> None:
    charger = Charger(await open_central("list"))
    identity = await charger.start(meterStart=1000)
    assert charger.state() == {}
    if charges:
        await charger.status("Charging")
        await charger.meter(1100, transactionId=identity)
    await charger.stop(identity, meterStop=1200, reason="DeAuthorized")
    assert len(await charger.central.sessions.find(Choice())) == charges
    assert [type(event) for event in charger.events] == [
        TagScanned,
        *([SessionStarted, SessionEnded] if charges else []),
    ]


async def test_a_lost_start_is_made_up_for_by_meter_values(charger: Charger) -> None:
    await charger.status("Charging")
    for reading in (5000, 5100, 5250):
        charger.wait(60)
        await charger.meter(reading, transactionId=77)
    state = charger.state()
    assert (state["session_active"], state["transaction_id"]) == (True, 77)
    assert state["session_energy"] == 0.25
    assert (await record(charger)).transaction_id == 77
    await charger.stop(77, meterStop=5300)
    assert (await record(charger)).energy == 300
    await charger.meter(5300, transactionId=77)
    assert not charger.state()["session_active"]


async def test_a_lost_start_after_a_lost_stop_is_made_up_for(charger: Charger) -> None:
    first = await charger.start(meterStart=1000)
    await charger.status("Charging")
    await charger.meter(1100, transactionId=first)
    charger.wait(3600)
    await charger.meter(5000, transactionId=99)
    charger.wait(60)
    await charger.meter(5100, transactionId=99)
    state = charger.state()
    assert (state["transaction_id"], state["session_energy"]) == (99, 4)  # what flowed unseen, too
    _, old = await charger.central.sessions.find(Choice())
    assert (old.transaction_id, old.energy, old.reason) == (first, 100, "Other")
    await charger.meter(5200, transactionId=first)
    assert charger.state()["transaction_id"] == 99


@pytest.mark.parametrize(
    ("status", "transaction"),
    [("Available", 77), ("Charging", 0), ("Charging", -1), ("Faulted", 7)],
)
async def test_meter_values_that_make_no_session(
    charger: Charger, status: str, transaction: int
) -> None:
    await charger.status(status)
    await charger.meter(5000, transactionId=transaction)
    assert await charger.central.sessions.find(Choice()) == []


async def test_a_session_on_connector_0_belongs_to_its_own_connector(charger: Charger) -> None:
    identity = await charger.start(connector=2, meterStart=5000)
    await charger.meter(5100, connector=0, transactionId=identity)
    assert charger.state(2)["session_energy"] == 0.1
    assert charger.state(0) == {}


async def test_a_session_that_tells_of_itself_is_the_one_that_runs(charger: Charger) -> None:
    first = await charger.start(meterStart=1000)
    await charger.stop(first, meterStop=2000)
    charger.wait(60)
    # Its clock is two hours behind since it has booted.
    stamp = utc(charger.now - timedelta(hours=2))
    second = await charger.start(meterStart=2000, timestamp=stamp)
    await charger.meter(2100, {"value": "7000", **POWER}, transactionId=second)
    state = charger.state()
    assert (state["transaction_id"], state["power"]) == (second, 7000)


async def test_the_charger_itself_is_no_outlet(charger: Charger) -> None:
    await charger.status("Faulted", connector=0, errorCode="GroundFailure", info="wet")
    [state] = charger.central.states.of("garage")
    item = api_item(state)
    assert (item["status"], item["error"], item["info"]) == ("Faulted", "GroundFailure", "wet")
    assert (item["plugged_in"], item["charging"]) == (None, None)
    assert charger.state(0) == {
        "status": "Faulted",
        "error": "GroundFailure",
        "error_info": "wet",
        "available": True,
    }


async def test_two_connectors_know_nothing_of_each_other(charger: Charger) -> None:
    first = await charger.start(connector=1, meterStart=1000)
    second = await charger.start(connector=2, meterStart=9000)
    charger.wait(600)
    await charger.meter(1100, {"value": "3000", **POWER}, connector=1, transactionId=first)
    await charger.meter(9500, {"value": "7000", **POWER}, connector=2, transactionId=second)
    await charger.stop(first, meterStop=1200)
    assert (charger.state(1)["power"], charger.state(2)["power"]) == (0, 7000)
    assert (charger.state(1)["session_energy"], charger.state(2)["session_energy"]) == (0.2, 0.5)


async def test_a_session_whose_stop_is_lost_ends_with_the_next_start(charger: Charger) -> None:
    first = await charger.start(meterStart=1000)
    charger.wait(3600)
    await charger.meter(3000, transactionId=first)
    charger.wait(3600)
    second = await charger.start(meterStart=3500)
    assert charger.state()["transaction_id"] == second
    _, old = await charger.central.sessions.find(Choice())
    assert (old.transaction_id, old.energy, old.reason) == (first, 2000, "Other")
    # It comes after all.
    stop = utc(charger.now - timedelta(minutes=30))
    await charger.stop(first, meterStop=3500, timestamp=stop, reason="Local")
    _, old = await charger.central.sessions.find(Choice())
    assert (old.ended_at, old.energy, old.reason) == (stop, 2500, "Local")
    assert charger.state()["transaction_id"] == second
    assert [type(event) for event in charger.events].count(SessionEnded) == 1


async def test_a_session_of_a_free_connector_ends_after_a_while(charger: Charger) -> None:
    identity = await charger.start(meterStart=1000)
    await charger.status("Charging")
    charger.wait(3600)
    await charger.meter(3000, transactionId=identity)
    await charger.status("Available")
    left = charger.now
    charger.wait(60)
    charger.central.states.tick(charger.now)
    assert charger.state()["session_active"]  # its stop may be on the way
    charger.now = left + STALE
    charger.central.states.tick(charger.now)
    assert not charger.state()["session_active"]
    [session] = await charger.central.sessions.find(Choice())
    assert (session.ended_at, session.energy) == (utc(left), 2000)


async def test_a_session_is_not_given_up_while_energy_flows_in_it(charger: Charger) -> None:
    identity = await charger.start(meterStart=1000)
    await charger.status("Available")  # and it never says anything else
    for reading in range(2000, 12_000, 1000):
        charger.wait(300)
        await charger.meter(reading, transactionId=identity)
        charger.central.states.tick(charger.now)
    assert charger.state()["session_energy"] == 10
    charger.now += STALE
    await charger.meter(11_000, transactionId=identity)
    charger.central.states.tick(charger.now)
    assert not charger.state()["session_active"]


async def test_a_session_that_was_given_up_too_early_goes_on(charger: Charger) -> None:
    identity = await charger.start(meterStart=1000)
    await charger.status("Charging")
    charger.wait(600)
    await charger.meter(3000, transactionId=identity)
    await charger.status("Available")
    charger.now += STALE
    charger.central.states.tick(charger.now)
    assert (await record(charger)).energy == 2000
    await charger.status("Charging")
    await charger.meter(4000, {"value": "7000", **POWER}, transactionId=identity)
    state = charger.state()
    assert (state["session_active"], state["session_energy"], state["power"]) == (True, 3, 7000)
    assert "session_ended" not in state
    assert (await record(charger)).ended_at is None
    await charger.stop(identity, meterStop=4500, reason="Local")
    assert (await record(charger)).energy == 3500
    assert charger.state()["stop_reason"] == "Local"


async def test_what_was_queued_while_offline_keeps_its_times(charger: Charger) -> None:
    began, ended = NOW - timedelta(hours=3), NOW - timedelta(hours=1)
    await charger.status("Available")
    identity = await charger.start(meterStart=1000, timestamp=utc(began))
    await charger.stop(identity, meterStop=9000, timestamp=utc(ended))
    session = await record(charger)
    assert (session.started_at, session.ended_at) == (utc(began), utc(ended))
    assert session.energy == 8000
    state = charger.state()
    assert (state["session_duration"], state["session_energy"], state["energy"]) == (120, 8, 9)
    assert state["status"] == "Available"
    assert not any(isinstance(event, TagScanned) for event in charger.events)


async def test_a_queue_has_its_energy_though_the_meter_was_read_before(charger: Charger) -> None:
    await charger.meter(1000)
    charger.wait(4 * 3600)
    began, ended = charger.now - timedelta(hours=3), charger.now - timedelta(hours=1)
    await charger.meter(9000)  # it is asked for by a person, and comes first
    identity = await charger.start(meterStart=1000, timestamp=utc(began))
    await charger.stop(identity, meterStop=9000, timestamp=utc(ended))
    assert (await record(charger)).energy == 8000
    assert (charger.state()["session_energy"], charger.state()["energy"]) == (8, 9)


async def test_the_energy_of_a_queue_survives_a_crash(open_central: OpenCentral) -> None:
    before = Charger(await open_central())
    await before.meter(9000)
    stamp = utc(before.now - timedelta(hours=1))
    identity = await before.start(meterStart=1000, timestamp=stamp)
    await before.stop(identity, meterStop=9000, timestamp=stamp)
    await before.central._journal.flush()
    after = Charger(await open_central())
    assert after.state()["session_energy"] == 8


async def test_a_stop_alone_tells_of_its_whole_session(charger: Charger) -> None:
    await charger.status("Charging")
    began = charger.now
    charger.wait(3600)
    data = [
        {"timestamp": utc(began), "sampledValue": [{"value": "1000"}]},
        {"timestamp": utc(charger.now), "sampledValue": [{"value": "8000"}]},
    ]
    await charger.stop(77, meterStop=8000, transactionData=data)
    session = await record(charger)
    assert (session.transaction_id, session.energy) == (77, 7000)
    assert (session.started_at, session.ended_at) == (utc(began), utc(charger.now))


async def test_a_queue_without_a_clock_still_has_its_energy(charger: Charger) -> None:
    await charger.meter(1000)
    stamp = "1970-01-01T00:10:00Z"
    identity = await charger.start(meterStart=1000, timestamp=stamp)
    await charger.stop(identity, meterStop=31_000, timestamp=stamp)
    assert (await record(charger)).energy == 30_000
    assert charger.state()["energy"] == 31


async def test_an_older_session_does_not_hide_the_one_that_runs(charger: Charger) -> None:
    running = await charger.start(meterStart=9000)
    stamp = utc(NOW - timedelta(hours=3))
    old = await charger.start(meterStart=1000, timestamp=stamp, idTag="other")
    await charger.stop(old, meterStop=2000, timestamp=utc(NOW - timedelta(hours=2)))
    state = charger.state()
    assert (state["transaction_id"], state["id_tag"]) == (running, "card")
    assert state["session_active"]
    assert len(await charger.central.sessions.find(Choice())) == 2


@pytest.mark.parametrize("told", [-1, 0, None])
async def test_a_charger_that_never_learnt_the_id_stops_all_the_same(
    charger: Charger, told: Any
) -> None:
    await charger.start(meterStart=1000)
    await charger.say("StopTransaction", {"transactionId": told, "meterStop": 1500})
    assert not charger.state()["session_active"]
    assert (await record(charger)).energy == 500


async def test_a_stop_that_cannot_be_noted_is_not_forgotten(
    charger: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = await charger.start(meterStart=1000)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "WAITING_LIMIT", 0)
        with pytest.raises(StorageError):
            await charger.stop(identity, meterStop=1500)
    await charger.stop(identity, meterStop=1500)
    assert (await record(charger)).energy == 500
    assert [type(event) for event in charger.events] == [TagScanned, SessionStarted, SessionEnded]


# Tags.


async def test_a_tag_without_end_is_no_scan(charger: Charger) -> None:
    await charger.say("Authorize", {"idTag": "x" * 100_000})
    assert charger.events == []


async def test_a_tag_that_is_shown_is_told_once(charger: Charger) -> None:
    def scans() -> int:
        return sum(isinstance(event, TagScanned) for event in charger.events)

    await charger.start(connector=2)  # it knows the tag by itself
    assert charger.events[0] == TagScanned("garage", 2, "card")
    charger.wait(1200)
    for _ in range(2):  # a nervous reader
        await charger.say("Authorize", {"idTag": "Card"})
        charger.wait(1)
    assert scans() == 2
    charger.wait(30)
    await charger.start()  # and once more, by which it was shown
    assert scans() == 2
    charger.wait(30)
    await charger.say("Authorize", {"idTag": "card"})
    assert scans() == 3


async def test_a_listener_that_fails_costs_nothing(
    charger: Charger, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Any) -> None:
        raise ValueError(event)

    charger.central.listeners.insert(0, fail)
    identity = await charger.start(meterStart=1000)
    await charger.stop(identity, meterStop=2000)
    assert (await record(charger)).energy == 1000
    assert [type(event) for event in charger.events] == [TagScanned, SessionStarted, SessionEnded]
    assert "has failed" in caplog.text


async def test_a_start_from_afar_is_no_scan(charger: Charger) -> None:
    command = Call("1", "RemoteStartTransaction", {"idTag": "remote", "connectorId": 1})
    whole = ("garage", charger.version, command)
    charger.central.settled(*whole, CallResult("1", {"status": "Accepted"}), charger.now)
    charger.wait(1)
    await charger.say("Authorize", {"idTag": "remote"})
    await charger.start(idTag="remote")
    assert [type(event) for event in charger.events] == [SessionStarted]
    ours = await charger.central.tags.remote()  # it may come before the charger's answer
    await charger.say("Authorize", {"idTag": ours})
    await charger.start(connector=2, idTag=ours)
    assert [type(event) for event in charger.events] == [SessionStarted] * 2


# OCPP 2.x.


async def test_a_session_of_2(charger2: Charger) -> None:
    def register(value: float) -> list[Any]:
        sample = {"value": value, "unitOfMeasure": {"unit": "kWh"}}
        power = {"value": 7.2, "measurand": POWER["measurand"], "unitOfMeasure": {"unit": "kW"}}
        return [{"timestamp": utc(charger2.now), "sampledValue": [sample, power]}]

    await charger2.status("Available", connector=2)
    assert charger2.state(2)["plugged_in"] is False
    await charger2.status("Occupied", connector=2)
    plug: dict[str, Any] = {"evse": {"id": 2, "connectorId": 1}, "meterValue": register(100)}
    await charger2.event("Started", info={"chargingState": "EVConnected"}, **plug)
    state = charger2.state(2)
    assert (state["status"], state["plugged_in"], state["charging"]) == ("Preparing", True, False)
    assert "id_tag" not in state

    charger2.wait(60)
    token = {"idToken": "card", "type": "ISO14443"}
    shown: dict[str, Any] = {"triggerReason": "Authorized", "idToken": token}
    await charger2.event("Updated", **shown, info={"chargingState": "Charging"})
    charger2.wait(600)
    await charger2.event("Updated", meterValue=register(101.5))
    state = charger2.state(2)
    assert (state["status"], state["id_tag"], state["power"]) == ("Charging", "card", 7200)
    assert (state["energy"], state["session_energy"]) == (101.5, 1.5)
    two = charger2.central.states.get("garage", 2)
    assert two is not None
    item = api_item(two)
    assert (item["connector"], item["evse"]) == (2, 2)
    assert item["session"]["energy_wh"] == 1500

    await charger2.event("Updated", info={"chargingState": "SuspendedEV"})
    assert (charger2.state(2)["status"], charger2.state(2)["power"]) == ("SuspendedEV", 0)
    charger2.wait(600)
    ended = {"chargingState": "Idle", "stoppedReason": "EVDisconnected"}
    await charger2.event("Ended", info=ended, meterValue=register(101.6))
    await charger2.status("Available", connector=2)
    state = charger2.state(2)
    assert (state["status"], state["session_active"]) == ("Available", False)
    assert (state["stop_reason"], state["session_energy"], state["power"]) == (
        *("EVDisconnected", 1.6),
        0,
    )
    assert [type(event) for event in charger2.events] == [SessionStarted, TagScanned, SessionEnded]
    assert (await record(charger2)).energy == 1600


async def test_a_lost_start_of_2_is_made_up_for(charger2: Charger) -> None:
    sample = {"timestamp": utc(NOW), "sampledValue": [{"value": 5000}]}
    await charger2.event("Updated", evse={"id": 1}, meterValue=[sample])
    assert charger2.state()["transaction_id"] == "t-1"
    await charger2.event("Ended")
    assert not charger2.state()["session_active"]


async def test_without_evse_the_only_one_is_meant(charger2: Charger) -> None:
    await charger2.status("Occupied")
    await charger2.event("Updated", info={"chargingState": "Charging"})
    assert (charger2.state()["status"], charger2.state()["transaction_id"]) == ("Charging", "t-1")
    await charger2.event("Ended")
    await charger2.status("Available", connector=2)
    await charger2.event("Updated", transaction="t-2", info={"chargingState": "Charging"})
    assert not charger2.state()["session_active"]


async def test_a_session_of_2_may_begin_before_the_plug(charger2: Charger) -> None:
    await charger2.status("Available")
    await charger2.event("Started", evse={"id": 1}, info={"chargingState": "Idle"})
    for _ in range(3):
        charger2.wait(STALE.total_seconds() - 1)
        charger2.central.states.tick(charger2.now)
        assert charger2.state()["session_active"]
        await charger2.event("Updated", info={"chargingState": "Idle"})
    charger2.now += STALE
    charger2.central.states.tick(charger2.now)
    assert not charger2.state()["session_active"]


async def test_a_repeated_event_of_2_begins_nothing_anew(charger2: Charger) -> None:
    for kind in ("Started", "Started", "Ended", "Started", "Ended"):
        await charger2.event(kind, evse={"id": 1})
    assert len(await charger2.central.sessions.find(Choice())) == 1
    assert [type(event) for event in charger2.events] == [SessionStarted, SessionEnded]


async def test_an_absurd_transaction_is_none(charger2: Charger) -> None:
    for odd in ("", "x" * 256):
        await charger2.event("Started", odd, evse={"id": 1})
    assert await charger2.central.sessions.find(Choice()) == []


async def test_an_evse_with_two_connectors_speaks_with_one_voice(charger2: Charger) -> None:
    for part, status, shown in [
        (1, "Available", "Available"),
        (2, "Available", "Available"),
        (1, "Occupied", "Occupied"),
        (2, "Unavailable", "Occupied"),
        (1, "Available", "Available"),
        (2, "Faulted", "Available"),
        (1, "Faulted", "Faulted"),
    ]:
        charger2.wait(1)
        await charger2.status(status, connectorId=part)
        assert charger2.state()["status"] == shown


@pytest.mark.parametrize("versions", [(V16, V201), (V201, V16)])
async def test_a_charger_may_change_its_version(
    central: CentralSystem, versions: tuple[Version, Version]
) -> None:
    before, after = (Charger(central, version) for version in versions)
    await before.status("Unavailable")
    after.wait(60)
    for status in ("Available", "Reserved"):
        await after.status(status)
        assert after.state()["status"] == status
    assert list(central.states.of("garage")[-1].statuses) == [0 if after.version == V16 else 1]


async def test_a_status_may_come_as_a_variable(charger2: Charger) -> None:
    variable = {"name": "AvailabilityState"}
    connector = {"name": "Connector", "evse": {"id": 1, "connectorId": 1}}
    event = {
        "timestamp": utc(charger2.now),
        "trigger": "Delta",
        "actualValue": "Occupied",
        "component": connector,
        "variable": variable,
    }
    await charger2.say("NotifyEvent", {"eventData": [event, event | {"variable": {"name": "X"}}]})
    assert charger2.state()["status"] == "Occupied"
    attributes = [{"type": "Target", "value": "Occupied"}, {"value": "Available"}]
    report = {"component": connector, "variable": variable, "variableAttribute": attributes}
    station = report | {"component": {"name": "ChargingStation"}}
    await charger2.say("NotifyReport", {"reportData": [report, station, {}]})
    assert charger2.state()["status"] == "Available"
    assert charger2.state(0)["status"] == "Available"


# Restarts.


async def test_a_restart_in_a_session_changes_nothing(open_central: OpenCentral) -> None:
    before = Charger(await open_central())
    identity = await before.start(meterStart=1000)
    await before.status("Charging")
    before.wait(60)
    await before.meter(1100, {"value": "7000", **POWER}, transactionId=identity)
    await before.central.close()
    after = Charger(await open_central())
    after.now = before.now
    assert after.state() == before.state()
    after.wait(60)
    await after.meter(1250, transactionId=identity)
    assert (after.state()["energy"], after.state()["session_energy"]) == (1.25, 0.25)
    await after.stop(identity, meterStop=1300)
    assert (await record(after)).energy == 300


async def test_after_a_crash_no_less_energy_is_shown_than_before(
    open_central: OpenCentral,
) -> None:
    before = Charger(await open_central())
    identity = await before.start(meterStart=1000)
    for reading in range(1100, 1500, 100):
        before.wait(60)
        await before.meter(reading, transactionId=identity)
    assert before.state()["energy"] == 1.4
    await before.central._journal.flush()  # what the disk has after some seconds
    after = Charger(await open_central())  # nobody has closed the other
    after.now = before.now
    assert (after.state()["energy"], after.state()["session_energy"]) == (1.5, 0.5)
    for reading, shown in ((1450, 1.5), (1600, 1.6)):
        after.wait(60)
        await after.meter(reading, transactionId=identity)
        state = after.state()
        assert (state["energy"], state["session_energy"]) == (shown, round(shown - 1, 3))
    await after.stop(identity, meterStop=1700)
    assert (await record(after)).energy == 700


async def test_crash_after_crash_shows_no_more_than_one_reserve(open_central: OpenCentral) -> None:
    charger = Charger(await open_central())
    identity = await charger.start(meterStart=1000)
    await charger.meter(1100, transactionId=identity)
    for reading in (1110, 1120, 1130, 1140):
        now = charger.now + timedelta(seconds=SAVE_EVERY)
        charger.central.states.tick(now)
        await charger.central._journal.flush()
        charger = Charger(await open_central())
        charger.now = now
        await charger.meter(reading, transactionId=identity)
        state = charger.state()
        assert state["energy"] <= (reading + RESERVE) / 1000
        assert state["session_energy"] <= (reading - 1000 + RESERVE) / 1000


async def test_a_backup_shows_no_energy_before_the_meter_does(
    open_central: OpenCentral, database: Database
) -> None:
    before = Charger(await open_central())
    await charge(before, [1100, 1200], start=1000, stop=1300)
    await before.central.close()
    database.restored = True
    after = Charger(await open_central())
    after.now = before.now
    assert "energy" not in after.state()
    await after.meter(1900)
    assert after.state()["energy"] == 1.9


async def test_our_own_clock_may_be_set_back(charger: Charger) -> None:
    await charger.status("Available")
    await charger.meter(1000, {"value": "10", **POWER})
    charger.wait(-86_400)  # a Raspberry Pi after a power cut
    await charger.status("Charging")
    await charger.meter(1100, {"value": "7000", **POWER})
    state = charger.state()
    assert (state["status"], state["power"], state["energy"]) == ("Charging", 7000, 1.1)


async def test_what_stands_still_survives_a_crash(open_central: OpenCentral) -> None:
    before = Charger(await open_central())
    await charge(before, [1100, 1200], start=1000, stop=1300)
    for _ in range(2):
        before.wait(SAVE_EVERY)
        before.central.states.tick(before.now)
    await before.central._journal.flush()
    after = Charger(await open_central())
    assert after.state()["energy"] == before.state()["energy"] == 1.3


async def test_meter_values_are_not_written_one_by_one(
    charger: Charger, database: Database
) -> None:
    identity = await charger.start(meterStart=1000)
    await charger.meter(1001, transactionId=identity)
    await charger.central._journal.flush()
    await database.write("DELETE FROM states")
    for reading in range(1002, 1480, 20):
        charger.wait(10)
        await charger.meter(reading, transactionId=identity)
        await charger.central._journal.flush()
    assert await database.read("SELECT * FROM states") == []
    charger.central.states.tick(charger.now)
    await charger.central._journal.flush()
    assert len(await database.read("SELECT * FROM states")) == 1


@pytest.mark.parametrize("version", [V16, V201])
async def test_what_chargers_repeat_is_not_written_again(
    central: CentralSystem, database: Database, version: Version
) -> None:
    charger = Charger(central, version)

    async def repeat(reading: int) -> None:
        if version == V16:
            await charger.meter(reading, transactionId=identity)
            await charger.status("Charging")
        else:
            moment = {"timestamp": utc(charger.now), "sampledValue": [{"value": reading}]}
            info = {"chargingState": "Charging"}
            await charger.event("Updated", evse={"id": 1}, info=info, meterValue=[moment])

    if version == V16:
        identity = await charger.start(meterStart=1000)
    else:
        await charger.event("Started", evse={"id": 1})
    await repeat(1001)
    await repeat(1002)
    await central._journal.flush()
    await database.write("DELETE FROM states")
    for reading in range(1003, 1480, 20):
        charger.wait(10)
        await repeat(reading)
        await central._journal.flush()
    assert await database.read("SELECT * FROM states") == []
    await charger.status("Available" if version != V16 else "SuspendedEV")
    await central._journal.flush()
    assert len(await database.read("SELECT * FROM states")) == 1


async def test_sessions_of_an_older_layout_go_on(tmp_path: Any) -> None:
    path = tmp_path / "gateway.db"
    old = await Database.open(
        path,
        [
            "CREATE TABLE IF NOT EXISTS sessions"
            " (number INTEGER PRIMARY KEY, charger_id TEXT NOT NULL, transaction_id NOT NULL,"
            " connector INTEGER, tag TEXT, meter_start INTEGER, meter_stop INTEGER,"
            " started_at TEXT NOT NULL, ended_at TEXT, reason TEXT, fingerprint TEXT)"
        ],
    )
    row = "INSERT INTO sessions VALUES (?, 'garage', ?, 1, 'card', 1000, ?, ?, ?, ?, NULL)"
    began = utc(NOW - timedelta(hours=1))
    await old.write(
        row, 1, 5, 3000, "2026-11-01T00:00:00.000Z", "2026-11-01T01:00:00.000Z", "Local"
    )
    await old.write(row, 2, 6, None, began, None, None)
    await old.close()
    database = await Database.open(path, CentralSystem.TABLES)
    charger = Charger(
        await CentralSystem.open(database, tag_policy="accept", heartbeat_interval=300)
    )
    assert (charger.state()["session_active"], charger.state()["transaction_id"]) == (True, 6)
    await charger.stop(6, meterStop=4000)
    assert [one.energy for one in await charger.central.sessions.find(Choice())] == [3000, 2000]
    await charger.central.close()
    await database.close()


async def test_forgotten_is_forgotten(open_central: OpenCentral) -> None:
    charger = Charger(await open_central())
    await charger.start(meterStart=1000)
    await charger.status("Charging")
    charger.central.forget("garage")
    assert charger.state() == {}
    await charger.central.close()
    assert (await record(charger)).ended_at is not None
    assert (await open_central()).states.of("garage") == []
