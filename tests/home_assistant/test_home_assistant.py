"""Chargers in a real Home Assistant: charger, gateway, Mosquitto and Home Assistant together.

One Home Assistant serves all tests of this file, in their order.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
import yaml

from ocpp_addon.config import TopicSettings
from ocpp_addon.home import entities
from ocpp_addon.home.chargers import ChargerFacts
from ocpp_addon.home.discovery import Component, charger_payload, device_id
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.simulator import Simulator
from ocpp_addon.simulator.connector import SimulatedConnector
from tests.home_assistant.server import ROOT, Events, HomeAssistant, program
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.obedient import Obedient
from tests.support.patience import PATIENCE, until
from tests.support.stand import Stand, Watch

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD = '"🚗" <b>{{ 1 * x }} it\'s'
SECRET = "secret-of-garage"
SESSION_SECONDS = 4  # that a car charges, sixty times as fast as a real one


@dataclass
class House:
    """All that runs: two simulated chargers, the gateway, the broker and Home Assistant."""

    stand: Stand
    home_assistant: HomeAssistant
    port: int = field(default_factory=free_port)
    _gateway: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def __post_init__(self) -> None:
        url = f"ws://127.0.0.1:{self.port}/ocpp"
        self.garage = Simulator("Garage", url, SECRET, interval=1, speed=60)
        self.yard = Simulator("Yard", url, connectors=2, interval=1)

    @property
    def connector(self) -> SimulatedConnector:
        """Return the connector of the garage."""
        return self.garage.connectors[1]

    async def start_gateway(self) -> None:
        chargers = [{"id": "Garage", "password": SECRET}, {"id": "Yard"}]
        await self._gateway.enter_async_context(self.stand.run(chargers=chargers, port=self.port))

    async def stop_gateway(self) -> None:
        await self._gateway.aclose()

    def is_cleared(self, topic: str) -> bool:
        """Tell whether nothing is retained on a topic any more."""
        return not self.stand.watch.on(topic)[-1].payload


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    if program() is None:
        assert not os.environ.get("CI"), "Home Assistant needs Python 3.13"
        pytest.skip("there is no Python 3.13")
    folder = tmp_path_factory.mktemp("house")
    async with Mosquitto() as mosquitto, Watch(mosquitto.port) as watch:
        home_assistant = HomeAssistant(folder / "home_assistant", mosquitto.port)
        one = House(Stand(mosquitto, watch, folder / "gateway"), home_assistant)
        async with asyncio.TaskGroup() as tasks, home_assistant:
            await one.start_gateway()
            chargers = [tasks.create_task(each.run()) for each in (one.garage, one.yard)]
            yield one
            for charger in chargers:
                charger.cancel()
            await one.stop_gateway()


async def test_chargers_are_devices_behind_the_gateway(house: House) -> None:
    hass = house.home_assistant
    await hass.expect("sensor.garage_status", "Available")
    await hass.expect("sensor.yard_connector_2_status", "Available")
    devices, known = await hass.registries()
    gateway, garage, yard = devices["OCPP gateway"], devices["Garage"], devices["Yard"]
    assert garage["via_device_id"] == yard["via_device_id"] == gateway["id"]
    assert (garage["manufacturer"], garage["model"]) == ("Simulated", "AC1")
    assert (garage["serial_number"], garage["sw_version"]) == ("Garage", "1.0")
    one = known[f"{device_id('Garage')}_1_status"]
    assert (one["entity_id"], one["device_id"]) == ("sensor.garage_status", garage["id"])
    assert f"{device_id('Yard')}_2_set_charging" in known
    assert await hass.expect("binary_sensor.garage_connected", "on")
    assert await hass.expect("sensor.garage_firmware", "1.0")
    # Nothing has been measured yet, so there is nothing to show of it.
    assert await hass.state("sensor.garage_power") is None


async def test_charging_is_started_limited_and_stopped(house: House) -> None:
    hass = house.home_assistant
    async with Events(hass, "state_changed"):
        await hass.call("switch.turn_on", entity_id="switch.garage_charge")
        await hass.expect("switch.garage_charge", "on")
        assert house.connector.transaction is not None
        await hass.expect("sensor.garage_status", "Charging")
        await hass.expect("binary_sensor.garage_charging", "on")
        await hass.expect("binary_sensor.garage_plugged_in", "on")
        await hass.expect("event.garage_session")
        started = await hass.state("event.garage_session")
        assert started["attributes"]["event_type"] == "session_started"

        await until(lambda: house.stand.watch.on("ocpp/state/Garage/1"))
        power = await hass.expect("sensor.garage_power")
        assert power["attributes"]["unit_of_measurement"] == "W"
        assert await hass.number("sensor.garage_power") > 10_000
        assert await hass.number("sensor.garage_current_l1") == 16
        assert await hass.number("sensor.garage_state_of_charge") >= 20

        await hass.call("number.set_value", entity_id="number.garage_current_limit", value=10)
        await hass.expect("number.garage_current_limit", "10.0")
        await hass.expect("sensor.garage_current_l1", "10.0")
        assert house.connector.current(house.garage.now()) == 10

        before = await hass.number("sensor.garage_energy")
        await asyncio.sleep(SESSION_SECONDS)
        assert await hass.number("sensor.garage_energy") > before
        await hass.call("switch.turn_off", entity_id="switch.garage_charge")
        await hass.expect("switch.garage_charge", "off")
    assert house.connector.transaction is None
    await hass.expect("sensor.garage_status", "Available")
    await hass.expect("sensor.garage_power", "0.0")
    await hass.expect("sensor.garage_stop_reason", "Remote")
    ended = await hass.state("event.garage_session")
    assert ended["attributes"]["event_type"] == "session_ended"
    assert ended["attributes"]["energy"] == await hass.number("sensor.garage_session_energy")
    assert ended["attributes"]["energy"] > 0
    await hass.expect("sensor.garage_last_command", "OK")


async def test_a_refusal_is_told_in_words_and_the_switch_falls_back(house: House) -> None:
    hass = house.home_assistant
    await hass.call("switch.turn_off", entity_id="switch.yard_connector_2_available")
    await hass.expect("switch.yard_connector_2_available", "off")
    await hass.expect("sensor.yard_connector_2_status", "Unavailable")
    repeated = len(house.stand.watch.on("ocpp/state/Yard/2"))
    await hass.call("switch.turn_on", entity_id="switch.yard_connector_2_charge")
    await hass.expect(
        "sensor.yard_last_command", "The charger refuses to start charging: Rejected."
    )
    await until(lambda: len(house.stand.watch.on("ocpp/state/Yard/2")) > repeated)
    await hass.expect("switch.yard_connector_2_charge", "off")
    failed = await hass.expect("event.yard_command")
    attributes = failed["attributes"]
    assert attributes["event_type"] == "command_failed"
    assert (attributes["connector"], attributes["key"]) == ("2", "charging")
    await hass.call("switch.turn_on", entity_id="switch.yard_connector_2_available")
    await hass.expect("switch.yard_connector_2_available", "on")
    await hass.expect("sensor.yard_last_command", "OK")


async def test_buttons_reach_the_charger(house: House) -> None:
    hass = house.home_assistant
    await hass.call("button.press", entity_id="button.yard_connector_1_unlock")
    await hass.expect("sensor.yard_last_command", "OK")
    await hass.call("button.press", entity_id="button.yard_report_meter_every_minute")
    await until(lambda: house.yard.configuration["MeterValueSampleInterval"] == "60")
    booted = len(house.stand.watch.on("ocpp/cp/Yard/BootNotification"))
    await hass.call("button.press", entity_id="button.yard_restart")
    await until(lambda: len(house.stand.watch.on("ocpp/cp/Yard/BootNotification")) > booted)
    reported = len(house.stand.watch.on("ocpp/cp/Yard/MeterValues"))
    await hass.call("button.press", entity_id="button.yard_refresh")
    await until(lambda: len(house.stand.watch.on("ocpp/cp/Yard/MeterValues")) >= reported + 2)


async def test_a_tag_that_is_shown_is_scanned(house: House) -> None:
    hass = house.home_assistant
    devices, _ = await hass.registries()
    async with Events(hass, "tag_scanned") as scanned:
        house.garage.plug_in(1, "04AABBCC")
        seen = await scanned.expect(tag_id="04AABBCC")
        assert seen["device_id"] == devices["Garage"]["id"]
        await hass.expect("sensor.garage_tag", "04AABBCC")
    house.garage.stop(1, "Local")
    await hass.expect("switch.garage_charge", "off")


async def test_energy_is_fit_for_the_dashboard(house: House) -> None:
    hass = house.home_assistant
    found = await hass.command("recorder/list_statistic_ids", statistic_type="sum")
    [energy] = [one for one in found if one["statistic_id"] == "sensor.garage_energy"]
    assert (energy["has_sum"], energy["unit_class"]) == (True, "energy")
    assert energy["statistics_unit_of_measurement"] == "kWh"
    await hass.command(
        "energy/save_prefs", device_consumption=[{"stat_consumption": "sensor.garage_energy"}]
    )
    validated = await hass.command("energy/validate")
    issues = [issue["type"] for one in validated["device_consumption"] for issue in one]
    # Statistics are made every five minutes: until then only that is missing.
    assert set(issues) <= {"statistics_not_defined"}


def automation(name: str, **inputs: Any) -> dict[str, Any]:
    blueprint = {"path": f"ocpp_gateway/{name}.yaml", "input": inputs}
    return {"id": name, "alias": name, "use_blueprint": blueprint}


async def test_blueprints_load_and_do_their_work(house: House) -> None:
    hass = house.home_assistant
    devices, _ = await hass.registries()
    switch, plug = "switch.garage_charge", "binary_sensor.garage_plugged_in"
    session, grid, price = "event.garage_session", "sensor.grid", "sensor.price"
    await hass.set_state(grid, -2500, unit_of_measurement="W", device_class="power")
    await hass.set_state(price, 0.5)
    automations = [
        automation("solar_surplus", limit="number.garage_current_limit",
                   power="sensor.garage_power", grid=grid, phases=1, calm=0),
        automation("night_window", charge=switch, plugged_in=plug),
        automation("cheap_price", charge=switch, plugged_in=plug, price=price, limit=0.2),
        automation("session_report", session=session, price=0.25),
        automation("tags", charger=devices["Garage"]["id"], session=session, charge=switch,
                   allowed=["04aabbcc"]),
    ]  # fmt: skip
    files = {path.stem for path in (ROOT / "blueprints/automation/ocpp_gateway").iterdir()}
    assert {one["id"] for one in automations} == files
    listed = await hass.command("blueprint/list", domain="automation")
    ours = {path: one for path, one in listed.items() if path.startswith("ocpp_gateway/")}
    assert len(ours) == len(files)
    assert not [one for one in ours.values() if "error" in one]
    await hass.set_automations(automations)
    for one in automations:
        await hass.expect(f"automation.{one['id']}", "on")

    # Solar surplus: 2400 W are left, which is 10 A through one phase.
    await hass.call("number.set_value", entity_id="number.garage_current_limit", value=16)
    await hass.expect("number.garage_current_limit", "16.0")
    await hass.call("automation.trigger", entity_id="automation.solar_surplus")
    await hass.expect("number.garage_current_limit", "10.0")
    await hass.call("automation.turn_off", entity_id="automation.solar_surplus")

    # Cheap electricity: a car that is plugged in charges, until the price rises.
    house.connector.plugged_in = True
    house.garage.say_changed_statuses()
    await hass.expect(plug, "on")
    await hass.set_state(price, 0.1)
    await hass.expect(switch, "on")
    await hass.set_state(price, 0.3)
    await hass.expect(switch, "off")

    # The end of that session was told.
    told: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        while not told:
            every = await hass.command("persistent_notification/get")
            told = [one for one in every if one["title"] == "Garage"]
            await asyncio.sleep(0.1)
    assert " kWh in 0 minutes, 0." in told[0]["message"]

    # Tags: a stranger's session is ended, a friend's goes on.
    house.garage.plug_in(1, "STRANGER")
    events = "ocpp/state/Garage/1/event"
    await until(lambda: house.stand.watch.on(events)[-1].json.get("id_tag") == "STRANGER")
    await until(lambda: house.stand.watch.on(events)[-1].json["event_type"] == "session_ended")
    assert house.stand.watch.on(events)[-1].json["reason"] == "Remote"
    await hass.expect(switch, "off")
    house.garage.plug_in(1, "04AABBCC")
    await hass.expect(switch, "on")
    await asyncio.sleep(1)
    assert (await hass.state(switch))["state"] == "on"
    house.garage.stop(1, "Local")
    await hass.expect(switch, "off")
    await hass.set_automations([])


async def test_a_car_charges_in_the_night_window(house: House) -> None:
    hass, connector, events = house.home_assistant, house.connector, "ocpp/state/Garage/1/event"
    switch, plug = "switch.garage_charge", "binary_sensor.garage_plugged_in"

    async def choose(begin: timedelta, end: timedelta) -> None:
        now = datetime.now(UTC)
        at = {"begin": f"{now + begin:%H:%M:%S}", "end": f"{now + end:%H:%M:%S}"}
        inputs = {"charge": switch, "plugged_in": plug, **at}
        await hass.set_automations([automation("night_window", **inputs)])
        await hass.expect("automation.night_window", "on")

    async def plug_in() -> None:
        connector.plugged_in = True
        house.garage.say_changed_statuses()
        await hass.expect(plug, "on")

    hour = timedelta(hours=1)
    await choose(hour, 2 * hour)
    await plug_in()
    await asyncio.sleep(1)
    assert connector.transaction is None  # it is not yet time
    connector.plugged_in = False
    house.garage.say_changed_statuses()
    await hass.expect(plug, "off")
    await choose(-hour, hour)
    await plug_in()
    await hass.expect(switch, "on")
    await hass.call("switch.turn_off", entity_id=switch)
    await hass.expect(switch, "off")

    await plug_in()
    told = len(house.stand.watch.on(events))
    await choose(timedelta(seconds=8), timedelta(seconds=16))
    await house.stand.watch.expect(events, told + 2)
    began, ended = [one.json for one in house.stand.watch.on(events)[told:]]
    assert (began["event_type"], ended["event_type"]) == ("session_started", "session_ended")
    assert ended["reason"] == "Remote"
    await hass.expect(switch, "off")
    await hass.set_automations([])


async def test_a_charger_of_version_2(house: House) -> None:
    hass = house.home_assistant

    def rule(action: str, payload: Any) -> Any:
        if action == "GetVariables":
            return {"getVariableResult": [
                {**one, "attributeStatus": "UnknownVariable"} for one in payload["getVariableData"]
            ]}  # fmt: skip
        return {"status": "Accepted"}

    async with house.stand.charger("Modern", subprotocols=("ocpp2.0.1",)) as socket:
        charger = Obedient(socket, rule)
        serving = asyncio.create_task(charger.serve())
        await charger.say("BootNotification", {
            "reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}
        })  # fmt: skip
        now = "2026-11-25T12:00:00Z"
        await charger.say("StatusNotification", {
            "timestamp": now, "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1
        })  # fmt: skip
        await hass.expect("sensor.modern_status", "Occupied")
        await hass.call("switch.turn_on", entity_id="switch.modern_charge")
        await until(lambda: charger.asked)
        [(action, payload)] = charger.asked
        assert action == "RequestStartTransaction"
        energy = {"value": 5000.0, "measurand": "Energy.Active.Import.Register"}
        await charger.say("TransactionEvent", {
            "eventType": "Started", "timestamp": now, "triggerReason": "RemoteStart", "seqNo": 0,
            "transactionInfo": {"transactionId": "t-1", "chargingState": "Charging"},
            "evse": {"id": 1, "connectorId": 1}, "idToken": payload["idToken"],
            "meterValue": [{"timestamp": now, "sampledValue": [energy]}],
        })  # fmt: skip
        await hass.expect("switch.modern_charge", "on")
        await hass.expect("sensor.modern_status", "Charging")
        await hass.expect("sensor.modern_energy", "5.0")
        await hass.call("number.set_value", entity_id="number.modern_current_limit", value=8)
        await hass.expect("number.modern_current_limit", "8.0")
        await hass.call("switch.turn_off", entity_id="switch.modern_charge")
        await until(lambda: charger.asked[-1][0] == "RequestStopTransaction")
        assert charger.asked[-1][1] == {"transactionId": "t-1"}
        serving.cancel()


async def test_a_name_full_of_traps_does_no_harm(house: House) -> None:
    hass = house.home_assistant
    async with house.stand.charger(quote(ODD, safe="")) as charger:
        payload = {"chargePointVendor": ODD[:20], "chargePointModel": "{{ x }}"}
        await charger.call("BootNotification", payload)
        await charger.call("StatusNotification", {
            "connectorId": 1, "errorCode": "NoError", "status": "Faulted",
            "info": "{{ states('sensor.x') }} <img src=x onerror=alert(1)>",
        })  # fmt: skip
        status = f"{device_id(ODD)}_1_status"
        for _ in range(200):
            devices, known = await hass.registries()
            if ODD in devices and status in known:
                break
            await asyncio.sleep(0.1)
        assert devices[ODD]["model"] == "{{ x }}"
        await hass.expect(known[status]["entity_id"], "Faulted")
        details = known[f"{device_id(ODD)}_1_error_info"]["entity_id"]
        shown = await hass.expect(details)
        assert shown["state"].startswith("{{ states('sensor.x') }} <img")


async def test_a_forgotten_charger_leaves_nothing(house: House) -> None:
    hass = house.home_assistant
    for charger_id in (ODD, "Modern"):
        await house.stand.gateway.management.forget(charger_id)
        topics = [f"ocpp/state/{charger_id}/{connector}" for connector in (0, 1)]
        topics += [
            f"ocpp/presence/{charger_id}",
            f"homeassistant/device/{device_id(charger_id)}/config",
        ]
        for topic in topics:
            assert house.stand.watch.on(topic)
            await until(partial(house.is_cleared, topic))
    devices, known = await hass.registries()
    assert ODD not in devices
    assert "Modern" not in devices
    assert not [one for one in known if one.startswith(device_id(ODD))]


async def test_examples_of_automations_are_valid(house: House) -> None:
    text = (ROOT / "docs" / "automations.md").read_text()
    examples = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert len(examples) >= 6
    for example in examples:
        parts = {"actions": [example]} if "action" in example else example
        result = await house.home_assistant.command("validate_config", **parts)
        assert {name: one["valid"] for name, one in result.items()} == dict.fromkeys(parts, True), (
            result
        )


async def test_every_entity_is_understood(house: House) -> None:
    hass = house.home_assistant
    topics = Topics(TopicSettings(), "main", "homeassistant")
    every = {
        Component(connector, one.key): str(one.platform)
        for connector in (0, 1)
        for one in entities.of(connector)
    }
    payload = charger_payload("Full", ChargerFacts("V"), every, topics, "main", None)
    topic = topics.discovery(device_id("Full"))
    await house.stand.watch.publish(topic, payload)
    wanted = {one["unique_id"] for one in payload["cmps"].values() if one["p"] != "tag"}
    async with asyncio.timeout(PATIENCE):
        while not wanted <= (await hass.registries())[1].keys():
            await asyncio.sleep(0.2)
    await house.stand.watch.publish(topic, b"")
    async with asyncio.timeout(PATIENCE):
        while wanted & (await hass.registries())[1].keys():
            await asyncio.sleep(0.2)


async def test_the_broker_restarts(house: House) -> None:
    hass = house.home_assistant
    house.garage.start(1, "04AABBCC")
    await hass.expect("switch.garage_charge", "on")
    await house.stand.mosquitto.stop()
    await hass.expect("sensor.garage_status", "unavailable")
    house.garage.stop(1, "EVDisconnected")
    await house.stand.mosquitto.start()
    await hass.expect("sensor.garage_status", "Available")
    await hass.call("number.set_value", entity_id="number.garage_current_limit", value=12)
    await hass.expect("number.garage_current_limit", "12.0")
    # What the broker missed is told once Home Assistant can hear it.
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            told = (await hass.state("event.garage_session"))["attributes"]
            if told.get("reason") == "EVDisconnected":
                break
            await asyncio.sleep(0.1)
    assert told["event_type"] == "session_ended"


async def test_the_gateway_restarts(house: House) -> None:
    hass = house.home_assistant
    _, before = await hass.registries()
    await house.stop_gateway()
    await hass.expect("sensor.garage_status", "unavailable")
    await hass.expect("binary_sensor.garage_connected", "unavailable")
    await hass.expect("binary_sensor.ocpp_gateway_connected", "off")
    await house.start_gateway()
    await hass.expect("sensor.garage_status", "Available")
    # What was known is shown again, without a new word of the charger.
    await hass.expect("number.garage_current_limit", "12.0")
    assert await hass.number("sensor.garage_energy") > 100
    _, after = await hass.registries()
    assert {key: one["entity_id"] for key, one in after.items()} == {
        key: one["entity_id"] for key, one in before.items()
    }


async def test_home_assistant_restarts(house: House) -> None:
    hass = house.home_assistant
    _, before = await hass.registries()
    log = hass.log
    await hass.stop()
    await hass.start()
    await hass.expect("sensor.garage_status", "Available")
    await hass.expect("sensor.yard_connector_2_status", "Available")
    _, after = await hass.registries()
    assert after.keys() == before.keys()
    await until(lambda: len(house.stand.watch.on("homeassistant/status")) >= 2)
    await hass.call("switch.turn_on", entity_id="switch.garage_charge")
    await hass.expect("switch.garage_charge", "on")
    for text in (log, hass.log):
        complaints = [
            line
            for line in text.splitlines()
            if any(part in line for part in ("mqtt", "template", "automation", "blueprint"))
            and ("WARNING" in line or "ERROR" in line)
            # These speak of the connection, when the broker restarts.
            and "[homeassistant.components.mqtt.client]" not in line
            and "[homeassistant.components.mqtt.util]" not in line
        ]
        assert complaints == []
