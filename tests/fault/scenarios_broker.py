"""What happens to the broker: F1, F2, F3, F18, F19 and F20."""

import asyncio
import json
from pathlib import Path

from tests.fault.chargers import Fleet
from tests.fault.process import Process
from tests.fault.proxy import Proxy
from tests.fault.report import Report
from tests.fault.stage import Stage, stage

DRAIN = 120.0  # seconds: longer than promised, to tell slow from never
SETTLED = 3.0  # seconds: longer than changes are gathered before they are published
POISON = b"PoisonMessage"


async def killed(
    folder: Path, *, chargers: int, period: float, commands: float, outage: float
) -> Report:
    """F1: the broker is killed under load and comes back empty."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        async with fleet.at_work(period), on.commanding(fleet, commands):
            await asyncio.sleep(2)
            await on.broker_dies()
            await asyncio.sleep(outage)
            report.note("outage", outage, "s")
            report.note("messages in the outbox at its end", await on.stored())
            await on.broker_returns()
            drained = await on.drained(DRAIN)
            await asyncio.sleep(1)
        await on.drained(DRAIN)
        on.judge(report, duplicates=20)
        report.at_most("drained after the return", drained, 30, "s", loose=True)
        _calm(report, on, fleet)
    return report


async def frozen(
    folder: Path, *, chargers: int, period: float, commands: float, freeze: float
) -> Report:
    """F2: the broker stops without ending its connections, and goes on later."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        async with fleet.at_work(period), on.commanding(fleet, commands):
            await asyncio.sleep(2)
            on.mosquitto.suspend()
            if freeze > 20:
                noticed = await on.healthy(broker="disconnected")
                report.at_most("noticed after", noticed, 20, "s", loose=True)
                freeze -= noticed
            await asyncio.sleep(freeze)
            on.mosquitto.resume()
            drained = await on.drained(DRAIN)
            await asyncio.sleep(1)
        await on.drained(DRAIN)
        on.judge(report, duplicates=20)
        report.at_most("drained after the return", drained, 30, "s", loose=True)
        _calm(report, on, fleet)
    return report


async def resets(folder: Path, *, chargers: int, period: float, seconds: float) -> Report:
    """F3: each connection to the broker is reset after a tenth of a second at most."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        async with fleet.at_work(period):
            await asyncio.sleep(1)
            before, lines = on.proxy.accepted, len(on.process.lines())
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            while loop.time() < end:
                on.proxy.reset()
                await asyncio.sleep(0.1)
            connects = on.proxy.accepted - before
            lines = len(on.process.lines()) - lines
            drained = await on.drained(DRAIN)
        await on.drained(DRAIN)
        on.judge(report, duplicates=20 * (connects + 1))
        report.at_most("connections to the broker per second", connects / seconds, 1.0, loose=True)
        report.at_most("lines of the log", lines, 20)
        health = await on.process.health()
        report.equal("set aside as poison by mistake", health["outbox"]["set_aside"], 0)
        report.note("drained after the last reset", drained, "s")
        _calm(report, on, fleet)
    return report


async def poison(folder: Path, *, chargers: int, period: float) -> Report:
    """F18: the broker hangs up on whoever sends a certain message, under load."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        async with fleet.at_work(period):
            await asyncio.sleep(4)
            on.proxy.poison = POISON
            body = json.dumps({"vendorId": POISON.decode()})
            answer = await fleet.chargers[0].call("poison", "DataTransfer", body)
            report.equal("the poison is answered", bool(answer), True)
            aside = await on.healthy_where(lambda one: one["outbox"]["set_aside"] == 1)
            report.at_most("set aside after", aside, 5, "s", loose=True)
            drained = await on.drained(DRAIN)
            report.at_most("all others delivered after", drained, 5, "s", loose=True)
            health = await on.process.health()
            told = any("set aside" in problem for problem in health["problems"])
            report.equal("told in /health", told, True)
        await on.drained(DRAIN)
        report.equal("messages set aside", health["outbox"]["set_aside"], 1)
        on.judge(report, duplicates=60)
        _calm(report, on, fleet)
    return report


async def emptied(folder: Path, *, chargers: int, outages: int) -> Report:
    """F19: the broker restarts and has forgotten everything that was retained."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        async with fleet.at_work(0):
            for charger in fleet.chargers:
                await charger.introduce()
            before = await _settled(on)
            report.note("retained topics", len(before))
            report.at_least("topics of presence", _presences(before), chargers)
            slowest, missing = 0.0, 0
            for _ in range(outages):
                await on.broker_dies()
                await asyncio.sleep(1)
                await on.broker_returns()
                loop = asyncio.get_running_loop()
                began = loop.time()
                while not before.keys() <= on.retained.keys() and loop.time() < began + 30:
                    await asyncio.sleep(0.05)
                slowest = max(slowest, loop.time() - began)
                now = await _settled(on)
                missing += sum(now.get(topic) != payload for topic, payload in before.items())
            report.equal("not there again, or not the same", missing, 0)
            report.at_most("complete after the return", slowest, 10, "s", loose=True)
            subscribed = await on.command(fleet.chargers[-1].charger_id)
            await on.until(lambda: subscribed in on.outcomes)
        report.equal("disconnections of chargers", fleet.reconnects, 0)
    return report


async def rivals(folder: Path, *, seconds: float) -> Report:
    """F20: two gateways use one MQTT client id."""
    report = Report()
    async with stage(folder) as on, Proxy(on.mosquitto.port) as beside:
        mqtt = {"host": "127.0.0.1", "port": on.proxy.port, "client_id": "same"}
        on.process.options["mqtt"] = mqtt
        other = Process(folder / "other", beside.port)
        other.options["mqtt"] = {**mqtt, "port": beside.port}
        try:
            await on.process.start()
            await on.healthy(broker="connected")
            await other.start()
            await asyncio.sleep(seconds)
            most = max(on.proxy.accepted, beside.accepted)
            # A few until they notice; mosquitto 2.0 tells them no reason.
            report.at_most("connections of one of them", most, 4 + int(seconds / 5))
            lines = sum(one.count("client id") for one in (on.process, other))
            report.at_least("lines of the logs that tell it", lines, 1)
            report.at_most("lines of the logs that tell it", lines, 2 + 2 * seconds // 60)
            report.equal("both processes live", (on.process.running, other.running), (True, True))
        finally:
            await other.end()
    return report


async def _settled(on: Stage) -> dict[str, bytes]:
    """Return what is retained once it has not changed for a while."""
    found: dict[str, bytes] = {}
    while (again := await on.retained_now()) != found:
        found = again
        await asyncio.sleep(SETTLED)
    return found


def _presences(retained: dict[str, bytes]) -> int:
    return sum(topic.startswith("ocpp/presence/") for topic in retained)


def _calm(report: Report, on: Stage, fleet: Fleet) -> None:
    report.equal("disconnections of chargers", fleet.reconnects, 0)
    report.equal("Calls of chargers without an answer", fleet.hung, 0)
    report.equal("commands without exactly one outcome", on.without_one_outcome(fleet), 0)
    on.judge_answers(report, "answers to chargers", 250)
