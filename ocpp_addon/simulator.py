"""A simulated OCPP 1.6 charger for demos and tests; it knows nothing of the gateway.

What it says goes through one queue, a Call at a time. Messages about transactions stay in it
until they are answered, so that they survive a lost connection (OCPP 1.6, 3.7.1).
"""

import asyncio
import base64
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ocpp.exceptions import OCPPError
from ocpp.v16 import call
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidURI, WebSocketException
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from ocpp_addon.errors import GatewayError
from ocpp_addon.simulated_connector import MEASURANDS, SimulatedConnector
from ocpp_addon.simulated_station import SimulatedStation
from ocpp_addon.text import printable, utc

_LOG = logging.getLogger(__name__)

# How often a message about a transaction is said again after a refusal.
ATTEMPTS = 3
# Messages that wait; beyond it only starts and stops of transactions are still taken.
QUEUE_LIMIT = 1000
ANSWER_TIMEOUT = 30.0
# Between attempts to connect.
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
# Between boots where the central system names no interval.
BOOT_INTERVAL = 10.0


@dataclass(eq=False)
class _Message:
    """Something to say; `build` makes it when its turn comes, None if it became pointless."""

    build: Callable[[], Any]
    answered: Callable[[Any], None] = lambda answer: None
    of_transaction: bool = False
    refusals: int = 0


