"""What is known of each charger."""

from datetime import datetime
from typing import Any

import pytest

from ocpp_addon.database import Database
from ocpp_addon.home import chargers as module
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.chargers import ChargerFacts
from ocpp_addon.ocpp.messages import Call, CallError, CallResult
from ocpp_addon.ocpp.version import V16, V201, Version
from tests.home.conftest import NOW, OpenCentral

BOOT = {
    "chargePointVendor": "Alfen",
    "chargePointModel": "Eve\u202e",
    "chargeBoxSerialNumber": "box",
    "firmwareVersion": "6.0",
}


def tell(
    central: CentralSystem,
    action: str,
    payload: dict[str, Any],
    *,
    version: Version = V16,
    now: datetime = NOW,
    pending: bool = False,
    charger_id: str = "garage",
) -> Call:
    call = Call("1", action, payload)
    central.received(charger_id, version, call, now, pending=pending)
    return call


async def test_a_stranger_is_unknown(central: CentralSystem) -> None:
    assert central.charger("nobody") == ChargerFacts()


async def test_boot_of_16(central: CentralSystem) -> None:
    tell(central, "BootNotification", BOOT)
    facts = central.charger("garage")
    assert (facts.vendor, facts.model) == ("Alfen", "Eve\\u202e")
    assert (facts.serial, facts.firmware) == ("box", "6.0")
    tell(central, "BootNotification", BOOT | {"chargePointSerialNumber": "point"})
    assert central.charger("garage").serial == "point"


async def test_boot_of_2(central: CentralSystem) -> None:
    station = {
        "vendorName": "ABB",
        "model": "Terra",
        "serialNumber": "42",
        "firmwareVersion": "1.2",
    }
    payload = {"reason": "PowerUp", "chargingStation": station}
    tell(central, "BootNotification", payload, version=V201)
    facts = central.charger("garage")
    assert (facts.vendor, facts.model) == ("ABB", "Terra")
    assert (facts.serial, facts.firmware) == ("42", "1.2")


async def test_acceptance_is_what_the_charger_was_answered(central: CentralSystem) -> None:
    call = tell(central, "BootNotification", BOOT)
    assert not central.charger("garage").boot_accepted
    answers: list[tuple[CallResult | CallError, bool]] = [
        (CallResult("1", {"status": "Accepted"}), True),
        (CallError("1", "InternalError"), True),  # says nothing
        (CallResult("1", {"status": "Pending"}), False),
        (CallResult("1", {}), False),
    ]
    for response, accepted in answers:
        central.answered("garage", V16, call, response, NOW)
        assert central.charger("garage").boot_accepted == accepted


async def test_facts_survive_a_restart(open_central: OpenCentral) -> None:
    first = await open_central()
    call = tell(first, "BootNotification", BOOT)
    first.answered("garage", V16, call, CallResult("1", {"status": "Accepted"}), NOW)
    tell(first, "BootNotification", BOOT, charger_id="yard")
    first.seen("garage", NOW)
    await first.close()
    second = await open_central()
    assert second.charger("garage") == first.charger("garage")
    assert second.charger("garage").boot_accepted
    assert second.charger("garage").last_seen == NOW

    second.forget("garage")
    assert second.charger("garage") == ChargerFacts()
    await second.close()
    third = await open_central()
    assert third.charger("garage") == ChargerFacts()
    assert third.charger("yard").vendor == "Alfen"


async def test_only_changes_are_written(central: CentralSystem, database: Database) -> None:
    tell(central, "BootNotification", BOOT)
    await central.close()
    await database.write("DELETE FROM chargers")
    for _ in range(3):
        tell(central, "BootNotification", BOOT)
        tell(central, "Heartbeat", {})
        tell(central, "MeterValues", {"connectorId": 1, "meterValue": []})
    await central.close()
    assert await database.read("SELECT * FROM chargers") == []
    tell(central, "BootNotification", BOOT | {"firmwareVersion": "6.1"})
    await central.close()
    assert len(await database.read("SELECT * FROM chargers")) == 1


async def test_a_pending_charger_is_shown_but_not_stored(
    open_central: OpenCentral, central: CentralSystem
) -> None:
    tell(central, "BootNotification", BOOT, pending=True)
    assert central.charger("garage").vendor == "Alfen"
    await central.close()
    assert (await open_central()).charger("garage") == ChargerFacts()

    tell(central, "BootNotification", BOOT)  # once more, and approved
    await central.close()
    assert (await open_central()).charger("garage").vendor == "Alfen"


async def test_chargers_are_bounded(
    open_central: OpenCentral, central: CentralSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHARGER_LIMIT", 3)
    for number in range(5):
        tell(central, "BootNotification", BOOT, charger_id=f"charger {number}")
    await central.close()
    for opened in (central, await open_central()):
        known = [n for n in range(5) if opened.charger(f"charger {n}").vendor]
        assert known == [2, 3, 4]


async def test_strangers_push_no_known_charger_out(
    central: CentralSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHARGER_LIMIT", 3)
    tell(central, "BootNotification", BOOT)
    for number in range(5):
        tell(central, "BootNotification", BOOT, charger_id=f"stranger {number}", pending=True)
    assert central.charger("garage").vendor == "Alfen"


async def test_unreadable_rows_are_passed_over(
    open_central: OpenCentral, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for charger_id, facts in [("a", "{"), ("b", "[]"), ("c", "{}"), ("d", "null")]:
        await database.write("INSERT INTO chargers VALUES (?, ?)", charger_id, facts)
    central = await open_central()
    assert central.charger("a") == ChargerFacts()
    assert len(caplog.records) == 4
