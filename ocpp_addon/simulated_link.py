"""How the simulated charger reaches its central system: dials, boots, and says what is queued."""

import asyncio
import base64
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ocpp.exceptions import OCPPError
from ocpp.v16 import call
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidURI, WebSocketException
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from ocpp_addon.errors import GatewayError
from ocpp_addon.simulated_station import SimulatedStation
from ocpp_addon.text import printable

if TYPE_CHECKING:
    from ocpp_addon.simulator import Simulator

_LOG = logging.getLogger("ocpp_addon.simulator")

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
class Message:
    """Something to say; `build` makes it when its turn comes, None if it became pointless."""

    build: Callable[[], Any]
    answered: Callable[[Any], None] = lambda answer: None
    of_transaction: bool = False
    refusals: int = 0


class SimulatedLink:
    """Say one Call at a time, on as many connections as it takes; raises GatewayError for a URL.

    Messages about transactions wait until they are answered, so that they survive a lost
    connection (OCPP 1.6 3.7.1).
    """

    def __init__(self, charger: "Simulator", url: str) -> None:
        self._url = f"{url.rstrip('/')}/{quote(charger.id, safe='')}"
        try:
            parse_uri(self._url)
        except (InvalidURI, ValueError):
            raise GatewayError(
                "The URL of a central system has the form ws://host:port/path."
            ) from None
        self.accepted = False  # by the central system, on this connection
        self.queue: deque[Message] = deque()
        self._charger = charger
        self._queued = asyncio.Event()
        self._boot_now = asyncio.Event()
        self._resetting = False

    @property
    def full(self) -> bool:
        """Tell whether only starts and stops of transactions are taken."""
        return len(self.queue) >= QUEUE_LIMIT

    def say(self, message: Message) -> None:
        """Queue a message."""
        if message.of_transaction or not self.full:
            self.queue.append(message)
            self._queued.set()

    def heed(self) -> None:
        """Look at the configuration again."""
        self._queued.set()

    def boot(self) -> None:
        """Say BootNotification now if it is what the charger waits to do."""
        self._boot_now.set()

    def reset(self) -> None:
        """Connect anew, once what is queued about transactions was said."""
        self._resetting = True
        self._queued.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
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
                _LOG.warning("%s: no connection: %s", self._charger.id, printable(error, 200))
            else:
                _LOG.info("%s: connected to %s", self._charger.id, self._url)
                await self._converse(connection)
                _LOG.info("%s: disconnected", self._charger.id)
                if self.accepted:
                    pause = SHORTEST_PAUSE
                self.accepted = self._resetting = False
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _credentials(self) -> dict[str, str]:
        if self._charger.password is None:
            return {}
        pair = f"{self._charger.id}:{self._charger.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    async def _converse(self, connection: ClientConnection) -> None:
        """Talk and listen until one of both ends."""
        station = SimulatedStation(self._charger, connection, ANSWER_TIMEOUT)
        # What is not about a transaction is of no use on another connection.
        self.queue = deque(message for message in self.queue if message.of_transaction)
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
                _LOG.warning("%s: gave up: %s", self._charger.id, printable(repr(error), 200))

    async def _talk(self, station: SimulatedStation) -> None:
        await self._boot(station)
        self.accepted = True
        for number in (0, *self._charger.connectors):
            self._charger.say_status(number)
        if self._charger.a_car_waits:
            self._charger.plug_in(1, "SIMULATED")
        while not self._resetting or any(message.of_transaction for message in self.queue):
            if not self.queue:
                await self._wait_for_message()
            elif await self._said(station, self.queue[0]):
                self.queue.popleft()

    async def _boot(self, station: SimulatedStation) -> None:
        """Say BootNotification and nothing else until it is accepted (OCPP 1.6, 4.2)."""
        while True:
            self._boot_now.clear()
            answer = None
            with contextlib.suppress(OCPPError, TimeoutError):
                answer = await station.call(self._charger.boot_notification(), suppress=False)
            status = answer.status if answer else "not answered"
            _LOG.info("%s: boot %s", self._charger.id, printable(status))
            interval = answer.interval if answer else 0
            if status == "Accepted":
                if interval > 0:
                    self._charger.configuration["HeartbeatInterval"] = str(interval)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval if interval > 0 else BOOT_INTERVAL):
                    await self._boot_now.wait()

    async def _wait_for_message(self) -> None:
        """Wait for something to say; after long silence that is a Heartbeat."""
        self._queued.clear()
        try:
            async with asyncio.timeout(self._charger.seconds("HeartbeatInterval")):
                await self._queued.wait()
        except TimeoutError:
            self.say(Message(call.Heartbeat))

    async def _said(self, station: SimulatedStation, message: Message) -> bool:
        """Say a message and tell whether that is done with."""
        payload = message.build()
        if payload is None:
            return True
        try:
            answer = await station.call(payload, suppress=False)
        except (OCPPError, TimeoutError) as error:
            what = type(payload).__name__
            _LOG.warning("%s: %s failed: %s", self._charger.id, what, printable(error, 200))
            message.refusals += 1
            return not message.of_transaction or message.refusals >= ATTEMPTS
        message.answered(answer)
        return True
