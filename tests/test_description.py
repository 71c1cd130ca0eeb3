"""The description of the HTTP API, held against a gateway that has something to tell."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator

from ocpp_addon.text import utc
from tests.support.patience import until
from tests.support.stand import Stand, stand
from tests.test_live import charging


async def ask(one: Stand, path: str) -> Any:
    """Return what the API tells, as JSON where it is that."""
    async with aiohttp.ClientSession() as session, session.get(one.api + path) as response:
        assert response.status == 200, path
        is_json = response.content_type == "application/json"
        return await (response.json() if is_json else response.text())


async def test_every_answer_is_as_described(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        for charger_id in ("CP1", "CP2"):
            body = {"password": None}
            assert (await one.request("PUT", f"api/chargers/{charger_id}", body))[0] == 200
        await one.request("PUT", "api/tags/listed", {"name": "Anna", "expiry": "2030-01-01"})
        await charging(one)
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Charging"}
        start = {"connectorId": 1, "idTag": "card", "meterStart": 5}
        now = start["timestamp"] = utc(datetime.now(UTC))
        async with one.charger("CP1") as charger, one.charger("waits") as waiting:
            await waiting.boot()
            await charger.boot()
            await charger.call("StatusNotification", status)
            [_, _, started] = await charger.call("StartTransaction", start)
            values = [{"value": "7360", "measurand": "Power.Active.Import", "unit": "W"}]
            meter = [{"timestamp": now, "sampledValue": values}]
            meters = {"connectorId": 1, "transactionId": started["transactionId"]}
            await charger.call("MeterValues", meters | {"meterValue": meter})
            await charger.send('[2,"odd","Heartbeat",{}')
            await charger.receive()
            async with aiohttp.ClientSession() as session:
                await session.get(f"http://127.0.0.1:{one.port}/ocpp/CP1")
            document = await ask(one, "api/openapi.json")
            for path, methods in document["paths"].items():
                if "get" not in methods or path == "/api/live":
                    continue
                known = "listed" if path.startswith("/api/tags/") else "CP1"
                found = await ask(one, path[1:].replace("{id}", known))
                contents = methods["get"]["responses"]["200"]["content"]
                content = contents.get("application/json") or next(iter(contents.values()))
                schema = content["schema"] | {"components": document["components"]}
                Draft202012Validator(schema).validate(found)
                assert found, path
            [connector] = (await ask(one, "api/chargers/CP1"))["connectors"]
            assert connector["power"] == 7360
            assert connector["session"]["transaction_id"] == started["transactionId"]
            [frame] = [
                one for one in await ask(one, "api/chargers/CP1/messages") if one["repaired"]
            ]
            assert frame["action"] == "Heartbeat"
        await until(lambda: not one.gateway.roster.connections)
