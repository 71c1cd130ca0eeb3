"""The endpoint as time goes by, and as it does not."""

import asyncio
import time
from pathlib import Path

import pytest

from ocpp_addon.endpoint import server
from tests.support.stand import stand
from tests.support.wire import PING, PONG, wire


async def test_a_host_that_stood_still_drops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FROZEN_AFTER", 1.0)
    async with stand(tmp_path, ping_interval=0.5) as one, wire(one.port) as charger:

        async def answer_ping() -> None:
            kind, payload = await charger.receive()
            assert kind == PING
            await charger.send(payload, PONG)

        await answer_ping()
        await asyncio.sleep(0.1)
        time.sleep(2)  # noqa: ASYNC251 - nothing runs, neither gateway nor charger
        for _ in range(4):
            await answer_ping()
        assert one.gateway.roster.connection("CP1") is not None
