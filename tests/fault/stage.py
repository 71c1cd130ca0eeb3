"""Everything around a gateway under test: broker, bad network, chargers, listener and ledger."""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fault.chargers import Charger, Fleet
from tests.fault.ledger import Ledger, measured_delays, percentile
from tests.fault.mqtt import Connection, Listener, Message
from tests.fault.process import Process
from tests.fault.proxy import Proxy
from tests.fault.report import Report
from tests.support.mosquitto import Mosquitto

PATIENCE = 60.0
NEVER = datetime(1, 1, 1, tzinfo=UTC)


class Stage:
    """A gateway whose broker lies behind a proxy, with a judge who listens beside the proxy."""

    def __init__(self, folder: Path, mosquitto: Mosquitto, proxy: Proxy, process: Process) -> None:
        self.folder = folder
        self.mosquitto = mosquitto
        self.proxy = proxy
        self.process = process
        self.ledger = Ledger()
        self.retained: dict[str, bytes] = {}  # topics of presence, gateway, state and discovery
        self.presence: Counter[str] = Counter()  # how often each topic changed
        self.outcomes: dict[str, set[str | None]] = {}  # command -> message ids of its outcomes
        self.replayed: list[datetime] = []  # when the gateway got messages that it stored meanwhile
        self.reasons: Counter[str] = Counter()  # of the gateway's own reports
        self.late = 0
        self.delays: list[float] = []  # by how many seconds the measuring process was late itself
        self.listener: Listener
        self._commands = itertools.count(1)

    async def broker_dies(self) -> None:
        """Kill the broker: what only it knew is gone, and nobody reaches it any more."""
        self.proxy.mode = "refuse"
        self.ledger.broker_dies(asyncio.get_running_loop().time())
        await self.mosquitto.kill()
        self.proxy.reset()
        self.listener.subscribed.clear()

    async def broker_returns(self) -> None:
        """Start an empty broker; the gateway reaches it once the judge listens."""
        self.retained.clear()
        await self.mosquitto.start()
        async with asyncio.timeout(PATIENCE):
            await self.listener.subscribed.wait()
        self.proxy.mode = "pass"

    def fleet(self, count: int, *, prefix: str = "C", password: str | None = None) -> Fleet:
        """Make chargers, not connected yet."""
        return Fleet([self.charger(f"{prefix}{number:04}", password) for number in range(count)])

    def charger(self, charger_id: str, password: str | None = None) -> Charger:
        """Make a charger, not connected yet."""
        return Charger(charger_id, self.process.port, self.ledger, password)

    async def command(self, charger_id: str, unique_id: str | None = None) -> str:
        """Give a command on MQTT and return its unique id once the broker has it."""
        unique_id = unique_id or f"c{next(self._commands)}"
        message = {"UniqueId": unique_id, "Action": "ClearCache", "Payload": {}}
        topic = f"ocpp/{charger_id}/Call/ClearCache"
        await self.listener.publish(topic, json.dumps(message).encode())
        return unique_id

    async def command_for_ever(self, fleet: Fleet, per_second: float) -> None:
        """Give commands to all chargers in turn, whatever happens to the broker."""
        for charger in itertools.cycle(fleet.chargers):
            await asyncio.sleep(1 / per_second)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self.command(charger.charger_id)

    @contextlib.asynccontextmanager
    async def commanding(self, fleet: Fleet, per_second: float) -> AsyncIterator[None]:
        """Give commands meanwhile."""
        task = asyncio.create_task(self.command_for_ever(fleet, per_second), name="commands")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    def without_one_outcome(self, fleet: Fleet) -> int:
        """Return how many commands that chargers got have no outcome, or two."""
        return sum(
            len(self.outcomes.get(unique_id, ())) != 1 and not self.ledger.is_excused(when)
            for charger in fleet.chargers
            for unique_id, when in charger.commands.items()
        )

    async def until(self, condition: Callable[[], object], patience: float = PATIENCE) -> float:
        """Wait until something has come true; return how many seconds that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(patience):
            while not condition():
                await asyncio.sleep(0.02)
        return loop.time() - began

    async def healthy(self, patience: float = PATIENCE, **expected: object) -> float:
        """Wait until /health says what is expected; return how many seconds that took."""
        return await self.healthy_where(lambda health: expected.items() <= health.items(), patience)

    async def healthy_where(
        self, condition: Callable[[dict[str, Any]], bool], patience: float = PATIENCE
    ) -> float:
        """Wait until /health fits; return how many seconds that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(patience):
            while True:
                health = await self.process.health()
                if health and condition(health):
                    return loop.time() - began
                await asyncio.sleep(0.05)

    async def drained(self, patience: float = PATIENCE) -> float:
        """Wait until the outbox is empty and the ledger complete; return how long that took.

        Returns too when the patience ends: the verdict then tells what is missing.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not (self.ledger.complete and await self._outbox() == 0):
                    await asyncio.sleep(0.1)
        return loop.time() - began

    async def _outbox(self) -> int | None:
        outbox: dict[str, int] = (await self.process.health()).get("outbox", {})
        return outbox.get("stored")

    async def stored(self) -> int:
        """Return how many messages are in the outbox."""
        return await self._outbox() or 0

    async def retained_now(self) -> dict[str, bytes]:
        """Return what the broker has retained at this moment."""
        found: dict[str, bytes] = {}

        def take(message: Message) -> None:
            if message.retain:
                found[message.topic] = message.payload

        connection = await Connection.open(self.mosquitto.port, "retained", take)
        try:
            await connection.subscribe("#")
            count = -1
            while count < len(found):  # they come in one go
                count = len(found)
                await asyncio.sleep(0.2)
        finally:
            connection.close()
        return found

    def judge(self, report: Report, *, duplicates: int) -> None:
        """Put the ledger's verdict into a report."""
        verdict = self.ledger.verdict()
        report.note("messages acknowledged to chargers", verdict.acknowledged)
        report.equal("of them lost", verdict.lost, 0)
        report.at_most("duplicates", verdict.duplicates, duplicates)
        report.equal("duplicates without the same message-id", verdict.strangers, 0)
        report.equal("out of order per charger", verdict.disorder, 0)
        if verdict.excused:
            report.note("acknowledged and lost by the broker itself", verdict.excused)
        if verdict.refused:
            report.note("refused, so kept by chargers", verdict.refused)

    def forget_answers(self) -> None:
        """Let the next verdict on answers be about those from now on."""
        self.ledger.latencies.clear()
        self.delays.clear()

    def judge_answers(self, report: Report, whose: str, limit: float) -> None:
        """Put into a report how long answers took, in ms, and the judge's own part in it."""
        p99 = percentile(self.ledger.latencies, 0.99) * 1000
        report.at_most(f"{whose}, p99", p99, limit, "ms", loose=True)
        own = percentile(self.delays, 0.99) * 1000
        report.note(f"{whose}: delay of who measures, p99", own, "ms")

    def received(self, message: Message) -> None:
        """Take what the judge hears."""
        if message.mark("replayed") is not None:
            received = message.mark("received-at")
            self.replayed.append(datetime.fromisoformat(received) if received else NEVER)
        first, *rest = message.topic.split("/")
        match [first, *rest]:
            case ["ocpp", "cp", "Reply" | "Error" as kind, charger_id]:
                self._outcome(kind, charger_id, message)
            case ["ocpp", "cp", "Answer", _]:
                pass
            case ["ocpp", "cp", charger_id, _]:
                self.ledger.received(charger_id, message)
            case ["ocpp", "presence" | "gateway" | "state", *_] | ["homeassistant", *_]:
                if self.retained.get(message.topic) != message.payload:
                    self.presence[message.topic] += 1
                self.retained[message.topic] = message.payload

    def _outcome(self, kind: str, charger_id: str, message: Message) -> None:
        fields = json.loads(message.payload)
        ids = self.outcomes.setdefault(fields["UniqueId"], set())
        if message.mark("late"):
            self.late += 1
            return
        known = message.mark("message-id") in ids
        ids.add(message.mark("message-id"))
        if kind == "Error" and not known:
            self.reasons[fields["ErrorDetails"].get("reason", "")] += 1


@contextlib.asynccontextmanager
async def stage(folder: Path, *broker_lines: str, **options: Any) -> AsyncIterator[Stage]:
    """Set everything up; the gateway is not started yet."""
    folder.mkdir(parents=True, exist_ok=True)
    # The judge must not lose what it reads slowly, and commands must reach the gateway.
    unbounded = ("max_queued_messages 0",)
    async with (
        Mosquitto(*unbounded, *broker_lines) as mosquitto,
        Proxy(mosquitto.port) as proxy,
        measured_delays() as delays,
    ):
        process = Process(folder, proxy.port, **options)
        one = Stage(folder, mosquitto, proxy, process)
        one.delays = delays
        try:
            async with Listener(mosquitto.port, one.received) as one.listener:
                yield one
        finally:
            await process.end()
