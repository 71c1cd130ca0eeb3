"""Chargers as devices: what is announced on MQTT, when, and what is taken back."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon import controls, devices
from ocpp_addon.home.discovery import device_id, gateway_id
from tests.support.mosquitto import Mosquitto
from tests.support.obedient import Obedient
from tests.support.patience import until
from tests.support.stand import Charger, Stand, Watch, stand

GATEWAY = f"homeassistant/device/{gateway_id('main')}/config"
CP1 = f"homeassistant/device/{device_id('CP1')}/config"
START = {"connectorId": 1, "idTag": "card", "meterStart": 1000}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"DEBOUNCE": 0.2, "SPACING": 0.2, "GRACE": 0.3}.items():
        monkeypatch.setattr(devices, name, seconds)
    monkeypatch.setattr(devices, "JITTER", (0.5, 0.6))
    monkeypatch.setattr(controls, "QUIET", 0.0)
    monkeypatch.setattr(controls, "LEARNING", 0.1)


def last(one: Stand, topic: str) -> Any:
    """Return what was published last on a topic, None for nothing."""
    seen = one.watch.on(topic)
    return json.loads(seen[-1].payload) if seen and seen[-1].payload else None


async def components(one: Stand, topic: str, *names: str) -> dict[str, Any]:
    """Wait until a device has these components and return all that it has."""
    await until(lambda: last(one, topic) and {*names} <= last(one, topic)["cmps"].keys())
    found: dict[str, Any] = last(one, topic)["cmps"]
    return found


async def introduce(charger: Charger, *connectors: int) -> None:
    await charger.boot()
    for number in connectors:
        status = {"connectorId": number, "errorCode": "NoError", "status": "Available"}
        await charger.call("StatusNotification", status)


async def test_the_gateway_comes_first_and_a_charger_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "DEBOUNCE", 1.0)
    async with stand(tmp_path) as one, one.charger() as charger:
        await introduce(charger, 0, 1)
        await components(one, CP1, "1_status", "0_status", "0_set_restart")
        topics = [seen.topic for seen in one.watch.seen]
        assert topics.index(GATEWAY) < topics.index(CP1)
        device = last(one, CP1)["dev"]
        assert (device["name"], device["mf"], device["mdl"]) == ("CP1", "vendor1", "model1")
        assert len(one.watch.on(CP1)) <= 2
        assert "1_power" not in last(one, CP1)["cmps"]
        power = {"measurand": "Power.Active.Import", "value": "1"}
        meter = {"connectorId": 1, "meterValue": [{"sampledValue": [power]}]}
        await charger.call("MeterValues", meter)
        await components(one, CP1, "1_power")


async def test_a_charger_that_never_came_is_a_device_without_values(tmp_path: Path) -> None:
    async with stand(tmp_path, chargers=[{"id": "CP1"}]) as one:
        found = await components(one, CP1, "0_connected")
        assert set(found) == {"0_connected", "0_failure", "0_command"}


async def test_a_second_connector_makes_names_tell_them_apart(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await introduce(charger, 1)
        found = await components(one, CP1, "1_status")
        assert found["1_status"]["name"] == "Status"
        await introduce(charger, 2)
        found = await components(one, CP1, "1_status", "2_status")
        assert found["1_status"]["name"] == "Connector 1 status"
        assert found["1_status"]["unique_id"] == f"{device_id('CP1')}_1_status"


@contextlib.asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[Stand]:
    """Set up a stand whose gateway the test runs itself."""
    async with Mosquitto() as mosquitto, Watch(mosquitto.port) as watch:
        yield Stand(mosquitto, watch, folder)


async def test_entities_outlive_a_restart_although_nothing_is_said(tmp_path: Path) -> None:
    async with broker(tmp_path) as one:
        async with one.run(), one.charger() as charger:
            await introduce(charger, 1)
            before = await components(one, CP1, "1_status")
        await one.mosquitto.stop()  # it remembers nothing
        await one.mosquitto.start()
        seen = len(one.watch.on(CP1))
        async with one.run():
            await one.watch.expect(CP1, seen + 1)
            assert last(one, CP1)["cmps"] == before


async def test_without_discovery_devices_are_taken_back_and_states_stay(tmp_path: Path) -> None:
    async with broker(tmp_path) as one:
        async with one.run(), one.charger() as charger:
            await introduce(charger, 1)
            await components(one, CP1, "1_status")
        states = len(one.watch.on("ocpp/state/CP1/1"))
        async with one.run(discovery=False):
            await until(lambda: not one.watch.on(CP1)[-1].payload)
            await until(lambda: not one.watch.on(GATEWAY)[-1].payload)
            await one.watch.expect("ocpp/state/CP1/1", states + 1)


async def test_a_forgotten_charger_goes_before_its_states(tmp_path: Path) -> None:
    async with broker(tmp_path) as one:
        async with one.run(), one.charger() as charger:
            await introduce(charger, 0, 1)
            await charger.call("StartTransaction", START)
            await components(one, CP1, "1_status", "1_transaction_id")
            await one.gateway.management.forget("CP1")
            topics = (CP1, "ocpp/state/CP1/0", "ocpp/state/CP1/1", "ocpp/presence/CP1")
            await until(lambda: not any(one.watch.on(topic)[-1].payload for topic in topics))
            ends = [seen.topic for seen in one.watch.seen if not seen.payload]
            assert ends.index(CP1) < ends.index("ocpp/state/CP1/0")
        # Its session, which never ended, does not bring it back.
        count = len(one.watch.on(CP1))
        async with one.run():
            await asyncio.sleep(1)
        assert len(one.watch.on(CP1)) == count
        assert not one.watch.on("ocpp/state/CP1/1")[-1].payload


async def test_a_stop_does_not_leave_states_of_forgotten_chargers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "GRACE", 60.0)
    async with broker(tmp_path) as one:
        async with one.run(), one.charger() as charger:
            await introduce(charger, 1)
            await components(one, CP1, "1_status")
            await one.gateway.management.forget("CP1")
        await until(lambda: not one.watch.on("ocpp/state/CP1/1")[-1].payload)


async def test_a_charger_that_comes_back_at_once_keeps_its_state(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        for _ in range(2):
            async with one.charger() as charger:
                await introduce(charger, 1)
                await components(one, CP1, "1_status")
                await one.gateway.management.forget("CP1")
            await one.empty()
        async with one.charger() as charger:
            await introduce(charger, 1)
            await asyncio.sleep(1.5)
            assert last(one, "ocpp/state/CP1/1")["status"] == "Available"
            assert "1_status" in last(one, CP1)["cmps"]


@pytest.mark.parametrize(
    ("options", "topic"),
    [({}, "homeassistant/status"), ({"discovery_prefix": "ha/x"}, "ha/x/status")],
)
async def test_everything_is_said_again_when_home_assistant_starts(
    tmp_path: Path, options: dict[str, Any], topic: str
) -> None:
    async with stand(tmp_path, **options) as one, one.charger() as charger:
        config = f"{options.get('discovery_prefix', 'homeassistant')}{CP1[13:]}"
        await introduce(charger, 1)
        await components(one, config, "1_status")
        topics = (config, "ocpp/state/CP1/1", "ocpp/presence/CP1", "ocpp/gateway/main")
        counts = {one_topic: len(one.watch.on(one_topic)) for one_topic in topics}
        await one.watch.publish(topic, b"offline")
        for _ in range(3):  # once for all
            await one.watch.publish(topic, b"online")
        for one_topic, count in counts.items():
            await one.watch.expect(one_topic, count + 1)
        await asyncio.sleep(1)
        assert {name: len(one.watch.on(name)) for name in topics} == {
            name: count + 1 for name, count in counts.items()
        }


async def test_devices_link_to_our_page_once_it_is_known(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await introduce(charger, 1)
        await components(one, CP1, "1_status")
        page = "homeassistant://hassio/ingress/local_ocpp_gateway"
        one.gateway.devices.found_page(page)
        await until(lambda: last(one, CP1)["dev"].get("cu") == page)
        await until(lambda: last(one, GATEWAY)["dev"].get("cu") == page)


async def test_a_limit_that_holds_for_sessions_only_is_set_for_each(tmp_path: Path) -> None:
    def sessions_only(action: str, payload: Any) -> Any:
        if action != "SetChargingProfile":
            return {"status": "Rejected"}
        purpose = payload["csChargingProfiles"]["chargingProfilePurpose"]
        return {"status": "Accepted" if purpose == "TxProfile" else "Rejected"}

    async with stand(tmp_path) as one, one.charger() as socket:
        await introduce(socket, 1)
        charger = Obedient(socket, sessions_only)
        serving = asyncio.create_task(charger.serve())
        first = (await charger.say("StartTransaction", START))["transactionId"]
        await one.gateway.management.set("CP1", 1, "current_limit", "10")
        await charger.say("StopTransaction", {"transactionId": first, "meterStop": 2000})
        charger.asked.clear()
        second = await charger.say("StartTransaction", {**START, "meterStart": 2000})
        await until(lambda: charger.asked)
        profile = charger.asked[0][1]["csChargingProfiles"]
        assert profile["transactionId"] == second["transactionId"]
        [period] = profile["chargingSchedule"]["chargingSchedulePeriod"]
        assert period["limit"] == 10
        await charger.say(
            "StopTransaction", {"transactionId": second["transactionId"], "meterStop": 3000}
        )
        await asyncio.sleep(0.5)
        # One out of the charger's queue is over when its limit could be set.
        charger.asked.clear()
        third = await charger.say("StartTransaction", {**START, "meterStart": 3000})
        await charger.say(
            "StopTransaction", {"transactionId": third["transactionId"], "meterStop": 4000}
        )
        await asyncio.sleep(0.5)
        assert charger.asked == []
        serving.cancel()
