"""Values that pass for valid and break what shows them: every page must survive them."""

import asyncio
import json
from pathlib import Path

import aiohttp

from tests.support.patience import until
from tests.support.stand import stand

ODD = "x\ud800\u202e"  # half a character, and one that turns the text around
PATHS = (
    *("", "connect", "sessions", "tags", "charger?id=CP1", "messages?charger=CP1"),
    *("call?charger=CP1&action=Reset", "messages.jsonl?charger=CP1", "api/chargers", "api/tags"),
    *("api/chargers/CP1/messages", "api/sessions", "api/sessions?format=csv", "metrics"),
)


async def test_pages_survive_what_chargers_say(tmp_path: Path) -> None:
    async with (
        stand(tmp_path) as one,
        aiohttp.ClientSession() as session,
        session.ws_connect(one.api + "api/live?view=messages&charger=CP1") as live,
        one.charger("CP1") as charger,
    ):
        start = {"connectorId": 1, "meterStart": 10**30, "timestamp": "2026-11-25T14:00:00Z"}
        values = [{"value": "1e308"}, {"value": ODD, "measurand": ODD}, {"value": "-0"}]
        meter = [{"timestamp": "222222017-10-27T19:10:11Z", "sampledValue": values}]
        for action, payload in (
            ("BootNotification", {"chargePointVendor": ODD, "chargePointModel": ODD}),
            ("Authorize", {"idTag": ODD}),
            (
                "StatusNotification",
                {"connectorId": 1, "errorCode": ODD, "status": ODD, "info": ODD},
            ),
            ("StatusNotification", {"connectorId": 2**63, "errorCode": "X", "status": "Y"}),
            ("StartTransaction", start | {"idTag": ODD}),
            ("MeterValues", {"connectorId": 2**63, "meterValue": meter}),
            ("MeterValues", {"connectorId": 1, "meterValue": meter}),
            (ODD, {ODD: ODD}),
        ):
            await charger.call(action, payload)
        await charger.send([4, ODD, ODD, ODD, {ODD: 1}])
        await charger.send([3, ODD, {ODD: 1}])
        history = one.gateway.roster.history("CP1")
        assert history is not None
        for text in (
            "no JSON",
            "ping",
            json.dumps([2, "1", "DataTransfer", {"data": "x" * 20_000}]),
        ):
            await charger.send(text)
        await until(lambda: len(history.entries) == 22)
        for path in PATHS:
            async with session.get(one.api + path, headers={"Accept": "text/html"}) as response:
                assert response.status == 200, path
                await response.text()
        async with asyncio.timeout(20):
            for _ in range(22):
                assert "frame-" in await live.receive_str()
        assert (await one.request("GET", "health"))[1]["problems"] == []
