"""A house with all that the pages can show: chargers in each state, messages, tags and sessions."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ocpp_addon.text import utc
from tests.browser.conftest import Home
from tests.support.patience import until
from tests.support.stand import Charger

PAGES = {
    "overview": "",
    "connect": "connect",
    "charger": "charger?id=garage",
    "messages": "messages?charger=garage",
    "call": "call?charger=garage&action=SetChargingProfile",
    "sessions": "sessions",
    "tags": "tags",
    "error": "charger?id=nobody",
}


def _yesterday(folder: Path) -> None:
    """Write what a charger measured in the night."""
    now = datetime.now(UTC).timestamp()
    with closing(sqlite3.connect(folder / "gateway.sqlite3")) as database, database:
        for minute in range(1100):
            hours = minute / 60
            power = 11040 * min(1, max(0, 9 - hours) * 4) * (hours > 4) if hours < 9 else 0
            energy = 40000 + 11040 * max(0, min(hours, 9) - 4)
            point = ("garage", now - 60 * (1100 - minute), power, energy)
            database.execute("INSERT INTO points VALUES (?, ?, ?, ?)", point)


@asynccontextmanager
async def lived_in(home: Home) -> AsyncIterator[None]:
    """Fill a house with life."""
    await asyncio.to_thread(_yesterday, home.stand.folder)
    for charger_id, password in (("garage", "garage-password-1"), ("carport", None)):
        body = {"password": password}
        await home.stand.request("PUT", f"api/chargers/{charger_id}", body)
    await home.stand.request("PUT", "api/chargers/holiday-home", {"password": None})
    await home.stand.request("PUT", "api/tags/04A2B3C4D5", {"name": "Anna"})
    await home.stand.request("PUT", "api/tags/SIMULATED", {"name": "Tom"})
    await home.stand.request("PUT", "api/tags/LOST", {"name": "Lost card", "status": "Blocked"})
    home.simulate("garage", password="garage-password-1", charge=True)
    async with home.stand.charger("carport") as carport, home.stand.charger("new-charger") as new:
        await _introduce(carport, "Grizzl-E", "Classic")
        await _charge(carport, "04A2B3C4D5", 1000, 8432)
        await _charge(carport, "04FFEE", 8432, 21077)
        fault = {"connectorId": 1, "errorCode": "GroundFailure", "status": "Faulted"}
        await carport.call("StatusNotification", fault | {"info": "Check the RCD"})
        await carport.send('[2,"r1","StatusNotification",{"connectorId":2,"errorCode":"NoError",')
        await carport.send('[2,"r2","StatusNotification",{"connectorId":2,"status":"Free"}')
        for _ in range(2):
            await carport.receive()
        plugged = {"connectorId": 2, "errorCode": "NoError", "status": "Preparing"}
        await carport.call("StatusNotification", plugged)
        await _introduce(new, "Alfen", "NG910", serial="ACE0123456")
        await _fail(home)
        sessions = "ocpp/cp/garage/MeterValues"
        await until(lambda: len(home.stand.watch.on(sessions)) > 3)
        await _began_earlier(home)
        read = {"action": "GetConfiguration", "payload": {}}
        await home.stand.request("POST", "api/chargers/garage/call", read)
        yield


async def _began_earlier(home: Home) -> None:
    """Let what runs in the garage have begun an hour ago: nobody waits for a picture that long."""
    state = home.stand.gateway.management._home.states.get("garage", 1)
    assert state is not None and state.run is not None
    state.run.started_at -= timedelta(minutes=73)
    began = utc(state.run.started_at)
    with closing(sqlite3.connect(home.stand.folder / "gateway.sqlite3")) as database, database:
        database.execute("UPDATE sessions SET started_at = ? WHERE charger_id = 'garage'", [began])


async def _introduce(charger: Charger, vendor: str, model: str, serial: str = "0815") -> None:
    boot = {"chargePointVendor": vendor, "chargePointModel": model, "firmwareVersion": "7.1.0"}
    await charger.call("BootNotification", boot | {"chargePointSerialNumber": serial})
    state = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    await charger.call("StatusNotification", state)


async def _charge(charger: Charger, tag: str, begin: int, end: int) -> None:
    start = {"connectorId": 1, "idTag": tag, "meterStart": begin}
    start["timestamp"] = "2026-11-24T17:00:00Z"
    [_, _, started] = await charger.call("StartTransaction", start)
    stop = {"transactionId": started["transactionId"], "meterStop": end, "reason": "EVDisconnected"}
    stop["timestamp"] = "2026-11-24T19:12:00Z"
    await charger.call("StopTransaction", stop)


async def _fail(home: Home) -> None:
    """Knock as chargers do that are set up wrongly."""
    client_hello = bytes.fromhex("16030100a5010000a10303")
    for knock in (client_hello, b"GET /ocpp/garage HTTP/1.1\r\n"):
        _, writer = await asyncio.open_connection("127.0.0.1", home.stand.port)
        writer.write(knock + b"Host: x\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
    await until(lambda: len(json.dumps(home.stand.gateway.management.attempts())) > 100)
