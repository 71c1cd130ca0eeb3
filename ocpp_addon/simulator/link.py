"""How the simulated charger reaches its central system: dials, boots, and says what is queued."""

import asyncio
import base64
import contextlib
import logging
import random
from urllib.parse import quote

from ocpp.exceptions import OCPPError
from ocpp.v16 import call
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidURI, WebSocketException
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from ocpp_addon.errors import GatewayError
from ocpp_addon.simulator.charger import SimulatedCharger
from ocpp_addon.simulator.queue import Message
from ocpp_addon.simulator.station import SimulatedStation
from ocpp_addon.text import printable

_LOG = logging.getLogger("ocpp_addon.simulator")

# How often a message about a transaction is said again after a refusal.
ATTEMPTS = 3
ANSWER_TIMEOUT = 30.0
# Between attempts to connect.
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
# Between boots where the central system names no interval.
BOOT_INTERVAL = 10.0


class SimulatedLink:
    """Say one Call at a time, on as many connections as it takes; GatewayError for a bad URL."""

    def __init__(self, charger: SimulatedCharger, url: str) -> None:
        self._url = f"{url.rstrip('/')}/{quote(charger.id, safe='')}"
        try:
            parse_uri(self._url)
        except (InvalidURI, ValueError):
            raise GatewayError(
                "The URL of a central system has the form ws://host:port/path."
            ) from None
        self._charger = charger
        self._queue = charger.queue

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
                if self._charger.accepted:
                    pause = SHORTEST_PAUSE
                self._charger.accepted = self._charger.resetting = False
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
        self._queue.drop_others()
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
        self._charger.accepted = True
        for number in (0, *self._charger.connectors):
            self._charger.say_status(number)
        if self._charger.a_car_waits:
            self._charger.plug_in(1, "SIMULATED")
        while not self._charger.resetting or self._queue.of_transactions:
            if not self._queue.messages:
                await self._wait_for_message()
            elif await self._said(station, self._queue.messages[0]):
                self._queue.messages.popleft()

    async def _boot(self, station: SimulatedStation) -> None:
        """Say BootNotification and nothing else until it is accepted (OCPP 1.6, 4.2)."""
        while True:
            self._charger.boot_now.clear()
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
                    await self._charger.boot_now.wait()

    async def _wait_for_message(self) -> None:
        """Wait for something to say; after long silence that is a Heartbeat."""
        self._queue.woken.clear()
        try:
            async with asyncio.timeout(self._charger.seconds("HeartbeatInterval")):
                await self._queue.woken.wait()
        except TimeoutError:
            self._queue.say(Message(call.Heartbeat))

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
