"""The simulated charger against a central system made with the ocpp package."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ocpp_addon.errors import GatewayError
from ocpp_addon.simulator import Simulator, link, queue
from ocpp_addon.simulator.station import SimulatedStation


class Central:
    """Everything that the simulated charger said, and how it is answered."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.more = asyncio.Event()
        self.boots = ["Accepted"]  # the last one stays
        self.interval = 300
        self.tag_status = "Accepted"
        self.transactions = 0
        self.connections: list[ServerConnection] = []
        self.station: ChargePoint | None = None

    def record(self, action: str, payload: dict[str, Any]) -> None:
        self.said.append((action, payload))
        self.more.set()

    def actions(self) -> list[str]:
        return [action for action, _ in self.said]

    def of(self, action: str) -> list[dict[str, Any]]:
        return [payload for said, payload in self.said if said == action]

    def said_since(self, action: str, before: int) -> bool:
        return len(self.of(action)) > before

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until something the charger said makes it true."""
        async with asyncio.timeout(20):
            while not true():
                self.more.clear()
                await self.more.wait()

    async def send(self, payload: Any) -> Any:
        assert self.station is not None
        return await self.station.call(payload, suppress=False)

    async def converse(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        self.station = _Answers(self, connection)
        with suppress(ConnectionClosed):
            await self.station.start()


class _Answers(ChargePoint):
    def __init__(self, central: Central, connection: ServerConnection) -> None:
        super().__init__("charger", connection)
        self._central = central

    async def _handle_call(self, message: Any) -> Any:
        self._central.record(message.action, message.payload)
        return await super()._handle_call(message)

    @on("BootNotification")
    def boot(self, **_: Any) -> Any:
        boots = self._central.boots
        return call_result.BootNotification(
            current_time=datetime.now(UTC).isoformat(),
            interval=self._central.interval,
            status=boots.pop(0) if len(boots) > 1 else boots[0],
        )

    @on("Heartbeat")
    def heartbeat(self) -> Any:
        return call_result.Heartbeat(current_time=datetime.now(UTC).isoformat())

    @on("StatusNotification")
    def status(self, **_: Any) -> Any:
        return call_result.StatusNotification()

    @on("MeterValues")
    def meter_values(self, **_: Any) -> Any:
        return call_result.MeterValues()

    @on("Authorize")
    def authorize(self, **_: Any) -> Any:
        return call_result.Authorize(id_tag_info={"status": "Accepted"})

    @on("StartTransaction")
    def start_transaction(self, **_: Any) -> Any:
        self._central.transactions += 1
        return call_result.StartTransaction(
            transaction_id=self._central.transactions,
            id_tag_info={"status": self._central.tag_status},
        )

    @on("StopTransaction")
    def stop_transaction(self, **_: Any) -> Any:
        return call_result.StopTransaction()


@pytest.fixture
async def central() -> AsyncIterator[Central]:
    yield Central()


@asynccontextmanager
async def listening(central: Central, port: int = 0) -> AsyncIterator[tuple[Server, int]]:
    async with serve(
        central.converse,
        "127.0.0.1",
        port,
        subprotocols=["ocpp1.6"],  # type: ignore[list-item]  # a NewType of str
        close_timeout=1,
    ) as server:
        yield server, next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def charger(central: Central, **options: Any) -> AsyncIterator[Simulator]:
    async with listening(central) as (_, port), charger_at(port, **options) as simulated:
        yield simulated


@asynccontextmanager
async def charger_at(port: int, **options: Any) -> AsyncIterator[Simulator]:
    url = f"ws://127.0.0.1:{port}/ocpp/"
    simulated = Simulator("SIM 1", url, options.pop("password", None), **options)
    running = asyncio.create_task(simulated.run())
    try:
        yield simulated
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SHORTEST_PAUSE", 0.02)


def statuses(central: Central, connector: int = 1) -> list[str]:
    said = central.of("StatusNotification")
    return [payload["status"] for payload in said if payload["connectorId"] == connector]


async def test_boots_and_says_the_status_of_all_connectors(central: Central) -> None:
    async with charger(central, connectors=2, password="s3cret"):
        await central.until(lambda: len(central.of("StatusNotification")) == 3)
    assert central.actions()[0] == "BootNotification"
    assert [one["connectorId"] for one in central.of("StatusNotification")] == [0, 1, 2]
    request = central.connections[0].request
    assert request is not None
    assert request.path == "/ocpp/SIM%201"
    credentials = base64.b64encode(b"SIM 1:s3cret").decode()
    assert request.headers["Authorization"] == f"Basic {credentials}"
    assert central.connections[0].subprotocol == "ocpp1.6"


async def test_says_nothing_before_its_boot_is_accepted(central: Central) -> None:
    central.boots = ["Pending", "Rejected", "Accepted"]
    central.interval = 1
    async with charger(central, charge=True, interval=0.05):
        await central.until(lambda: len(statuses(central)) >= 2)
    assert central.actions()[:4] == ["BootNotification"] * 3 + ["StatusNotification"]
    assert statuses(central)[:2] == ["Available", "Preparing"]


async def test_boots_at_once_when_asked_while_pending(central: Central) -> None:
    central.boots = ["Pending", "Accepted"]
    async with charger(central):
        await central.until(lambda: central.said)
        answer = await central.send(call.RemoteStartTransaction(id_tag="TAG"))
        assert answer.status == "Rejected"
        answer = await central.send(call.TriggerMessage(requested_message="Heartbeat"))
        assert answer.status == "Rejected"
        answer = await central.send(call.TriggerMessage(requested_message="BootNotification"))
        assert answer.status == "Accepted"
        await central.until(lambda: "StatusNotification" in central.actions())
    assert central.actions().count("BootNotification") == 2


async def test_heartbeats_come_in_the_interval_of_the_boot(central: Central) -> None:
    central.interval = 1
    async with charger(central):
        await central.until(lambda: len(central.of("Heartbeat")) == 2)


async def test_a_car_charges_by_itself_and_the_meter_rises(central: Central) -> None:
    async with charger(central, charge=True, interval=0.05, speed=3600):
        await central.until(lambda: len(central.of("MeterValues")) >= 3)
    assert statuses(central)[:3] == ["Available", "Preparing", "Charging"]
    assert central.of("Authorize") == [{"idTag": "SIMULATED"}]
    start = central.of("StartTransaction")[0]
    readings = [start["meterStart"]]
    for payload in central.of("MeterValues"):
        assert payload["transactionId"] == 1
        values = {one["measurand"]: one for one in payload["meterValue"][0]["sampledValue"]}
        readings.append(int(values["Energy.Active.Import.Register"]["value"]))
        assert values["Energy.Active.Import.Register"]["unit"] == "Wh"
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


async def test_remote_start_with_a_limit_and_remote_stop(central: Central) -> None:
    async with charger(central, interval=60) as simulated:
        await central.until(lambda: statuses(central))
        profile = {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": {
                "chargingRateUnit": "W",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6900}],
            },
        }
        start = call.RemoteStartTransaction(id_tag="TAG", charging_profile=profile)
        assert (await central.send(start)).status == "Accepted"
        await central.until(lambda: "Charging" in statuses(central))
        assert simulated.connectors[1].current(simulated.now()) == pytest.approx(10)
        assert (await central.send(start)).status == "Rejected"
        stop = call.RemoteStopTransaction(transaction_id=99)
        assert (await central.send(stop)).status == "Rejected"
        stop = call.RemoteStopTransaction(transaction_id=1)
        assert (await central.send(stop)).status == "Accepted"
        await central.until(lambda: "StopTransaction" in central.actions())
        await central.until(lambda: statuses(central)[-1] == "Available")
    said = central.of("StopTransaction")[0]
    assert (said["transactionId"], said["reason"], said["idTag"]) == (1, "Remote", "TAG")
    assert central.of("MeterValues")[-1]["meterValue"][0]["sampledValue"][0]["context"] == (
        "Transaction.End"
    )


async def test_a_transaction_whose_tag_is_refused_ends(central: Central) -> None:
    central.tag_status = "Blocked"
    async with charger(central):
        await central.until(lambda: statuses(central))
        await central.send(call.RemoteStartTransaction(id_tag="TAG", connector_id=1))
        await central.until(lambda: "StopTransaction" in central.actions())
    assert central.of("StopTransaction")[0]["reason"] == "DeAuthorized"


async def test_obeys_limits_and_forgets_them(central: Central) -> None:
    profile: dict[str, Any] = {
        "chargingProfileId": 7,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 0.0}],
        },
    }
    async with charger(central, charge=True):
        await central.until(lambda: "Charging" in statuses(central))
        command = call.SetChargingProfile(connector_id=0, cs_charging_profiles=profile)
        assert (await central.send(command)).status == "Accepted"
        await central.until(lambda: statuses(central)[-1] == "SuspendedEVSE")
        clear = call.ClearChargingProfile(id=8)
        assert (await central.send(clear)).status == "Unknown"
        clear = call.ClearChargingProfile(connector_id=1)
        assert (await central.send(clear)).status == "Accepted"
        await central.until(lambda: statuses(central)[-1] == "Charging")
        profile["chargingProfilePurpose"] = "TxProfile"
        command = call.SetChargingProfile(connector_id=0, cs_charging_profiles=profile)
        assert (await central.send(command)).status == "Rejected"
        command = call.SetChargingProfile(connector_id=1, cs_charging_profiles=profile)
        assert (await central.send(command)).status == "Accepted"


async def test_configuration_is_read_and_changed(central: Central) -> None:
    async with charger(central, interval=60) as simulated:
        await central.until(lambda: statuses(central))
        everything = await central.send(call.GetConfiguration())
        keys = {one["key"]: one for one in everything.configuration_key}
        assert keys["NumberOfConnectors"] == {
            "key": "NumberOfConnectors",
            "readonly": True,
            "value": "1",
        }
        some = await central.send(call.GetConfiguration(key=["HeartbeatInterval", "Colour"]))
        assert [one["key"] for one in some.configuration_key] == ["HeartbeatInterval"]
        assert some.unknown_key == ["Colour"]
        for key, value, status in (
            ("MeterValueSampleInterval", "soon", "Rejected"),
            ("MeterValueSampleInterval", "-1", "Rejected"),
            ("NumberOfConnectors", "2", "Rejected"),
            ("Colour", "red", "NotSupported"),
            ("AuthorizationKey", "0123456789abcdef", "Accepted"),
            ("HeartbeatInterval", "0", "Accepted"),
        ):
            answer = await central.send(call.ChangeConfiguration(key=key, value=value))
            assert (key, answer.status) == (key, status)
        assert simulated.password == "0123456789abcdef"
        assert "0123456789abcdef" not in repr(await central.send(call.GetConfiguration()))
        await central.send(call.RemoteStartTransaction(id_tag="TAG"))
        faster = call.ChangeConfiguration(key="MeterValueSampleInterval", value="0.05")
        assert (await central.send(faster)).status == "Accepted"
        await central.until(lambda: len(central.of("MeterValues")) >= 2)


async def test_reset_ends_transactions_then_connects_and_boots_anew(central: Central) -> None:
    async with charger(central, charge=True):
        await central.until(lambda: "Charging" in statuses(central))
        assert (await central.send(call.Reset(type="Soft"))).status == "Accepted"
        await central.until(lambda: central.actions().count("BootNotification") == 2)
        assert central.of("StopTransaction")[0]["reason"] == "SoftReset"
        assert len(central.connections) == 2
        await central.until(lambda: statuses(central)[-1] == "Available")


async def test_unlock_availability_and_the_rest(central: Central) -> None:
    async with charger(central, charge=True):
        await central.until(lambda: "Charging" in statuses(central))
        change = call.ChangeAvailability(connector_id=0, type="Inoperative")
        assert (await central.send(change)).status == "Scheduled"
        unlock = call.UnlockConnector(connector_id=2)
        assert (await central.send(unlock)).status == "NotSupported"
        unlock = call.UnlockConnector(connector_id=1)
        assert (await central.send(unlock)).status == "Unlocked"
        await central.until(lambda: statuses(central)[-1] == "Unavailable")
        assert central.of("StopTransaction")[0]["reason"] == "UnlockCommand"
        start = call.RemoteStartTransaction(id_tag="TAG", connector_id=1)
        assert (await central.send(start)).status == "Rejected"
        change = call.ChangeAvailability(connector_id=1, type="Operative")
        assert (await central.send(change)).status == "Accepted"
        await central.until(lambda: statuses(central)[-1] == "Available")
        change = call.ChangeAvailability(connector_id=5, type="Operative")
        assert (await central.send(change)).status == "Rejected"
        assert (await central.send(call.ClearCache())).status == "Accepted"
        transfer = call.DataTransfer(vendor_id="com.example")
        assert (await central.send(transfer)).status == "UnknownVendorId"


async def test_says_what_it_is_triggered_to_say(central: Central) -> None:
    async with charger(central, interval=60):
        await central.until(lambda: statuses(central))
        for message in ("Heartbeat", "MeterValues", "StatusNotification", "BootNotification"):
            before = len(central.of(message))
            trigger = call.TriggerMessage(requested_message=message)
            assert (await central.send(trigger)).status == "Accepted"
            await central.until(partial(central.said_since, message, before))
        trigger = call.TriggerMessage(requested_message="FirmwareStatusNotification")
        assert (await central.send(trigger)).status == "NotImplemented"
        trigger = call.TriggerMessage(requested_message="MeterValues", connector_id=9)
        assert (await central.send(trigger)).status == "Rejected"


async def test_keeps_what_it_has_to_say_about_transactions_while_offline(central: Central) -> None:
    async with charger(central, charge=True, interval=60) as simulated:
        await central.until(lambda: "Charging" in statuses(central))
        await central.connections[0].close()
        simulated.say_meter_values(1, "Sample.Periodic")
        simulated.stop(1, "EVDisconnected")
        await central.until(lambda: "StopTransaction" in central.actions())
    after = central.actions()[central.actions().index("BootNotification", 1) :]
    assert after[0] == "BootNotification"
    assert after.index("MeterValues") < after.index("StopTransaction")
    assert central.of("StopTransaction")[0]["reason"] == "EVDisconnected"


async def test_connects_again_until_the_central_system_is_back(central: Central) -> None:
    async with listening(central) as (_, port):
        pass
    async with charger_at(port):
        await asyncio.sleep(0.1)  # several refused attempts; the assertion needs none of them
        async with listening(central, port):
            await central.until(lambda: "StatusNotification" in central.actions())


async def test_ends_even_when_a_cancellation_gets_lost(
    central: Central, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SimulatedStation.call
    waiting = asyncio.Event()

    async def call_that_loses_one(station: SimulatedStation, *given: Any, **more: Any) -> Any:
        answer = await real(station, *given, **more)
        if not waiting.is_set():
            waiting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(SimulatedStation, "call", call_that_loses_one)
    async with asyncio.timeout(20), charger(central):
        await waiting.wait()


async def test_the_queue_is_bounded_but_never_drops_a_start_or_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue, "QUEUE_LIMIT", 5)
    simulated = Simulator("SIM1", "ws://127.0.0.1:1")
    simulated.start(1, "TAG")
    for _ in range(20):
        simulated.say_meter_values(1, "Sample.Periodic")
        simulated.say_status(1)
    simulated.stop(1, "Local")
    queued = simulated.queue.messages
    assert len(queued) == 6
    assert queued[0].of_transaction
    assert queued[-1].of_transaction


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ws://", "ws://host:999999", "garbage"])
async def test_a_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(GatewayError, match="form ws://host:port/path"):
        Simulator("SIM1", url)
