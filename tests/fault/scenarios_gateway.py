"""What happens to the gateway itself: F4, F5, F8, F21 and F22."""

import asyncio
import glob
import json
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fault.ledger import percentile
from tests.fault.process import ROOT
from tests.fault.report import Report
from tests.fault.sabotage import PARTS
from tests.fault.stage import Stage, stage

__all__ = ["PARTS", "bad_options", "clock", "killed", "mistakes", "stopped"]

DRAIN = 120.0
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


async def killed(folder: Path, *, chargers: int, period: float, kills: int) -> Report:
    """F4: the gateway is killed at random instants under load, often while the broker is away."""
    report = Report()
    async with stage(folder) as on:
        starts = [await on.process.start()]
        sound = 0
        fleet = on.fleet(chargers)
        async with fleet.at_work(period):
            for _ in range(kills):
                await asyncio.sleep(random.uniform(0.05, 2))
                if random.random() < 0.5:
                    on.proxy.mode = "refuse"
                    on.proxy.reset()
                    await asyncio.sleep(random.uniform(0.05, 1))
                await on.process.kill()
                sound += await asyncio.to_thread(on.process.is_sound, folder)
                on.proxy.mode = "pass"
                starts.append(await on.process.start())
            await on.drained(DRAIN)
        await on.drained(DRAIN)
        report.note("kills", kills)
        on.judge(report, duplicates=20 * kills)
        report.equal("database sound after a kill", sound, kills)
        report.at_most("listening again after", max(starts), 3, "s", loose=True)
        report.note("listening again after, median", percentile(starts, 0.5), "s")
    return report


async def stopped(
    folder: Path, *, chargers: int, period: float, commands: float, stops: int
) -> Report:
    """F5: SIGTERM under load, with the broker there and away in turn."""
    report = Report()
    async with stage(folder) as on:
        codes, slowest, wrong = set(), 0.0, 0
        fleet = on.fleet(chargers)
        await on.process.start()
        async with fleet.at_work(period), on.commanding(fleet, commands):
            for number in range(stops):
                await on.healthy(broker="connected")
                await fleet.all_connected()
                await asyncio.sleep(1)
                if number % 2:
                    on.proxy.mode = "refuse"
                    on.proxy.reset()
                    await asyncio.sleep(1)
                code, took = await on.process.stop()
                codes.add(code)
                slowest = max(slowest, took)
                if number % 2:
                    on.proxy.mode = "pass"
                else:
                    wrong += _not_offline(on, await on.retained_now())
                await on.process.start()
            await on.drained(DRAIN)
        await on.drained(DRAIN)
        report.note("stops", stops)
        report.equal("exit codes", sorted(codes), [0])
        report.at_most("slowest end", slowest, 5, "s", loose=True)
        on.judge(report, duplicates=20 * stops)
        report.equal("retained presence that is not offline", wrong, 0)
        report.equal("Close frames to chargers", sum(one.closes for one in fleet.chargers), 0)
        report.equal("commands without exactly one outcome", on.without_one_outcome(fleet), 0)
    return report


def _not_offline(on: Stage, retained: dict[str, bytes]) -> int:
    topics = [one for one in retained if one.startswith(("ocpp/presence/", "ocpp/gateway/"))]
    return sum(retained[topic] != b"offline" for topic in topics) + (not topics)


