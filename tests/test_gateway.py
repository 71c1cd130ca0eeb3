"""The composition: settings that do not fit together, and parts that fail."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon import config, gateway, tasks
from ocpp_addon.errors import OptionsError, StorageError
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.mqtt.retained import Retained
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.stand import Stand, Watch, stand


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"topics": {"downstream": ["ocpp/cp/${cid}/+"]}}, "topics.upstream"),
        ({"chargers": [{"id": "cp", "password": "x"}]}, "chargers"),
        ({"chargers": [{"id": "a/b"}]}, "chargers"),
        ({"ssl": True, "certfile": "missing.pem"}, "certfile"),
        ({"mqtt": {"host": "h", "tls": True, "ca": "missing.pem"}}, "mqtt.ca"),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(options: dict[str, Any], key: str) -> None:
    with pytest.raises(OptionsError) as refused:
        gateway.check(config.load(options))
    assert str(refused.value).startswith(key)
    assert "\n" not in str(refused.value)


def test_the_defaults_fit() -> None:
    gateway.check(config.load({}))


# No broker: the one of whoever runs the tests is none of our business.
NOBODY: dict[str, Any] = {
    "host": "127.0.0.1",
    "web_port": 0,
    "mqtt": {"host": "127.0.0.1", "port": free_port()},
}


@pytest.mark.parametrize("option", ["port", "web_port"])
async def test_a_taken_port_is_a_sentence_that_names_the_option(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    async with await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0) as taken:
        port = taken.sockets[0].getsockname()[1]
        options = {**NOBODY, "port": 0, option: port}
        assert await gateway.run(config.load(options), tmp_path) == 1
    assert f"The gateway cannot start: {option}: 127.0.0.1:{port} cannot be opened:" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_data_folder_has_one_gateway(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = config.load({**NOBODY, "port": 0})
    async with gateway.opened(options, tmp_path):
        assert await gateway.run(options, tmp_path) == 1
    assert f"Another gateway runs with the data folder {tmp_path}" in caplog.text


async def test_a_part_that_fails_for_good_ends_the_gateway_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: object) -> None:
        raise ValueError("boom")

    monkeypatch.setattr("ocpp_addon.mqtt.retained.Retained.run", fail)
    monkeypatch.setattr(tasks, "RESTART_DELAY", 0.01)
    options = {**NOBODY, "port": 0}
    assert await gateway.run(config.load(options), tmp_path) == 1
    assert "Something has failed: the part retained, which is started again" in caplog.text
    assert "The part retained fails again and again: the gateway stops" in caplog.text


async def test_a_part_that_fails_is_started_again_and_health_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Retained.run
    failures = iter([ValueError("boom")])

    async def fail_once(self: Retained) -> None:
        for failure in failures:
            raise failure
        await run(self)

    monkeypatch.setattr(Retained, "run", fail_once)
    monkeypatch.setattr(tasks, "RESTART_DELAY", 0.01)
    async with stand(tmp_path) as one:
        async with one.charger("CP1"):
            await one.watch.expect("ocpp/presence/CP1")
        _, health = await one.request("GET", "health")
        assert health["status"] == "degraded"
        assert "the part retained, which is started again" in " ".join(health["problems"])


async def test_what_fails_beside_the_bridge_stops_no_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("boom")

    for name in ("received", "answered"):
        monkeypatch.setattr(CentralSystem, name, fail)
    monkeypatch.setattr("ocpp_addon.web.live.Live.message", fail)
    monkeypatch.setattr("ocpp_addon.web.live.Live.charger_changed", fail)
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        for number in range(1, 4):
            assert (await charger.call("Heartbeat"))[0] == 3
            await one.watch.expect("ocpp/cp/CP1/Heartbeat", number)
            await one.watch.expect("ocpp/cp/Answer/CP1", number)
        monkeypatch.setattr(CentralSystem, "answer", fail)
        assert (await charger.call("Heartbeat"))[:3] == [4, "4", "InternalError"]
        _, health = await one.request("GET", "health")
        assert health["status"] == "degraded"
    assert caplog.text.count("understanding a message") == 1


async def test_known_chargers_are_offline_until_they_connect(tmp_path: Path) -> None:
    async with Mosquitto() as mosquitto, Watch(mosquitto.port, "ocpp/presence/#") as watch:
        stand = Stand(mosquitto, watch, tmp_path)
        async with stand.run(chargers=[{"id": "CP1"}]):
            await watch.expect("ocpp/presence/CP1")
            async with stand.charger("CP1"):
                await watch.expect("ocpp/presence/CP1", 2)
            await watch.expect("ocpp/presence/CP1", 3)
        presence = [one.payload for one in watch.on("ocpp/presence/CP1")]
        assert presence == [b"offline", b"online", b"offline"]


async def test_a_disk_that_refuses_at_the_end_is_told_and_no_failed_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(CentralSystem, "close", refuse)
    async with stand(tmp_path):
        pass
    assert "What was learnt last is not stored: The disk is full." in caplog.text


async def test_a_callback_that_fails_again_and_again_is_one_problem(tmp_path: Path) -> None:
    class Careless:
        def call(self, text: str) -> None:
            raise ValueError(text)

    async with stand(tmp_path) as one:
        for number in range(5):
            asyncio.get_running_loop().call_soon(Careless().call, f"words of a charger {number}")
        await asyncio.sleep(0)
        [problem] = (await one.request("GET", "health"))[1]["problems"]
        assert "Careless.call" in problem
        assert "words" not in problem
