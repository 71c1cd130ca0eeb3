"""The states of connectors as others see them: retained on MQTT, and in the HTTP API."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon import announcer
from ocpp_addon.home import plot
from ocpp_addon.text import utc
from tests.support.patience import until
from tests.support.stand import Charger, Stand, stand

START = {"connectorId": 1, "idTag": "card", "meterStart": 1000}


def now() -> str:
    return utc(datetime.now(UTC))


def shown(one: Stand, topic: str) -> Any:
    """Return what is on a retained topic now, None where nothing is."""
    seen = one.watch.on(topic)
    return json.loads(seen[-1].payload) if seen and seen[-1].payload else None


def gone(one: Stand, topic: str) -> bool:
    """Tell whether nothing is on a retained topic."""
    return shown(one, topic) is None


async def expect(one: Stand, topic: str, **wanted: object) -> dict[str, Any]:
    """Wait until a state has these values."""

    def there() -> bool:
        state = shown(one, topic)
        return state is not None and {key: state.get(key) for key in wanted} == wanted

    await until(there)
    state: dict[str, Any] = shown(one, topic)
    return state


async def charge(charger: Charger) -> int:
    """Boot, begin a session and send meter values; return the transaction id."""
    await charger.boot()
    for status in ("Available", "Preparing"):
        await charger.call(
            "StatusNotification", {"connectorId": 1, "status": status, "errorCode": "NoError"}
        )
    [_, _, started] = await charger.call("StartTransaction", START)
    await charger.call(
        "StatusNotification", {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}
    )
    identity = started["transactionId"]
    await meter(charger, identity, 1250, 7400)
    return int(identity)


async def meter(charger: Charger, identity: int, energy: int, power: int) -> None:
    samples = [
        {"value": str(energy)},
        {"value": str(power), "measurand": "Power.Active.Import", "unit": "W"},
        {"value": "16.0", "measurand": "Current.Import", "unit": "A", "phase": "L1"},
    ]
    values = {
        "connectorId": 1,
        "transactionId": identity,
        "meterValue": [{"sampledValue": samples}],
    }
    await charger.call("MeterValues", values)


async def test_a_session_is_seen_on_the_state_topics_and_in_the_api(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        identity = await charge(charger)
        state = await expect(one, "ocpp/state/CP1/1", power=7400, status="Charging")
        assert state | {"session_started": "", "session_duration": 0} == {
            "status": "Charging",
            "error": "NoError",
            "available": True,
            "plugged_in": True,
            "charging": True,
            "power": 7400,
            "current_l1": 16,
            "energy": 1.25,
            "session_active": True,
            "session_started": "",
            "session_duration": 0,
            "session_energy": 0.25,
            "transaction_id": identity,
            "id_tag": "card",
        }
        whole = await expect(one, "ocpp/state/CP1/0", vendor="vendor1", model="model1")
        assert whole["last_seen"]

        [item] = (await one.request("GET", "api/chargers/CP1"))[1]["connectors"]
        session = item.pop("session")
        assert (session["transaction_id"], session["tag"]) == (identity, "card")
        assert session["energy_wh"] == 250
        assert item.pop("updated")
        assert item == {
            "connector": 1,
            "evse": None,
            "status": "Charging",
            "error": None,
            "info": None,
            "plugged_in": True,
            "charging": True,
            "power": 7400,
            "energy_wh": 1250,
            "current_limit": None,
        }
        [running] = (await one.request("GET", "api/sessions"))[1]
        assert (running["ended_at"], running["energy_wh"]) == (None, 250)

        stop = {"transactionId": identity, "meterStop": 1500, "reason": "EVDisconnected"}
        await charger.call("StopTransaction", stop)
        state = await expect(one, "ocpp/state/CP1/1", session_active=False)
        assert (state["power"], state["current_l1"], state["energy"]) == (0, 0, 1.5)
        assert (state["session_energy"], state["stop_reason"]) == (0.5, "EVDisconnected")
        assert "transaction_id" not in state
        [past] = (await one.request("GET", "api/sessions"))[1]
        assert (past["energy_wh"], past["reason"]) == (500, "EVDisconnected")


async def test_a_burst_of_messages_is_few_publishes(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        identity = await charge(charger)
        await expect(one, "ocpp/state/CP1/1", energy=1.25)
        before = len(one.watch.on("ocpp/state/CP1/1"))
        for step in range(100):
            await meter(charger, identity, 1251 + step, 7000)
        await expect(one, "ocpp/state/CP1/1", energy=1.35)
        assert len(one.watch.on("ocpp/state/CP1/1")) - before < 50


async def test_states_outlive_gateway_and_broker(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        await charge(charger)
        before = await expect(one, "ocpp/state/CP1/1", power=7400)
        seen = one.gateway.roster.last_seen("CP1")
    assert seen is not None
    async with stand(tmp_path) as one:  # another broker: an empty one
        after = await expect(one, "ocpp/state/CP1/1", power=7400)
        assert after | {"session_duration": 0} == before | {"session_duration": 0}
        await expect(one, "ocpp/state/CP1/0", vendor="vendor1", last_seen=utc(seen))
        assert (await one.request("GET", "api/chargers/CP1"))[1]["last_seen"] == utc(seen)
        one.watch.seen.clear()
        await one.mosquitto.kill()
        await one.mosquitto.start()
        await expect(one, "ocpp/state/CP1/1", power=7400)
        await expect(one, "ocpp/state/CP1/0", vendor="vendor1")


async def test_a_forgotten_charger_leaves_no_state(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        await charge(charger)
        await expect(one, "ocpp/state/CP1/1", power=7400)
        assert (await one.request("DELETE", "api/chargers/CP1"))[0] in (200, 204)
        for topic in ("ocpp/state/CP1/0", "ocpp/state/CP1/1"):
            await until(partial(gone, one, topic))
    async with stand(tmp_path) as one:
        assert one.watch.on("ocpp/state/CP1/1") == []


async def test_an_evse_of_2_is_seen_like_a_connector(tmp_path: Path) -> None:
    async with (
        stand(tmp_path) as one,
        one.charger("CP2", subprotocols=("ocpp2.0.1",)) as charger,
    ):
        station = {"vendorName": "ABB", "model": "Terra"}
        await charger.call("BootNotification", {"reason": "PowerUp", "chargingStation": station})
        status = {"evseId": 2, "connectorId": 1, "connectorStatus": "Occupied"}
        await charger.call("StatusNotification", status | {"timestamp": now()})
        kwh = {"unit": "kWh"}
        samples = [
            {"value": 12.5, "unitOfMeasure": kwh},
            {"value": 11.04, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "kW"}},
        ]
        event = {
            "eventType": "Started",
            "timestamp": now(),
            "triggerReason": "Authorized",
            "seqNo": 0,
            "evse": {"id": 2, "connectorId": 1},
            "idToken": {"idToken": "card", "type": "ISO14443"},
            "transactionInfo": {"transactionId": "t-1", "chargingState": "Charging"},
            "meterValue": [{"timestamp": now(), "sampledValue": samples}],
        }
        [_, _, answer] = await charger.call("TransactionEvent", event)
        assert answer == {"idTokenInfo": {"status": "Accepted"}}
        state = await expect(one, "ocpp/state/CP2/2", power=11040, status="Charging")
        assert (state["energy"], state["transaction_id"]) == (12.5, "t-1")
        await expect(one, "ocpp/state/CP2/0", vendor="ABB")
        [item] = (await one.request("GET", "api/chargers/CP2"))[1]["connectors"]
        assert (item["connector"], item["evse"]) == (2, 2)
        samples[0]["value"] = 13.5
        ended = {"transactionInfo": {"transactionId": "t-1", "stoppedReason": "Remote"}}
        await charger.call("TransactionEvent", event | {"eventType": "Ended", "seqNo": 1} | ended)
        state = await expect(one, "ocpp/state/CP2/2", session_active=False)
        assert (state["power"], state["session_energy"]) == (0, 1)
        [session] = (await one.request("GET", "api/sessions"))[1]
        assert (session["energy_wh"], session["reason"]) == (1000, "Remote")


async def test_a_limit_that_a_charger_accepts_is_seen(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        await charge(charger)
        schedule = {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10}],
        }
        payload = {"connectorId": 1, "csChargingProfiles": {"chargingSchedule": schedule}}
        await one.watch.publish(
            "ocpp/CP1/Call/SetChargingProfile", {"Action": "SetChargingProfile", "Payload": payload}
        )
        [_, unique_id, _, _] = await charger.receive()
        await charger.send([3, unique_id, {"status": "Accepted"}])
        await expect(one, "ocpp/state/CP1/1", current_limit=10)


async def test_time_goes_on_where_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REFRESH", "SEEN_EVERY", "GATHER"):
        monkeypatch.setattr(announcer, name, 0.05)
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        await charge(charger)
        [state] = one.gateway.home.states.of("CP1")[1:]
        assert state.session_started is not None
        state.session_started -= timedelta(hours=1)  # as if it ran for long
        await expect(one, "ocpp/state/CP1/1", session_duration=60)
        before = (await expect(one, "ocpp/state/CP1/0"))["last_seen"]
        await charger.call("Heartbeat")
        await until(lambda: shown(one, "ocpp/state/CP1/0")["last_seen"] > before)


async def test_what_was_measured_is_there_for_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "EVERY", 0.05)
    since = datetime.now(UTC)
    async with stand(tmp_path) as one, one.charger("CP1") as charger:
        await charge(charger)
        await expect(one, "ocpp/state/CP1/1", power=7400)
        await asyncio.sleep(0.3)
    async with stand(tmp_path) as one:
        samples = await one.gateway.management.samples("CP1", since, None)
        assert (samples[-1].power, samples[-1].energy) == (7400, 1250)


async def test_many_states_are_shown_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "AT_ONCE", 2)
    at_once: list[int] = []
    hand_over = announcer.Announcer._hand_over

    def counting(self: announcer.Announcer, due: list[announcer.Key]) -> None:
        at_once.append(len(due))
        hand_over(self, due)

    monkeypatch.setattr(announcer.Announcer, "_hand_over", counting)
    async with stand(tmp_path) as one:
        for number in range(5):
            one.gateway.announcer.touch(f"CP{number}")
        await until(lambda: sum(at_once) >= 5)
        assert max(at_once) == 2
