"""What happens at chargers, as it is told on MQTT."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon import controls, news
from tests.support.obedient import Obedient
from tests.support.patience import until
from tests.support.stand import Charger, Stand, stand

EVENTS = "ocpp/state/CP1/1/event"
START = {"connectorId": 1, "idTag": "card", "meterStart": 1000}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "QUIET", 0.0)
    monkeypatch.setattr(news, "RETURN", 1.5)


def last(one: Stand, topic: str) -> Any:
    """Return what was published last on a topic, None for nothing."""
    seen = one.watch.on(topic)
    return json.loads(seen[-1].payload) if seen else None


async def introduce(charger: Charger) -> None:
    await charger.boot()
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    await charger.call("StatusNotification", status)


async def start(charger: Charger, **fields: Any) -> int:
    started = await charger.call("StartTransaction", START | fields)
    return int(started[2]["transactionId"])


async def stop(charger: Charger, identity: int) -> None:
    stopped = {"transactionId": identity, "meterStop": 2500, "reason": "Local"}
    await charger.call("StopTransaction", stopped)


async def test_sessions_and_tags_are_told_after_their_state(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await introduce(charger)
        await charger.call("Authorize", {"idTag": "card"})
        scanned = await one.watch.expect("ocpp/state/CP1/0/tag")
        assert scanned.json == {"tag": "card"}
        started = await charger.call("StartTransaction", START)
        identity = started[2]["transactionId"]
        event = await one.watch.expect("ocpp/state/CP1/1/event")
        assert event.json["event_type"] == "session_started"
        assert (event.json["transaction_id"], event.json["id_tag"]) == (identity, "card")
        assert last(one, "ocpp/state/CP1/1")["session_active"] is True
        await charger.call(
            "StopTransaction", {"transactionId": identity, "meterStop": 2500, "reason": "Local"}
        )
        event = await one.watch.expect("ocpp/state/CP1/1/event", 2)
        assert event.json["event_type"] == "session_ended"
        assert (event.json["energy"], event.json["reason"]) == (1.5, "Local")
        assert last(one, "ocpp/state/CP1/1")["session_active"] is False
        assert not any(seen.retain for seen in one.watch.seen if seen.topic.endswith("/event"))


async def test_a_failure_is_told_and_the_state_shown_once_more(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as socket:
        await introduce(socket)
        charger = Obedient(socket, lambda action, payload: {"status": "Rejected"})
        serving = asyncio.create_task(charger.serve())
        await one.watch.expect("ocpp/state/CP1/1")
        for count in (1, 2):  # the same failure again is news all the same
            shown = len(one.watch.on("ocpp/state/CP1/1"))
            await one.watch.publish("ocpp/set/CP1/1/charging", b"ON")
            told = await one.watch.expect("ocpp/state/CP1/0/event", count)
            assert told.json["failure"] == "The charger refuses to start charging: Rejected."
            await one.watch.expect("ocpp/state/CP1/1", shown + 1)
            await until(
                lambda: last(one, "ocpp/state/CP1/0").get("failure", "").endswith("Rejected.")
            )
        charger.rule = lambda action, payload: {"status": "Accepted"}
        await one.watch.publish("ocpp/set/CP1/1/charging", b"ON")
        await until(lambda: "failure" not in last(one, "ocpp/state/CP1/0"))
        serving.cancel()


async def test_sessions_that_the_broker_missed_are_told_when_listeners_are_back(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await introduce(charger)
        await one.watch.expect("ocpp/state/CP1/1")
        await one.mosquitto.stop()
        await until(lambda: not one.gateway.broker.connected)
        await charger.call("Authorize", {"idTag": "card"})
        first = await start(charger)
        await stop(charger, first)
        second = await start(charger, meterStart=2500)
        await asyncio.sleep(1)
        await one.mosquitto.start()
        await until(lambda: one.gateway.broker.connected)
        await stop(charger, second)
        third = await start(charger, meterStart=2500)
        await one.watch.expect(EVENTS, 3)
        told = [event.json for event in one.watch.on(EVENTS)]
        assert [(event["event_type"], event["transaction_id"]) for event in told] == [
            ("session_ended", first),
            ("session_ended", second),
            ("session_started", third),
        ]
        assert (told[0]["energy"], told[0]["id_tag"]) == (1.5, "card")
        assert not one.watch.on("ocpp/state/CP1/0/tag")  # old news of it would open doors
        await stop(charger, third)
        await one.watch.expect(EVENTS, 4)


async def test_a_session_is_told_once_though_the_broker_goes_again(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await introduce(charger)
        await one.watch.expect("ocpp/state/CP1/1")
        await one.mosquitto.stop()
        await until(lambda: not one.gateway.broker.connected)
        await stop(charger, await start(charger))
        for _ in range(2):
            await one.mosquitto.start()
            await until(lambda: one.gateway.broker.connected)
            await one.mosquitto.stop()
            await until(lambda: not one.gateway.broker.connected)
        await one.mosquitto.start()
        await one.watch.expect(EVENTS)
        await asyncio.sleep(2)
        assert [event.json["event_type"] for event in one.watch.on(EVENTS)] == ["session_ended"]
