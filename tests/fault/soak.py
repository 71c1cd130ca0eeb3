"""Everything at once and for long: F23."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.fault.chargers import Fleet
from tests.fault.ledger import percentile
from tests.fault.report import Report
from tests.fault.scenarios_flood import _rubbish
from tests.fault.stage import Stage, stage

WARM_UP = 0.2  # share of the time after which memory should not grow any more


async def soak(
    folder: Path, *, minutes: float, chargers: int, period: float, commands: float
) -> Report:
    """F23: load for a long time, with faults of the others at random."""
    report = Report()
    async with stage(folder) as on:
        on.process.program = ("-m", "tests.fault.observed", "run")
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        loop = asyncio.get_running_loop()
        memory: list[tuple[float, float]] = []
        faults: dict[str, int] = {}
        async with fleet.at_work(period), on.commanding(fleet, commands):
            await asyncio.sleep(min(10.0, minutes * 10))
            tasks, files = on.process.tasks, on.process.files
            began = loop.time()
            end = began + minutes * 60
            while loop.time() < end:
                name, fault = random.choice(FAULTS)
                faults[name] = faults.get(name, 0) + 1
                await fault(on, fleet)
                await on.drained(60)
                memory.append(((loop.time() - began) / 60, on.process.memory))
            await on.drained(120)
            await asyncio.sleep(min(10.0, minutes * 10))
            tasks = on.process.tasks - tasks
            files = on.process.files - files
        await on.drained(120)
        report.note("minutes", minutes)
        report.note("messages of chargers and commands per second", chargers / period + commands)
        report.note("faults", ", ".join(f"{n} × {name}" for name, n in sorted(faults.items())))
        losses = faults.get("broker killed", 0) + faults.get("broker frozen", 0)
        resets = faults.get("connection to the broker reset", 0)
        on.judge(report, duplicates=20 * (losses + 10 * resets + 1))
        report.equal("commands without exactly one outcome", on.without_one_outcome(fleet), 0)
        health = await on.process.health()
        report.equal("set aside, dropped", _outbox(health), (0, 0))
        if minutes >= 10:
            slope = _slope([one for one in memory if one[0] >= minutes * WARM_UP])
            report.at_most("growth of memory in 10 min", slope * 10, 1, "MB", loose=True)
        report.note("memory in the end", on.process.memory, "MB")
        report.at_most("more tasks than at the start", tasks, 5)
        report.at_most("more files than at the start", files, 5)
        lag = percentile(on.process.lags, 0.99)
        report.at_most("delay of the loop, p99", lag, 50, "ms", loose=True)
        on.judge_answers(report, "answers to chargers", 250)
        report.equal("Calls of chargers without an answer", fleet.hung, 0)
        report.equal("errors in the log", on.process.count(" ERROR "), _told(on))
        code, _ = await on.process.stop()
        report.equal("exit code in the end", code, 0)
    return report


def _outbox(health: dict[str, dict[str, int]]) -> tuple[int, int]:
    return health["outbox"]["set_aside"], health["outbox"]["dropped"]


def _told(on: Stage) -> int:
    """Return how many errors are meant: a broker that ends each connection soon is told."""
    return on.process.count("ends each connection soon")


async def _kill_broker(on: Stage, fleet: Fleet) -> None:
    await on.broker_dies()
    await asyncio.sleep(random.uniform(0.5, 15))
    await on.broker_returns()


async def _freeze_broker(on: Stage, fleet: Fleet) -> None:
    on.mosquitto.suspend()
    await asyncio.sleep(random.uniform(0.5, 25))
    on.mosquitto.resume()


async def _reset_broker(on: Stage, fleet: Fleet) -> None:
    for _ in range(random.randrange(1, 10)):
        on.proxy.reset()
        await asyncio.sleep(random.uniform(0.05, 2))


async def _drop_chargers(on: Stage, fleet: Fleet) -> None:
    for charger in random.sample(fleet.chargers, len(fleet.chargers) // 4):
        charger.socket.abort()
    await fleet.all_connected()


async def _send_rubbish(on: Stage, fleet: Fleet) -> None:
    await _rubbish(on, 2_000)


async def _go_deaf(on: Stage, fleet: Fleet) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        visitor = on.charger(f"deaf{random.randrange(5)}")
        await visitor.connect()
        visitor.socket.pause()
        for _ in range(50):
            visitor.socket.send('[2,"deaf","Heartbeat",{}]')
        await asyncio.sleep(1)
        visitor.socket.abort()


async def _rest(on: Stage, fleet: Fleet) -> None:
    await asyncio.sleep(random.uniform(1, 10))


FAULTS: tuple[tuple[str, Callable[[Stage, Fleet], Awaitable[None]]], ...] = (
    ("broker killed", _kill_broker),
    ("broker frozen", _freeze_broker),
    ("connection to the broker reset", _reset_broker),
    ("chargers dropped", _drop_chargers),
    ("malformed frames", _send_rubbish),
    ("charger that does not read", _go_deaf),
    ("rest", _rest),
)


def _slope(points: list[tuple[float, float]]) -> float:
    """Return by how much the second value grows with the first: a line of least squares."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
