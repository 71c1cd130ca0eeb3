"""Secrets stay where they belong: they are looked for in all that leaves the gateway."""

import asyncio
import logging
from pathlib import Path

import aiohttp
import pytest

from tests.support.patience import until
from tests.support.stand import basic, stand

PASSWORD, WRONG = "secret-of-the-charger", "secret-that-is-wrong"
KEY, FTP = "6b65792d6f662d7468652d63686172676572", "secret-of-the-ftp-server"
PAGES = ("", "connect", "sessions", "tags", "charger?id=CP1", "messages?charger=CP1")
API = ("api/chargers", "api/chargers/CP1/messages", "api/attempts", "health", "metrics")


async def test_secrets_are_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    async with (
        stand(tmp_path, unknown_chargers="ask") as one,
        aiohttp.ClientSession() as session,
        session.ws_connect(one.api + "api/live") as live,
        session.ws_connect(one.api + "api/live?view=messages") as page,
    ):
        await one.request("PUT", "api/chargers/CP1", {"password": PASSWORD})
        with pytest.raises(Exception, match="401"):
            async with one.charger("CP1", WRONG):
                pass
        async with session.get(
            f"http://127.0.0.1:{one.port}/ocpp/CP1",
            headers={"Authorization": basic("CP1", WRONG), "Upgrade": "websocket"},
        ):
            pass
        async with one.charger("CP1", PASSWORD) as charger:
            await charger.boot()
            for action, payload, answer in (
                (
                    "ChangeConfiguration",
                    {"key": "AuthorizationKey", "value": KEY},
                    {"status": "Accepted"},
                ),
                ("GetDiagnostics", {"location": f"ftp://user:{FTP}@nas/logs"}, {}),
                (
                    "UpdateFirmware",
                    {"location": f"ftp://user:{FTP}@nas/fw", "retrieveDate": "2030-01-01"},
                    {},
                ),
            ):
                body = {"action": action, "payload": payload}
                asking = asyncio.create_task(one.request("POST", "api/chargers/CP1/call", body))
                unique_id = (await charger.receive())[1]
                await charger.send([3, unique_id, answer])
                assert (await asking)[1] == {"result": answer}
            await until(lambda: "next_password" in one.gateway.credentials.settings("CP1"))
            for path in (*PAGES, *API):
                async with session.get(one.api + path) as response:
                    told.append(await response.text())
            await charger.call("Heartbeat", unique_id="last")
            for viewer in (live, page):
                while "last" not in (text := await viewer.receive_str()):
                    told.append(text)
        told += [seen.payload.decode() for seen in one.watch.seen]
    told += [record.getMessage() for record in caplog.records]
    told += [file.read_bytes().decode("latin-1") for file in tmp_path.iterdir()]
    everything = "\n".join(told)
    assert "UpdateFirmware" in everything and "CP1" in everything
    for secret in (PASSWORD, WRONG, KEY, bytes.fromhex(KEY).decode(), FTP):
        assert secret not in everything