async def clock(folder: Path, *, call_timeout: float) -> Report:
    """F8: the wall clock jumps by an hour, to 1970 and over a change of summer time."""
    report = Report()
    library = next(iter(glob.glob(FAKETIME)), None)
    assert library is not None, "libfaketime is missing: script/setup --tests installs it"
    jumps = folder / "clock"
    folder.mkdir(parents=True, exist_ok=True)
    jumps.write_text("+0\n")
    async with stage(folder, ping_interval=1, call_timeout=call_timeout) as on:
        on.process.environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(jumps),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "Europe/Berlin",
        }
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(5)
        silent = fleet.chargers[0]
        silent.on_command = lambda text: None
        identities: list[int] = []
        off, worst = 0.0, 0.0
        async with fleet.at_work(0.2):
            for jump in ("+1h", "-1h", "@1970-01-01 01:00:00", "@2027-03-28 01:59:58", "+0"):
                asked = asyncio.create_task(_timed_command(on, silent.charger_id))
                await asyncio.sleep(call_timeout / 3)
                jumps.write_text(f"{jump}\n")
                off = max(off, await asked - call_timeout, key=abs)
                answer = await fleet.chargers[1].call(f"time {jump}", "Heartbeat")
                worst = max(worst, abs(_seconds_off(answer[2]["currentTime"], jump)))
                identities.append(await _transaction(on, f"C{jump}"))
        await on.drained(DRAIN)
        report.at_most("time-out of a command, off by", abs(off), 1, "s", loose=True)
        report.equal("outcomes of silent commands", dict(on.reasons), {"timeout": 5})
        report.at_most("clock in answers, off by", worst, 60, "s")
        report.equal("transaction ids given twice", 5 - len(set(identities)), 0)
        report.equal("disconnections of chargers", fleet.reconnects, 0)
        on.judge(report, duplicates=0)
        health = await on.process.health()
        report.equal("broker in the end", health["broker"], "connected")
    return report


async def _timed_command(on: Stage, charger_id: str) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    unique_id = await on.command(charger_id)
    await on.until(lambda: unique_id in on.outcomes)
    return loop.time() - began


async def _transaction(on: Stage, unique_id: str) -> int:
    charger = on.charger("starter")
    await charger.connect()
    try:
        start = {"connectorId": 1, "idTag": "x", "meterStart": 0, "timestamp": unique_id}
        answer = await charger.call(unique_id, "StartTransaction", json.dumps(start))
        return int(answer[2]["transactionId"])
    finally:
        charger.socket.abort()


def _seconds_off(stamp: str, jump: str) -> float:
    told = datetime.fromisoformat(stamp)
    now = datetime.now(UTC)
    # Times of the file are those of Berlin; an absolute one is when the gateway was started.
    expected = {
        "+1h": now + timedelta(hours=1),
        "-1h": now - timedelta(hours=1),
        "@1970-01-01 01:00:00": datetime(1970, 1, 1, tzinfo=UTC),
        "@2027-03-28 01:59:58": datetime(2027, 3, 28, 0, 59, 58, tzinfo=UTC),
        "+0": now,
    }[jump]
    since_start = 30 if jump.startswith("@") else 0
    return (told - expected).total_seconds() - since_start


async def bad_options(folder: Path, *, count: int) -> Report:
    """F21: options that make no sense."""
    report = Report()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = random.sample(_MUTATIONS, count)
    turn = asyncio.Semaphore(2)

    async def judge(number: int, options: dict[str, Any]) -> tuple[int | None, bool, bool]:
        file = folder / f"{number}.json"
        file.write_text(json.dumps(options))
        async with turn:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ocpp_addon", "run"),
                *("--options", str(file), "--data", str(folder / "data")),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ},
            )
            try:
                async with asyncio.timeout(30):
                    output, _ = await process.communicate()
            except TimeoutError:  # it runs
                process.kill()
                await process.wait()
                output = b""
        lines = output.decode().splitlines()
        return process.returncode, len(lines) == 1, next(iter(options)) in output.decode()

    found = await asyncio.gather(*(judge(*one) for one in enumerate(chosen)))
    report.note("mutations", count)
    report.equal("exit code 1", sum(code == 1 for code, _, _ in found), count)
    report.equal("one line and no more", sum(one_line for _, one_line, _ in found), count)
    report.equal("the line names the key", sum(named for _, _, named in found), count)
    return report


