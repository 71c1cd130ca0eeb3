"""Scripted chargers: each says one thing at a time and notes what it was acknowledged."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.fault.ledger import Ledger
from tests.fault.websocket import Refused, WebSocket, handshake

ANSWER_PATIENCE = 60.0  # seconds without an answer: a charger that waits for ever
METER_VALUES = '{"connectorId":1,"meterValue":[{"timestamp":"2026-11-24T10:00:00Z","sampledValue":\
[{"value":"21.40","measurand":"Current.Import","unit":"A"},{"value":"1234567"}]}]}'


class Charger:
    """One charger that stays connected and answers every command at once."""

    def __init__(
        self, charger_id: str, port: int, ledger: Ledger, password: str | None = None
    ) -> None:
        self.charger_id = charger_id
        self.ledger = ledger
        self.connects = 0
        self.closes = 0  # Close frames that it got
        self.hung = 0  # Calls without an answer
        self.refusals: dict[int, int] = {}  # HTTP status -> handshakes
        self.commands: dict[str, float] = {}  # unique id of a command -> when it came first
        self.on_command: Callable[[str], None] = self.answer_command
        self.connected = asyncio.Event()
        self.retry: Callable[[int], float] = _soon
        self.receive_buffer: int | None = None  # bytes; None: what the system gives
        self._port = port
        self._request = handshake(f"/ocpp/{charger_id}", user=charger_id, password=password)
        self._socket: WebSocket | None = None
        self._number = 0
        self._answers: dict[str, asyncio.Future[list[Any]]] = {}

    @property
    def socket(self) -> WebSocket:
        """Return the connection there is."""
        assert self._socket is not None
        return self._socket

    async def connect(self) -> None:
        """Connect once; raises what dialling raises."""
        self._socket = await WebSocket.dial(
            self._port, self._request, self._on_text, receive_buffer=self.receive_buffer
        )
        self.connects += 1
        self.connected.set()

    async def keep_connected(self) -> None:
        """Dial again after each loss, until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    await self.connect()
                except Refused as refused:
                    self.refusals[refused.status] = self.refusals.get(refused.status, 0) + 1
                except (OSError, TimeoutError):
                    pass
                else:
                    failures = 0
                    await self.socket.lost
                    self.closes += self.socket.close_code is not None
                    self.connected.clear()
                    self._give_up()
                failures += 1
                await asyncio.sleep(self.retry(failures))
        finally:
            self.connected.clear()
            if self._socket is not None:
                self._socket.abort()
            self._give_up()

    async def report(self, action: str = "MeterValues", payload: str = METER_VALUES) -> list[Any]:
        """Send a Call that counts, and note how it ends; [] when the connection is lost."""
        self._number += 1
        number, loop = self._number, asyncio.get_running_loop()
        began = loop.time()
        answer = await self.call(str(number), action, payload)
        if answer and answer[0] == 3:
            now = loop.time()
            self.ledger.acknowledged(self.charger_id, number, now, now - began)
        elif answer:
            self.ledger.refused(self.charger_id, number)
        return answer

    async def call(self, unique_id: str, action: str, payload: str = "{}") -> list[Any]:
        """Send a Call and return the frame that answers it; [] when the connection is lost."""
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._answers[unique_id] = answer
        self.socket.send(f'[2,"{unique_id}","{action}",{payload}]')
        try:
            async with asyncio.timeout(ANSWER_PATIENCE):
                return await answer
        except TimeoutError:
            self.hung += 1
            return []
        finally:
            self._answers.pop(unique_id, None)

    async def introduce(self) -> None:
        """Boot, and tell the status of a connector."""
        boot = {"chargePointVendor": "vendor", "chargePointModel": "model"}
        await self.call("boot", "BootNotification", json.dumps(boot))
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
        await self.call("status", "StatusNotification", json.dumps(status))

    async def talk(self, period: float) -> None:
        """Report in each period for ever, one message after the other."""
        loop = asyncio.get_running_loop()
        due = loop.time() + random.random() * period
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + period, loop.time())  # the answer came late: no burst afterwards
            await self.connected.wait()
            await self.report()

    def answer_command(self, text: str) -> None:
        """Answer a command with an empty CallResult."""
        self.socket.send(f"[3,{json.dumps(json.loads(text)[1])},{{}}]")

    def _on_text(self, text: str) -> None:
        if text.startswith("[2"):
            unique_id = json.loads(text)[1]
            self.commands.setdefault(unique_id, asyncio.get_running_loop().time())
            self.on_command(text)
            return
        frame = json.loads(text)
        answer = self._answers.get(frame[1])
        if answer is not None and not answer.done():
            answer.set_result(frame)

    def _give_up(self) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result([])


def _soon(failures: int) -> float:
    return random.uniform(0.05, min(2.0, 0.1 * 2 ** min(failures, 5)))


class Fleet:
    """Many chargers that talk."""

    def __init__(self, chargers: list[Charger]) -> None:
        self.chargers = chargers

    @contextlib.asynccontextmanager
    async def at_work(self, period: float) -> AsyncIterator[None]:
        """Keep all connected, and reporting in each period if that is more than 0."""
        async with asyncio.TaskGroup() as tasks:
            running = []
            for charger in self.chargers:
                running.append(tasks.create_task(charger.keep_connected()))
                if period:
                    running.append(tasks.create_task(charger.talk(period)))
            try:
                await self.all_connected()
                yield
            finally:
                for task in running:
                    task.cancel()

    async def all_connected(self, patience: float = 120.0) -> None:
        """Wait until every charger is connected."""
        async with asyncio.timeout(patience):
            for charger in self.chargers:
                await charger.connected.wait()

    @property
    def reconnects(self) -> int:
        """Return how many connections came after each charger's first one."""
        return sum(max(0, charger.connects - 1) for charger in self.chargers)

    @property
    def hung(self) -> int:
        """Return how many Calls were never answered."""
        return sum(charger.hung for charger in self.chargers)
