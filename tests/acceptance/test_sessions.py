"""Whole charging sessions of a charger made with the `ocpp` package, in both modes.

The package is strict: it checks each answer against its schema, and each command too.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ocpp import v16, v201
from ocpp.routing import on
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.patience import until
from tests.support.stand import Seen, Stand, stand

START, STOP = "2026-11-24T17:00:00Z", "2026-11-24T18:00:00Z"


class ChargePoint16(v16.ChargePoint):
    """A charger that notes its commands."""

    commands: list[str]

    @on("RemoteStartTransaction")
    def remote_start(self, id_tag: str, **_: Any) -> result16.RemoteStartTransaction:
        self.commands.append(f"start {id_tag}")
        return result16.RemoteStartTransaction("Accepted")

    @on("RemoteStopTransaction")
    def remote_stop(self, transaction_id: int) -> result16.RemoteStopTransaction:
        self.commands.append(f"stop {transaction_id}")
        return result16.RemoteStopTransaction("Accepted")

    @on("GetConfiguration")
    def configuration(self, **_: Any) -> result16.GetConfiguration:
        item = {"key": "HeartbeatInterval", "readonly": False, "value": "300"}
        return result16.GetConfiguration(configuration_key=[item])


class ChargePoint201(v201.ChargePoint):
    """The same of OCPP 2.0.1."""

    commands: list[str]

    @on("RequestStartTransaction")
    def remote_start(self, remote_start_id: int, **_: Any) -> result201.RequestStartTransaction:
        self.commands.append(f"start {remote_start_id}")
        return result201.RequestStartTransaction("Accepted")


@contextlib.asynccontextmanager
async def charger(one: Stand, kind: Any, subprotocol: str) -> AsyncIterator[Any]:
    """Connect a charger of the package."""
    async with connect(f"{one.url}/CP1", subprotocols=[Subprotocol(subprotocol)]) as socket:
        point = kind("CP1", socket, response_timeout=15)
        point.commands = []
        running = asyncio.create_task(point.start())
        try:
            yield point
        finally:
            running.cancel()
            await asyncio.wait({running})


def respond(one: Stand, answers: dict[str, Any]) -> None:
    """Let somebody on MQTT answer the chargers' Calls."""
    answering: set[asyncio.Task[None]] = set()

    def on_message(seen: Seen) -> None:
        if seen.topic.startswith("ocpp/cp/CP1/") and "/Reply/" not in seen.topic:
            call = json.loads(seen.payload)
            answer = {
                "MessageTypeId": 3,
                "UniqueId": call["UniqueId"],
                "Payload": answers[call["Action"]],
            }
            topic = f"ocpp/cp/CP1/Reply/{call['Action']}"
            task = asyncio.create_task(one.watch.publish(topic, answer))
            answering.add(task)
            task.add_done_callback(answering.discard)

    one.watch.on_message = on_message


ACCEPTED = {"idTagInfo": {"status": "Accepted"}}
ANSWERS16: dict[str, Any] = {
    "BootNotification": {"status": "Accepted", "currentTime": START, "interval": 77},
    "StatusNotification": {},
    "Heartbeat": {"currentTime": START},
    "Authorize": ACCEPTED,
    "StartTransaction": ACCEPTED | {"transactionId": 4711},
    "MeterValues": {},
    "StopTransaction": ACCEPTED,
    "DataTransfer": {"status": "Accepted"},
}