_WRONG: dict[str, tuple[Any, ...]] = {
    "mqtt": ("host", {"host": 5}, {"port": 0}, {"port": "many"}, {"prot": 1883}),
    "chargers": ("CP1", [{"password": "x"}], [{"id": "a/b"}], [{"id": 5}]),
    "unknown_chargers": ("maybe", 1),
    "central_system": ("none", 0),
    "answer_timeout": ("soon", -1),
    "tag_policy": ("some", []),
    "validation": (True, "loose"),
    "heartbeat_interval": (0, "five", -3),
    "ping_interval": (-1, "never"),
    "call_timeout": (0, "long"),
    "queue_limit": (0, 1.5),
    "outbox_limit": (0, "all"),
    "discovery": ("perhaps", 2),
    "topics": (
        {"upstream": "ocpp/+/x"},
        {"downstream": ["ocpp/cp/${cid}/+"]},
        {"reply": "ocpp/reply/+"},
        {"presence": "x"},
        {"what": "x"},
    ),
    "ssl": ("sometimes", 1),
    "trusted_proxies": (["here"], "10.0.0.1/99"),
    "log_level": ("loud", 3),
    "name": ("a/b", "#", "+"),
    "port": (70000, "x", -1),
    "web_port": ("http", 65536),
    "web_host": (7, {}),
    "colour": ("blue",),
}
_MUTATIONS: list[dict[str, Any]] = [
    {key: value} for key, values in _WRONG.items() for value in values
]


async def mistakes(folder: Path, *, parts: tuple[str, ...], seconds: float) -> Report:
    """F22: our own code fails: once, always, and wherever messages are watched."""
    report = Report()
    for part in parts:
        await _fails_once(folder / f"{part}-once", report, part, seconds)
        await _fails_always(folder / f"{part}-always", report, part)
    async with stage(folder / "hooks") as on:
        on.process.program = ("-m", "tests.fault.sabotage", "hooks", "run")
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(10)
        async with fleet.at_work(0.2):
            await asyncio.sleep(seconds)
        await on.drained(DRAIN)
        health = await on.process.health()
        verdict = on.ledger.verdict()
        report.note("hooks fail: messages acknowledged", verdict.acknowledged)
        told = (verdict.lost, verdict.disorder, verdict.duplicates, health["status"])
        report.equal("hooks fail: lost, out of order, twice; health", told, (0, 0, 0, "degraded"))
        report.at_most("hooks fail: errors in the log", on.process.count(" ERROR "), 4)
    return report


async def _fails_once(folder: Path, report: Report, part: str, seconds: float) -> None:
    async with stage(folder) as on:
        on.process.program = ("-m", "tests.fault.sabotage", f"{part}:once", "run")
        await on.process.start()
        fleet = on.fleet(10)
        async with fleet.at_work(0.2):
            await asyncio.sleep(2 + seconds)
            await on.drained(DRAIN)
            health = await on.process.health()
        code, _ = await on.process.stop()
        verdict = on.ledger.verdict()
        told = (verdict.lost, verdict.disorder, fleet.hung, fleet.reconnects)
        report.equal(
            f"{part} fails once: lost, out of order, unanswered, disconnected", told, (0, 0, 0, 0)
        )
        report.equal(
            f"{part} fails once: health, exit code", (health["status"], code), ("degraded", 0)
        )


async def _fails_always(folder: Path, report: Report, part: str) -> None:
    async with stage(folder) as on:
        on.process.program = ("-m", "tests.fault.sabotage", f"{part}:always", "run")
        await on.process.start()
        fleet = on.fleet(10)
        async with fleet.at_work(0.2):
            code = await on.process.wait()
        lines = on.process.count(f"The part {part} fails again and again: the gateway stops")
        report.equal(f"{part} fails always: exit code, lines that say so", (code, lines), (1, 1))
        on.process.program = ("-m", "ocpp_addon", "run")
        await on.process.start()
        await on.drained(DRAIN)
        report.equal(f"{part} fails always: lost", on.ledger.verdict().lost, 0)
