"""What happens at a charger reaches viewers of the HTTP API, through all rooms."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.patience import PATIENCE
from tests.support.stand import Stand, stand

KEY = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"


async def heard(viewer: aiohttp.ClientWebSocketResponse, **wanted: Any) -> dict[str, Any]:
    """Return the next event with these fields."""
    async with asyncio.timeout(PATIENCE):
        while True:
            event: dict[str, Any] = json.loads(await viewer.receive_str())
            if wanted.items() <= event.items():
                return event


async def charging(one: Stand) -> None:
    """Let a charger charge for 1.5 kWh."""
    async with one.charger("CP1") as charger:
        await charger.boot()
        start = {"connectorId": 1, "idTag": "card", "meterStart": 100}
        start["timestamp"] = "2026-11-24T17:00:00Z"
        [_, _, started] = await charger.call("StartTransaction", start)
        stop = {"transactionId": started["transactionId"], "meterStop": 1600}
        stop["timestamp"] = "2026-11-24T18:00:00Z"
        await charger.call("StopTransaction", stop)


async def test_frames_states_and_refusals_are_seen_live(tmp_path: Path) -> None:
    async with (
        stand(tmp_path) as one,
        aiohttp.ClientSession() as session,
        session.ws_connect(one.api + "api/live") as viewer,
    ):
        await heard(viewer, event="health")
        async with one.charger("CP1") as charger:
            await charger.boot()
            seen = await heard(viewer, event="message", charger="CP1")
            assert seen["message"]["action"] == "BootNotification"
            answer = await heard(viewer, event="message", charger="CP1")
            assert answer["message"]["direction"] == "sent"
            assert answer["message"]["latency_ms"] >= 0
            shown = await heard(viewer, event="charger")
            assert (shown["charger"]["id"], shown["charger"]["vendor"]) == ("CP1", "vendor1")
            change = {"key": "AuthorizationKey", "value": KEY}
            body = {"action": "ChangeConfiguration", "payload": change}
            asking = asyncio.create_task(one.request("POST", "api/chargers/CP1/call", body))
            seen = await heard(viewer, event="message", charger="CP1")
            assert seen["message"]["action"] == "ChangeConfiguration"
            assert KEY not in str(seen)
            unique_id = (await charger.receive())[1]
            await charger.send([3, unique_id, {"status": "Accepted"}])
            assert (await asking)[1] == {"result": {"status": "Accepted"}}
        while (await heard(viewer, event="charger"))["charger"]["connected"]:
            pass
        async with session.get(f"http://127.0.0.1:{one.port}/ocpp/CP1"):
            pass
        attempt = (await heard(viewer, event="attempt"))["attempt"]
        assert attempt["code"] == "not_a_websocket"


async def test_sessions_are_found(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        await charging(one)
        status, [session] = await one.request("GET", "api/sessions?month=2026-11&tag=CARD")
        assert status == 200
        assert (session["charger"], session["energy_wh"]) == ("CP1", 1500)
        totals = {"sessions": 1, "energy_wh": 1500, "hours": 1.0}
        assert await one.request("GET", "api/sessions/totals?charger=CP1") == (200, totals)
        assert await one.request("GET", "api/sessions?charger=CP2") == (200, [])


async def test_the_moment_is_the_last_sample(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        await charging(one)
        home = one.gateway.management._home
        home.plot.note(datetime.now(UTC))
        begin = datetime.now(UTC) - timedelta(hours=1)
        [noted, now] = await one.gateway.management.samples("CP1", begin, None)
        assert (noted.energy, now.energy) == (1600, 1600) and noted.at < now.at
        until = datetime.now(UTC)
        assert await one.gateway.management.samples("CP1", begin, until) == [noted]