@pytest.mark.parametrize("central_system", ["home", "external"])
async def test_a_session_of_1_6(tmp_path: Path, central_system: str) -> None:
    options: dict[str, Any] = {"central_system": central_system, "answer_timeout": 0}
    external = central_system == "external"
    async with stand(tmp_path, **options) as one:
        if external:
            respond(one, ANSWERS16)
        async with charger(one, ChargePoint16, "ocpp1.6") as point:
            boot = await point.call(call16.BootNotification("model1", "vendor1"))
            assert (boot.status, boot.interval) == ("Accepted", 77 if external else 300)
            for shown in ("Available", "Preparing"):
                await point.call(call16.StatusNotification(1, "NoError", shown))
            assert (await point.call(call16.Heartbeat())).current_time.endswith("Z")
            command = {"Action": "RemoteStartTransaction", "Payload": {"idTag": "T"}}
            await one.watch.publish("ocpp/CP1/Call/x", command)
            await until(lambda: point.commands == ["start T"])
            authorized = await point.call(call16.Authorize("T"))
            assert authorized.id_tag_info["status"] == "Accepted"
            started = await point.call(call16.StartTransaction(1, "T", 1000, START))
            transaction = started.transaction_id
            assert (transaction == 4711) == external
            await point.call(call16.StatusNotification(1, "NoError", "Charging"))
            for energy in ("2000", "3500"):
                sampled = [{"value": energy, "measurand": "Energy.Active.Import.Register"}]
                values = [{"timestamp": START, "sampledValue": sampled}]
                await point.call(call16.MeterValues(1, values, transaction))
            vendor = await point.call(call16.DataTransfer("vendor1", data="x"))
            assert vendor.status == ("Accepted" if external else "UnknownVendorId")
            command = {"Action": "RemoteStopTransaction", "Payload": {"transactionId": transaction}}
            await one.watch.publish("ocpp/CP1/Call/x", command)
            await until(lambda: point.commands[1:] == [f"stop {transaction}"])
            stop = call16.StopTransaction(4000, STOP, transaction, "Remote", "T")
            assert (await point.call(stop)).id_tag_info["status"] == "Accepted"
            await point.call(call16.StatusNotification(1, "NoError", "Available"))
            body = {"action": "GetConfiguration", "payload": {}}
            status, outcome = await one.request("POST", "api/chargers/CP1/call", body)
            assert status == 200
            assert outcome["result"]["configurationKey"][0]["value"] == "300"

        _, [session] = await one.request("GET", "api/sessions")
        assert session["transaction_id"] == transaction
        assert (session["energy_wh"], session["tag"], session["reason"]) == (3000, "T", "Remote")
        assert (session["started_at"], session["ended_at"]) == (
            "2026-11-24T17:00:00.000Z",
            "2026-11-24T18:00:00.000Z",
        )
        assert bool(one.watch.on("ocpp/cp/Answer/CP1")) != external
        assert len(one.watch.on("ocpp/cp/Reply/CP1")) == 3
        assert not one.watch.on("ocpp/cp/Error/CP1")
        sent = [seen for seen in one.watch.seen if seen.topic.startswith("ocpp/cp/")]
        assert not [seen for seen in sent if seen.marks("warning") or seen.marks("repaired")]


ANSWERS201: dict[str, Any] = {
    "BootNotification": {"status": "Accepted", "currentTime": START, "interval": 77},
    "StatusNotification": {},
    "Authorize": {"idTokenInfo": {"status": "Accepted"}},
    "TransactionEvent": {"idTokenInfo": {"status": "Accepted"}},
}


@pytest.mark.parametrize("central_system", ["home", "external"])
async def test_a_session_of_2_0_1(tmp_path: Path, central_system: str) -> None:
    options: dict[str, Any] = {"central_system": central_system, "answer_timeout": 0}
    token = {"idToken": "T", "type": "ISO14443"}

    def event(kind: str, number: int, energy: int, at: str) -> call201.TransactionEvent:
        sample = {"value": energy, "measurand": "Energy.Active.Import.Register"}
        return call201.TransactionEvent(
            event_type=kind,
            timestamp=at,
            trigger_reason="Authorized",
            seq_no=number,
            transaction_info={"transactionId": "abc-1"},
            id_token=token,
            evse={"id": 1, "connectorId": 1},
            meter_value=[{"timestamp": at, "sampledValue": [sample]}],
        )

    async with stand(tmp_path, **options) as one:
        if central_system == "external":
            respond(one, ANSWERS201)
        async with charger(one, ChargePoint201, "ocpp2.0.1") as point:
            station = {"model": "model1", "vendorName": "vendor1"}
            boot = await point.call(call201.BootNotification(station, "PowerUp"))
            assert boot.status == "Accepted"
            await point.call(call201.StatusNotification(START, "Occupied", 1, 1))
            authorized = await point.call(call201.Authorize(id_token=token))
            assert authorized.id_token_info["status"] == "Accepted"
            started = await point.call(event("Started", 0, 1000, START))
            assert started.id_token_info["status"] == "Accepted"
            await point.call(event("Updated", 1, 2000, START))
            body = {"remoteStartId": 5, "idToken": token}
            command = {"Action": "RequestStartTransaction", "Payload": body}
            await one.watch.publish("ocpp/CP1/Call/x", command)
            await until(lambda: point.commands == ["start 5"])
            await point.call(event("Ended", 2, 4000, STOP))
        seen = one.watch.on("ocpp/cp/CP1/TransactionEvent")
        assert [each.json["Payload"]["seqNo"] for each in seen] == [0, 1, 2]
        assert not [each for each in one.watch.seen if each.marks("warning")]
        _, [session] = await one.request("GET", "api/sessions")
        assert (session["energy_wh"], session["tag"]) == (3000, "T")
