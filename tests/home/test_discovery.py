"""Discovery payloads: unchanged ones for typical chargers, harmless ones for odd ones."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_addon.config import TopicSettings
from ocpp_addon.database import Database
from ocpp_addon.home import entities
from ocpp_addon.home.announced import Announced
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.chargers import ChargerFacts
from ocpp_addon.home.discovery import Component, charger_payload, device_id, gateway_payload
from ocpp_addon.home.entities import ANYTHING
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.meter import QUANTITIES, REGISTER
from ocpp_addon.home.shown import public_state
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.ocpp.messages import Call, CallResult
from ocpp_addon.ocpp.version import V16
from tests.home.conftest import NOW, OpenCentral

SNAPSHOTS = Path(__file__).parent / "snapshots"
TOPICS = Topics(TopicSettings(), "main", "homeassistant")
PAGE = "homeassistant://hassio/ingress/local_ocpp_gateway"
FACTS = ChargerFacts("Vendor", "Model", "S-1", "1.2.3")

OF_CONNECTOR = [
    "status",
    "error",
    "available",
    "plugged_in",
    "charging",
    "session_active",
    "session_duration",
    "session_energy",
    "session_started",
    "transaction_id",
    "id_tag",
    "power",
    "energy",
    "soc",
    "temperature",
    "current_limit",
    "current_l1",
    "current_l2",
    "current_l3",
    "voltage_l1",
    "voltage_l2",
    "voltage_l3",
    "frequency",
    "power_offered",
    "current_offered",
]
OF_CHARGER = ["status", "error", "available", "firmware", "last_seen", "failure", "vendor"]

# What each charger's states have shown, by connector.
CHARGERS = {
    "one connector": {0: OF_CHARGER, 1: OF_CONNECTOR},
    "two connectors": {0: [*OF_CHARGER, "energy", "power"], 1: OF_CONNECTOR, 2: ["status"]},
    "version 2.0.1": {0: ["firmware", "last_seen"], 1: [*OF_CONNECTOR, "stop_reason"]},
}


def components(states: Mapping[int, list[str]]) -> dict[Component, str]:
    found = {}
    for connector, keys in {0: [], **states}.items():
        for entity in entities.shown(connector, [*keys, ANYTHING]):
            found[Component(connector, entity.key)] = str(entity.platform)
    return found


def payload(
    charger_id: str, states: Mapping[int, list[str]], facts: ChargerFacts = FACTS
) -> dict[str, Any]:
    return charger_payload(charger_id, facts, components(states), TOPICS, "main", PAGE)


@pytest.mark.parametrize("name", CHARGERS)
def test_the_payload_of_a_typical_charger_is_what_it_was(name: str) -> None:
    text = json.dumps(payload("Garage 1", CHARGERS[name]), indent=1) + "\n"
    text = re.sub(r'"sw": "\d+\.\d+\.\d+",\n  "url"', '"sw": "VERSION",\n  "url"', text)
    file = SNAPSHOTS / f"{name.replace(' ', '_')}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(text)
    assert file.read_text() == text, "with UPDATE_SNAPSHOTS=1 this becomes the new list"


def test_every_measurand_has_an_entity() -> None:
    for quantity in QUANTITIES.values():
        key = "energy" if quantity.key == REGISTER else quantity.key
        assert entities.find(1, key) is not None, key
        assert entities.find(0, key) is not None or key == "soc"
        for line in ("l1", "l2", "l3", "n") if quantity.phases == "keep" else ():
            assert entities.find(1, f"{key}_{line}") is not None, key


async def test_every_key_of_a_state_is_shown_somewhere(central: CentralSystem) -> None:
    charger = {"connectorId": 1, "errorCode": "GroundFailure", "info": "x", "status": "Charging"}
    start = {"connectorId": 1, "idTag": "card", "meterStart": 1000}
    for action, sent in (("StatusNotification", charger), ("StartTransaction", start)):
        call = Call("1", action, sent)
        central.received("CP1", V16, call, NOW)
        answer = await central.answer("CP1", V16, call, NOW)
        central.answered("CP1", V16, call, answer, NOW)
    assert isinstance(answer, CallResult)
    stop = Call("1", "StopTransaction", {"transactionId": answer.payload["transactionId"],
                                         "meterStop": 1500, "reason": "Local"})  # fmt: skip
    state = central.states.get("CP1", 1)
    assert state is not None
    keys = set(public_state(state, NOW))
    central.received("CP1", V16, stop, NOW)
    await central.answer("CP1", V16, stop, NOW)
    keys |= set(public_state(state, NOW))
    assert {"session_ended", "stop_reason", "id_tag", "error_info", "energy"} <= keys
    shown = {one.shown_by for one in entities.OF_CONNECTOR}
    assert keys <= shown


def test_the_id_of_a_device_is_fixed() -> None:
    assert device_id("Garage 1") == "garage_1_67053d87"
    assert device_id("CP1") != device_id("cp1")


@given(st.text(min_size=1, max_size=64))
def test_any_id_gives_a_topic_that_home_assistant_takes(charger_id: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", device_id(charger_id))


def test_every_component_has_what_home_assistant_requires() -> None:
    every = {0: [one.shown_by for one in entities.OF_CHARGER],
             1: [one.shown_by for one in entities.OF_CONNECTOR]}  # fmt: skip
    described = payload("CP1", every)["cmps"]
    assert len(described) == len(entities.OF_CHARGER) + len(entities.OF_CONNECTOR)
    unique = [one["unique_id"] for one in described.values()]
    assert len(unique) == len(set(unique))
    assert all(one.startswith(device_id("CP1")) for one in unique)
    names = [(one["p"], one["name"]) for one in described.values()]
    assert len(names) == len(set(names))
    for one in described.values():
        assert one["p"] in ("sensor", "binary_sensor", "switch", "number", "button", "event", "tag")
        if one.get("device_class") == "energy" and "state_class" in one:
            assert (one["state_class"], one["unit_of_measurement"]) == ("total_increasing", "kWh")
        assert one.get("entity_category") != "config" or one["p"] == "button"


def test_a_component_that_no_longer_exists_is_taken_back() -> None:
    gone = {Component(1, "gone"): "sensor", Component(1, "power"): "switch"}
    described = charger_payload("CP1", FACTS, gone, TOPICS, "main", None)
    assert described["cmps"] == {"1_gone": {"p": "sensor"}, "1_power": {"p": "switch"}}
    assert "cu" not in described["dev"]


def test_odd_names_stay_what_they_are() -> None:
    name = "\"'🚗 <b>{{ 1/0 }}</b> {% raw %} ${cid} \\ 充电"
    described = payload(name, CHARGERS["one connector"], ChargerFacts(name, name))
    assert described["dev"]["name"] == name
    assert described["dev"]["mf"] == name
    templates = [one["value_template"] for one in described["cmps"].values()
                 if "value_template" in one]  # fmt: skip
    assert name not in "".join(templates)
    assert json.loads(json.dumps(described)) == described


def test_the_gateway_is_a_device_too() -> None:
    described = gateway_payload("main", TOPICS, PAGE)
    [identity] = described["dev"]["ids"]
    assert payload("CP1", {})["dev"]["via_device"] == identity
    assert described["cmps"]["connected"]["state_topic"] == "ocpp/gateway/main"
    assert gateway_payload("garage", TOPICS, None)["dev"]["name"] == "OCPP gateway garage"


async def test_what_was_shown_once_stays(database: Database) -> None:
    journal = Journal(database)
    announced = await Announced.open(database, journal)
    assert announced.saw("CP1", 1, ["status", "power"])
    assert not announced.saw("CP1", 1, ["status"])
    assert announced.saw("CP1", 0, [])
    await journal.flush()
    again = await Announced.open(database, journal)
    assert again.of("CP1") == announced.of("CP1")
    assert again.of("CP1")[Component(1, "power")] == "sensor"
    assert not again.saw("CP1", 1, ["power"])
    again.forget("CP1")
    await journal.flush()
    assert not (await Announced.open(database, journal)).of("CP1")


async def test_unreadable_rows_are_a_line_of_the_log(
    open_central: OpenCentral, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("{", "[]", '{"x": 1}'):
        await database.write_all([("INSERT OR REPLACE INTO announced VALUES ('CP1', ?)", (text,))])
        central: CentralSystem = await open_central()
        assert not central.announced.of("CP1")
    await database.write_all([("INSERT INTO habits VALUES ('CP1', '{\"TxProfile\": 1}')", ())])
    central = await open_central()
    assert not central.habits.of("CP1").shapes
    assert len([one for one in caplog.messages if "entities" in one]) == 4
    assert len([one for one in caplog.messages if "habits" in one]) == 1
