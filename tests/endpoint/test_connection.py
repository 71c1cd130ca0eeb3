"""What a connection tells in the log, and how it ends."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from ocpp_addon.endpoint import channel, connection
from tests.support.stand import stand
from tests.support.wire import wire


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_each_frame_is_a_line_only_when_debugging(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    caplog.set_level(level)
    async with stand(tmp_path) as one, wire(one.port) as charger:
        data = "line\nbreak \u202e" + "x" * 10_000
        frame = [2, "1", "DataTransfer", {"vendorId": "v", "password": "hidden", "data": data}]
        await charger.send(json.dumps(frame))
        await charger.expect_text()
    lines = [record.getMessage() for record in caplog.records if record.name == connection.__name__]
    if level == logging.INFO:
        assert lines == []
        return
    received, sent = lines
    assert received.startswith('CP1 received: [2,"1","DataTransfer",{"vendorId":"v","password":"•')
    assert "hidden" not in received
    assert "\n" not in received and "\u202e" not in received
    assert len(received) < connection.LONGEST_LOGGED + 100
    assert sent.startswith('CP1 sent: [3,"1",{"status":')


async def test_a_charger_that_does_not_read_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "SEND_TIMEOUT", 0.5)
    async with stand(tmp_path) as one, wire(one.port):
        deaf = one.gateway.roster.connections["CP1"]
        large = {"MessageTypeId": 3, "UniqueId": "x", "Payload": {"data": "x" * 60_000}}
        async with asyncio.timeout(60):
            while one.gateway.roster.connection("CP1") is not None:
                await one.watch.publish("ocpp/cp/CP1/Reply/x", large)
        assert (deaf.end_reason, deaf.hung_up) == ("the charger does not read", False)
