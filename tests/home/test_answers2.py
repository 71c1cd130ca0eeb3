"""TransactionEvents of OCPP 2.x in the odd ways in which they come."""

from datetime import timedelta
from typing import Any

import pytest

from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.events import SessionEnded, SessionStarted
from ocpp_addon.home.sessions import Choice, Record
from ocpp_addon.ocpp.version import V201
from ocpp_addon.text import utc
from tests.home.charger import Charger

EVSE: dict[str, Any] = {"evse": {"id": 1, "connectorId": 1}}
TOKEN: dict[str, Any] = {"idToken": {"idToken": "card", "type": "ISO14443"}}
CHARGING = {"chargingState": "Charging"}


@pytest.fixture
def charger(central: CentralSystem) -> Charger:
    return Charger(central, V201)


async def records(charger: Charger) -> list[Record]:
    return await charger.central.sessions.find(Choice())


def register(charger: Charger, wh: float, context: str = "Sample.Periodic") -> list[Any]:
    sampled = {"value": wh, "context": context}
    return [{"timestamp": utc(charger.now), "sampledValue": [sampled]}]


@pytest.mark.parametrize("state", ["Charging", "SuspendedEV", "EVConnected"])
async def test_the_plug_may_be_told_before_the_end(charger: Charger, state: str) -> None:
    await charger.status("Occupied")
    await charger.event("Started", info={"chargingState": state}, **EVSE, **TOKEN)
    assert charger.state()["plugged_in"]
    charger.wait(60)
    await charger.status("Available")
    charger.wait(1)
    await charger.event("Ended", info={"stoppedReason": "EVDisconnected"})
    shown = charger.state()
    assert (shown["status"], shown["plugged_in"], shown["charging"]) == ("Available", False, False)


async def test_what_happened_offline_is_not_the_present(charger: Charger) -> None:
    await charger.status("Available")  # it says so before it empties its queue
    now = charger.now
    charger.now = now - timedelta(hours=3)
    shown = []
    for kind, info, wh in (
        ("Started", {"chargingState": "EVConnected"}, 1000),
        ("Updated", CHARGING, 5000),
        ("Ended", {"stoppedReason": "EVDisconnected"}, 9000),
    ):
        stamp, values = utc(charger.now), register(charger, wh)
        elapsed, charger.now = charger.now, now
        told: dict[str, Any] = {"timestamp": stamp, "offline": True, "meterValue": values}
        await charger.event(kind, info=info, **told, **EVSE, **TOKEN)
        shown.append((charger.state()["status"], charger.state()["plugged_in"]))
        charger.now = elapsed + timedelta(hours=1)
    charger.now = now
    assert shown == [("Available", False)] * 3
    [one] = await records(charger)
    assert (one.started_at, one.ended_at) == (
        utc(now - timedelta(hours=3)),
        utc(now - timedelta(hours=1)),
    )
    assert (one.energy, one.tag) == (8000, "card")
    assert charger.state()["session_energy"] == 8


async def test_a_running_session_is_taken_from_the_queue(charger: Charger) -> None:
    await charger.status("Occupied")
    stamp = utc(charger.now - timedelta(hours=1))
    for kind, info in (("Started", {"chargingState": "EVConnected"}), ("Updated", CHARGING)):
        await charger.event(kind, info=info, timestamp=stamp, offline=True, **EVSE)
    assert (charger.state()["status"], charger.state()["session_active"]) == ("Charging", True)


async def test_an_update_may_come_before_its_start(charger: Charger) -> None:
    await charger.status("Occupied")
    began = charger.now
    charger.wait(60)
    values = register(charger, 1200)
    await charger.event("Updated", info=CHARGING, meterValue=values, **EVSE, **TOKEN)
    assert charger.state()["id_tag"] == "card"
    start: dict[str, Any] = {"timestamp": utc(began)}
    start["meterValue"] = register(charger, 1000, "Transaction.Begin")
    await charger.event("Started", **start, **EVSE)
    assert charger.state()["session_started"] == utc(began)
    charger.wait(600)
    await charger.event("Ended", meterValue=register(charger, 3000, "Transaction.End"))
    [one] = await records(charger)
    assert (one.started_at, one.energy, one.tag) == (utc(began), 2000, "card")
    assert charger.state()["session_energy"] == 2
    kinds = [type(event) for event in charger.events]
    assert (kinds.count(SessionStarted), kinds.count(SessionEnded)) == (1, 1)


async def test_a_start_without_evse_belongs_to_the_only_one(charger: Charger) -> None:
    await charger.status("Occupied")
    await charger.event("Started", **TOKEN)
    assert charger.state()["session_active"]
    await charger.event("Ended")
    [one] = await records(charger)
    assert (one.connector, one.tag) == (1, "card")


async def test_a_start_without_evse_finds_it_later(charger: Charger) -> None:
    await charger.event("Started", **TOKEN)
    await charger.status("Occupied")
    await charger.status("Available", connector=2)
    await charger.event("Updated", info=CHARGING, meterValue=register(charger, 100), **EVSE)
    shown = charger.state()
    assert (shown["session_active"], shown["status"], shown["id_tag"]) == (True, "Charging", "card")


async def test_a_start_told_again_by_a_clock_that_was_found_wrong_is_none(charger: Charger) -> None:
    wrong = timedelta(hours=3)
    start: dict[str, Any] = {"timestamp": utc(charger.now - wrong), **EVSE, **TOKEN}
    await charger.event("Started", **start)
    for kind in ("Updated", "Updated", "Ended"):
        charger.wait(60)
        await charger.event(kind, timestamp=utc(charger.now - wrong))
    await charger.event("Started", **start)
    assert len(await records(charger)) == 1
    assert not charger.state()["session_active"]