class Simulator:
    """A charger that connects to `<url>/<charger_id>`; with `charge` a car starts by itself.

    `interval` are the seconds between meter values, `speed` is how much faster cars charge.
    """

    def __init__(
        self,
        charger_id: str,
        url: str,
        password: str | None = None,
        *,
        connectors: int = 1,
        charge: bool = False,
        interval: float = 10,
        speed: float = 1,
    ) -> None:
        self._url = f"{url.rstrip('/')}/{quote(charger_id, safe='')}"
        try:
            parse_uri(self._url)
        except (InvalidURI, ValueError):
            raise GatewayError(
                "The URL of a central system has the form ws://host:port/path."
            ) from None
        self.id = charger_id
        self.password = password
        self.accepted = False  # by the central system, on this connection
        self.connectors = {
            number: SimulatedConnector(number, speed) for number in range(1, connectors + 1)
        }
        self.configuration = {
            "HeartbeatInterval": "300",
            "MeterValueSampleInterval": f"{interval:g}",
            "MeterValuesSampledData": ",".join(MEASURANDS),
            "NumberOfConnectors": str(connectors),
            "SupportedFeatureProfiles": "Core,RemoteTrigger,SmartCharging",
            "ChargeProfileMaxStackLevel": "8",
            "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
        }
        self._a_car_waits = charge
        self._queue: deque[_Message] = deque()
        self._queued = asyncio.Event()
        self._reconfigured = asyncio.Event()
        self._boot_now = asyncio.Event()
        self._resetting = False
        self._statuses: dict[int, str] = {}

    async def run(self) -> None:
        """Charge and stay connected until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample(), name="sample")
            tasks.create_task(self._stay_connected(), name="connection")

    def now(self) -> float:
        """Return the seconds of the clock by which cars charge."""
        return asyncio.get_running_loop().time()

    # What happens at the charger

    def plug_in(self, number: int, tag: str) -> None:
        """Let a car arrive whose driver shows `tag`; it charges if that is accepted."""

        def authorized(answer: Any) -> None:
            if answer.id_tag_info["status"] == "Accepted":
                self._a_car_waits = False
                self.start(number, tag)

        self.connectors[number].plugged_in = True
        self.say_changed_statuses()
        self.say(lambda: call.Authorize(id_tag=tag), authorized)

    def start(self, number: int, tag: str) -> None:
        """Begin a transaction; one whose tag turns out not to be accepted ends."""
        transaction = self.connectors[number].start(tag, self.now())
        payload = call.StartTransaction(
            connector_id=number,
            id_tag=tag,
            meter_start=transaction.meter_start,
            timestamp=utc(datetime.now(UTC)),
        )

        def started(answer: Any) -> None:
            transaction.id = answer.transaction_id
            refused = answer.id_tag_info["status"] != "Accepted"
            if refused and self.connectors[number].transaction is transaction:
                self.stop(number, "DeAuthorized")

        self.say(lambda: payload, started, of_transaction=True)
        self.say_changed_statuses()

    def stop(self, number: int, reason: str) -> None:
        """End the transaction of a connector."""
        connector = self.connectors[number]
        transaction = connector.transaction
        if transaction is None:
            return
        meter_stop = connector.advance(self.now())
        timestamp = utc(datetime.now(UTC))
        self.say_meter_values(number, "Transaction.End")
        connector.stop(self.now())

        def payload() -> Any:
            if transaction.id is None:  # its start was refused for good
                return None
            return call.StopTransaction(
                meter_stop=meter_stop,
                timestamp=timestamp,
                transaction_id=transaction.id,
                reason=reason,
                id_tag=transaction.tag,
            )

        self.say(payload, of_transaction=True)
        self.say_changed_statuses()

    def configure(self, key: str, value: str) -> None:
        """Change the configuration."""
        self.configuration[key] = value
        self._reconfigured.set()
        self._queued.set()

    def reset(self, reason: str) -> None:
        """End all transactions, then connect and boot anew."""
        for number in self.connectors:
            self.stop(number, reason)
        self._resetting = True
        self._queued.set()

    async def _sample(self) -> None:
        while True:
            self._reconfigured.clear()
            try:
                async with asyncio.timeout(self._seconds("MeterValueSampleInterval")):
                    await self._reconfigured.wait()
            except TimeoutError:
                for number, connector in self.connectors.items():
                    if connector.transaction:
                        self.say_meter_values(number, "Sample.Periodic")
                self.say_changed_statuses()

    def _seconds(self, key: str) -> float | None:
        """Return a configured interval, None for 0: never."""
        return float(self.configuration[key]) or None

    # What the charger says

    def say(
        self,
        build: Callable[[], Any],
        answered: Callable[[Any], None] = lambda answer: None,
        of_transaction: bool = False,
    ) -> None:
        """Queue a Call; `build` makes its payload when its turn comes."""
        if of_transaction or len(self._queue) < QUEUE_LIMIT:
            self._queue.append(_Message(build, answered, of_transaction))
            self._queued.set()

    def say_status(self, number: int) -> None:
        """Say what a connector does; number 0 is the charger itself."""
        status = self.connectors[number].status(self.now()) if number else "Available"
        self._statuses[number] = status
        payload = call.StatusNotification(
            connector_id=number,
            error_code="NoError",
            status=status,
            timestamp=utc(datetime.now(UTC)),
        )
        self.say(lambda: payload)

    def say_changed_statuses(self) -> None:
        """Say the statuses that are not what was said last; the others are said after a boot."""
        for number, connector in self.connectors.items():
            if connector.status(self.now()) != self._statuses.get(number):
                self.say_status(number)

    def say_meter_values(self, number: int, context: str) -> None:
        """Say what the meter of a connector shows now."""
        if len(self._queue) >= QUEUE_LIMIT:
            return
        connector = self.connectors[number]
        transaction = connector.transaction
        meter_value = [
            {
                "timestamp": utc(datetime.now(UTC)),
                "sampled_value": connector.samples(self.now(), context),
            }
        ]
        self.say(
            lambda: call.MeterValues(
                connector_id=number,
                meter_value=meter_value,
                transaction_id=transaction.id if transaction else None,
            ),
            of_transaction=transaction is not None,
        )

    def boot_again(self) -> None:
        """Say BootNotification, at once if it is what the charger waits to do."""
        if self.accepted:
            self.say(self._boot_notification)
        self._boot_now.set()

    def _boot_notification(self) -> Any:
        return call.BootNotification(
            charge_point_vendor="Simulated",
            charge_point_model=f"AC{len(self.connectors)}",
            charge_point_serial_number=self.id[:25],
            firmware_version="1.0",
        )

    # The connection

    async def _stay_connected(self) -> None:
        pause = SHORTEST_PAUSE
        while True:
            try:
                connection = await connect(
                    self._url,
                    subprotocols=[Subprotocol("ocpp1.6")],
                    additional_headers=self._credentials(),
                    compression=None,
                    close_timeout=1,
                    proxy=None,
                )
            except (OSError, WebSocketException) as error:
                _LOG.warning("%s: no connection: %s", self.id, printable(error, 200))
            else:
                _LOG.info("%s: connected to %s", self.id, self._url)
                await self._converse(connection)
                _LOG.info("%s: disconnected", self.id)
                if self.accepted:
                    pause = SHORTEST_PAUSE
                self.accepted = self._resetting = False
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _credentials(self) -> dict[str, str]:
        if self.password is None:
            return {}
        pair = f"{self.id}:{self.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    async def _converse(self, connection: ClientConnection) -> None:
        """Talk and listen until one of both ends."""
        station = SimulatedStation(self, connection, ANSWER_TIMEOUT)
        # What is not about a transaction is of no use on another connection.
        self._queue = deque(message for message in self._queue if message.of_transaction)
        tasks = [
            asyncio.create_task(station.start(), name="listen"),
            asyncio.create_task(self._talk(station), name="talk"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            while unfinished := [task for task in tasks if not task.done()]:
                for task in unfinished:
                    task.cancel()
                # Once is not enough: before Python 3.12 asyncio.wait_for, in which the ocpp
                # package awaits answers, loses a cancellation that meets the answer.
                await asyncio.wait(unfinished, timeout=0.1)
            await connection.close()
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error and not isinstance(error, WebSocketException):
                _LOG.warning("%s: gave up: %s", self.id, printable(repr(error), 200))

    async def _talk(self, station: SimulatedStation) -> None:
        await self._boot(station)
        self.accepted = True
        for number in (0, *self.connectors):
            self.say_status(number)
        if self._a_car_waits:
            self.plug_in(1, "SIMULATED")
        while not self._resetting or any(message.of_transaction for message in self._queue):
            if not self._queue:
                await self._wait_for_message()
            elif await self._said(station, self._queue[0]):
                self._queue.popleft()

    async def _boot(self, station: SimulatedStation) -> None:
        """Say BootNotification and nothing else until it is accepted (OCPP 1.6, 4.2)."""
        while True:
            self._boot_now.clear()
            answer = None
            with contextlib.suppress(OCPPError, TimeoutError):
                answer = await station.call(self._boot_notification(), suppress=False)
            status = answer.status if answer else "not answered"
            _LOG.info("%s: boot %s", self.id, printable(status))
            interval = answer.interval if answer else 0
            if status == "Accepted":
                if interval > 0:
                    self.configuration["HeartbeatInterval"] = str(interval)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval if interval > 0 else BOOT_INTERVAL):
                    await self._boot_now.wait()

    async def _wait_for_message(self) -> None:
        """Wait for something to say; after long silence that is a Heartbeat."""
        self._queued.clear()
        try:
            async with asyncio.timeout(self._seconds("HeartbeatInterval")):
                await self._queued.wait()
        except TimeoutError:
            self.say(call.Heartbeat)

    async def _said(self, station: SimulatedStation, message: _Message) -> bool:
        """Say a message and tell whether that is done with."""
        payload = message.build()
        if payload is None:
            return True
        try:
            answer = await station.call(payload, suppress=False)
        except (OCPPError, TimeoutError) as error:
            what = type(payload).__name__
            _LOG.warning("%s: %s failed: %s", self.id, what, printable(error, 200))
            message.refusals += 1
            return not message.of_transaction or message.refusals >= ATTEMPTS
        message.answered(answer)
        return True
