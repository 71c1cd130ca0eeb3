"""The endpoint as time goes by, and as it does not."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon.bridge import Bridge
from ocpp_addon.endpoint import channel, server
from ocpp_addon.endpoint import connection as module
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


async def test_whoever_we_do_not_read_is_not_dropped_for_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKLOG_LIMIT", 2)
    async with stand(tmp_path, ping_interval=0.3) as one, one.charger("CP1") as charger:
        connection = one.gateway.roster.connection("CP1")
        assert connection is not None
        await asyncio.sleep(1)  # it has answered a ping, so pongs are expected from now on
        publish, gone_on = Bridge.publish, asyncio.Event()

        async def publish_slowly(*arguments: Any) -> None:
            await gone_on.wait()
            await publish(*arguments)

        monkeypatch.setattr(Bridge, "publish", publish_slowly)
        for number in range(8):
            await charger.send([2, str(number), "Heartbeat", {}])
        await asyncio.sleep(2)
        gone_on.set()
        for number in range(8):
            assert (await charger.receive())[1] == str(number)
        assert one.gateway.roster.connection("CP1") is connection


async def test_little_waits_for_a_charger_that_does_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand(tmp_path) as one, wire(one.port):
        connection = one.gateway.roster.connection("CP1")
        assert connection is not None
        data = "x" * 60_000
        large = {"MessageTypeId": 3, "UniqueId": "x", "Payload": {"data": data}}
        async with asyncio.timeout(60):
            while "an answer from MQTT is dropped" not in caplog.text:
                await one.watch.publish("ocpp/cp/CP1/Reply/x", large)
        for _ in range(20):
            await one.watch.publish("ocpp/cp/CP1/Reply/x", large)
        assert connection._forwarding < module.FORWARD_LIMIT + 2 * len(data)
        buffered = connection._channel._transport.get_write_buffer_size()
        assert buffered < channel.UNREAD_LIMIT + 2 * len(data)
