"""What happens to the disk and what is on it: F6, F7, F25 and F26."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import sqlite3
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.fault.chargers import Charger, Fleet
from tests.fault.process import ROOT, Process
from tests.fault.report import Report
from tests.fault.stage import Stage, stage

DRAIN = 120.0
DATABASE = "gateway.sqlite3"
DISK_SIZE = 1024 * 1024  # bytes


async def full(folder: Path, *, chargers: int, period: float, seconds: float) -> Report:
    """F6: the disk is full while the broker is away."""
    report = Report()
    async with _small_disk(folder / "data") as disk, stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        async with fleet.at_work(period):
            await asyncio.sleep(1)
            async with disk.full(on.process):
                on.proxy.mode = "refuse"
                on.proxy.reset()
                await on.until(lambda: on.ledger.verdict().refused)
                await on.healthy(status="unavailable")
                await _while_full(on, fleet, report, seconds)
            acknowledged = on.ledger.verdict().acknowledged
            again = await on.until(lambda: on.ledger.verdict().acknowledged > acknowledged)
            report.at_most("storing again after", again, 5, "s", loose=True)
            on.proxy.mode = "pass"
            await on.drained(DRAIN)
            await on.healthy(status="ok")
        await on.drained(DRAIN)
        on.judge(report, duplicates=20)
        report.equal("disconnections of chargers", fleet.reconnects, 0)
    return report


async def _while_full(on: Stage, fleet: Fleet, report: Report, seconds: float) -> None:
    errors = on.process.count(" ERROR ")
    acknowledged = on.ledger.verdict().acknowledged
    report.note("full for", seconds, "s")
    unanswered = await _heartbeats(fleet.chargers[0], seconds)
    report.equal("heartbeats without an answer", unanswered, 0)
    start = '{"connectorId":1,"idTag":"x","meterStart":0,"timestamp":"2026-11-24T10:00:00Z"}'
    refusal = await fleet.chargers[1].call("start", "StartTransaction", start)
    report.equal("a start of a transaction", refusal[2], "InternalError")
    report.equal("/health", (await on.process.health())["http"], 503)
    verdict = on.ledger.verdict()
    # They must arrive in the end all the same: room for a row may be left.
    report.note("messages acknowledged meanwhile", verdict.acknowledged - acknowledged)
    report.note("messages refused, so kept by chargers", verdict.refused)
    errors = on.process.count(" ERROR ") - errors
    report.at_most("errors in the log", errors, 2 + 2 * seconds // 60)


async def _heartbeats(charger: Charger, seconds: float) -> int:
    """Return how many heartbeats of some seconds were not answered."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    bad = 0
    for number in itertools.count():
        answer = await charger.call(f"heartbeat {number}", "Heartbeat")
        bad += not answer or answer[0] != 3
        if loop.time() >= end:
            return bad
        await asyncio.sleep(0.2)
    return bad


class _Disk:
    """A folder that can be filled up: a small file system, or where none may be mounted, limits."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self._folder = folder
        self._mounted = mounted

    @contextlib.asynccontextmanager
    async def full(self, process: Process) -> AsyncIterator[None]:
        """Leave no room meanwhile, not even what the database gives back."""
        task = asyncio.create_task(self._fill_for_ever(process), name="ballast")
        try:
            await asyncio.sleep(0.1)
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            if self._mounted:
                (self._folder / "ballast").unlink()
            else:
                self._limit(process, resource.RLIM_INFINITY)

    async def _fill_for_ever(self, process: Process) -> None:
        while True:
            if self._mounted:
                with contextlib.suppress(OSError), (self._folder / "ballast").open("ab", 0) as file:
                    for size in (65536, 4096, 512, 1):
                        with contextlib.suppress(OSError):
                            while True:
                                file.write(b"x" * size)
            else:
                log = self._folder / f"{DATABASE}-wal"
                self._limit(process, log.stat().st_size if log.exists() else 0)
            await asyncio.sleep(0.02)

    def _limit(self, process: Process, size: int) -> None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextlib.asynccontextmanager
async def _small_disk(folder: Path) -> AsyncIterator[_Disk]:
    folder.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", str(folder))
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield _Disk(folder, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(("umount", "-l", str(folder)), check=True)


async def broken(folder: Path, *, kinds: tuple[str, ...]) -> Report:
    """F7: what is on the disk cannot be used."""
    report = Report()
    slowest = 0.0
    for kind in kinds:
        damage, named = DAMAGES[kind]
        async with stage(folder / kind.replace(" ", "-")) as on:
            on.proxy.mode = "refuse"
            await on.process.start()
            fleet = on.fleet(5)
            async with fleet.at_work(0.1):
                await asyncio.sleep(1)
            await on.process.kill()
            damage(on.process.data)
            fresh = Stage(on.folder, on.mosquitto, on.proxy, on.process)
            on.proxy.mode = "pass"
            slowest = max(slowest, await on.process.start())
            await on.healthy(broker="connected")
            again = fresh.fleet(5, prefix="D")
            async with again.at_work(0.1):
                await asyncio.sleep(0.5)
            health = await on.process.health()
            served = fresh.ledger.verdict().acknowledged > 0
            told = any(named in problem for problem in health["problems"])
            aside = any(".broken-" in file.name for file in on.process.data.iterdir())
            errors = sum(" ERROR " in line and named in line for line in on.process.lines())
            report.equal(
                f"{kind}: set aside, one error names it, told in /health, chargers served",
                (aside, errors, told, served),
                (True, 1, True, True),
            )
    report.at_most("slowest start", slowest, 5, "s", loose=True)
    return report


def _garbage(data: Path) -> None:
    _fold(data)
    (data / DATABASE).write_bytes(random.randbytes(50_000))


def _truncated(data: Path) -> None:
    _fold(data)
    size = (data / DATABASE).stat().st_size
    os.truncate(data / DATABASE, size // 2 + 100)


def _scribbled(data: Path) -> None:
    _fold(data)
    with (data / DATABASE).open("r+b") as file:
        for page in range(1, 8):
            file.seek(4096 * page)
            file.write(random.randbytes(2000))


def _older(data: Path) -> None:
    _fold(data)
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.execute("PRAGMA user_version = 0")


def _newer(data: Path) -> None:
    _fold(data)
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _no_credentials(data: Path) -> None:
    (data / "chargers.json").write_bytes(b'{"version": 1, "chargers": {"C00')


def _fold(data: Path) -> None:
    """Bring everything into the main file."""
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "garbage": (_garbage, DATABASE),
    "truncated": (_truncated, DATABASE),
    "scribbled over": (_scribbled, DATABASE),
    "older format": (_older, DATABASE),
    "newer format": (_newer, DATABASE),
    "chargers cut off": (_no_credentials, "chargers.json"),
}


async def backup(folder: Path, *, chargers: int, period: float, backups: int) -> Report:
    """F25: the data folder is packed while the gateway works, and restored later."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        given: set[int] = set()
        packed = again = 0
        async with fleet.at_work(period):
            for number in range(backups):
                if number % 4 != 3:  # most of them while messages are being stored
                    on.proxy.mode = "refuse"
                    on.proxy.reset()
                await asyncio.sleep(random.uniform(0.3, 1.5))
                given.add(await _start(on, on.process.port, f"before {number}"))
                file = folder / f"{number}.tar.gz"
                while not await asyncio.to_thread(_pack, on.process.data, file, number % 2 == 0):
                    again += 1
                packed += file.stat().st_size
                given.add(await _start(on, on.process.port, f"after {number}"))
                on.proxy.mode = "pass"
                await on.healthy(broker="connected")
        await on.drained(DRAIN)
        on.judge(report, duplicates=20 * backups)
        await on.process.stop()
        on.proxy.mode = "pass"
        sound = replayed = aside = 0
        reused: list[int] = []
        for number in range(backups):
            restored = Process(folder / f"restored-{number}", on.proxy.port)
            restored.data.mkdir(parents=True)
            with tarfile.open(folder / f"{number}.tar.gz") as archive:
                archive.extractall(restored.data, filter="data")
            before, began = len(on.replayed), datetime.now(UTC)
            sound += restored.is_sound(restored.data.parent)
            try:
                await restored.start()
                fresh = Stage(on.folder, on.mosquitto, on.proxy, restored)
                # What it stores for want of a broker would be lost with this folder.
                await fresh.healthy(broker="connected")
                visitors = Fleet(
                    [Charger(f"R{number}-{n}", restored.port, on.ledger) for n in range(3)]
                )
                async with visitors.at_work(0.2):
                    reused += given & {await _start(on, restored.port, f"restored {number}")}
                    await asyncio.sleep(3)  # longer than a replay waits
                health = await restored.health()
                aside += health["outbox"]["set_aside"]
                await restored.stop()
            finally:
                await restored.end()
            # New ones, too, are stored and replayed while the broker is slow.
            replayed += sum(received < began for received in on.replayed[before:])
        report.note("backups", backups)
        report.note("taken again, since a file shrank meanwhile", again)
        report.note("size of one", packed / backups / 1024, "KiB")
        report.equal("restored to a sound database", sound, backups)
        report.equal("old messages published again", replayed, 0)
        report.note("old messages set aside", aside)
        report.equal("transaction ids given twice", len(reused), 0)
        report.equal("lost afterwards", on.ledger.verdict().lost, 0)
    return report


def _pack(data: Path, file: Path, like_supervisor: bool) -> bool:
    """Pack a folder that is being written to; False if the archive is not whole.

    The Supervisor leaves out what the app names.
    """
    excluded: list[str] = []
    if like_supervisor:
        lines = (ROOT / "config.yaml").read_text().partition("backup_exclude:\n")[2].splitlines()
        for line in itertools.takewhile(lambda one: one.startswith("  - "), lines):
            excluded.append(line.removeprefix("  - "))
        assert excluded
    with tarfile.open(file, "w:gz") as archive:
        names = sorted(os.listdir(data))
        random.shuffle(names)
        for name in names:
            if name not in excluded:
                try:
                    archive.add(data / name, name)
                except FileNotFoundError:  # gone meanwhile
                    continue
                except OSError:  # the log was emptied just now
                    return False
    return True


async def _start(on: Stage, port: int, unique_id: str) -> int:
    """Start a transaction and return its id."""
    charger = Charger("starter", port, on.ledger)
    await charger.connect()
    try:
        body = {"connectorId": 1, "idTag": "x", "meterStart": 0, "timestamp": unique_id}
        answer = await charger.call(unique_id, "StartTransaction", json.dumps(body))
        return int(answer[2]["transactionId"])
    finally:
        charger.socket.abort()


async def bounded(
    folder: Path, *, chargers: int, period: float, limit: int, seconds: float
) -> Report:
    """F26: the broker is away for longer than the outbox has room."""
    report = Report()
    async with stage(folder, outbox_limit=limit) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(chargers)
        statuses = 0
        async with fleet.at_work(period):
            on.proxy.mode = "refuse"
            on.proxy.reset()
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            status = '{"connectorId":1,"errorCode":"NoError","status":"Available"}'
            while loop.time() < end:
                for charger in fleet.chargers[:5]:
                    await charger.call(f"heartbeat {end}", "Heartbeat")
                    answer = await charger.call(f"status {end}", "StatusNotification", status)
                    statuses += bool(answer) and answer[0] == 3
                await asyncio.sleep(0.05)
            await on.until(lambda: on.ledger.verdict().refused)
            health = await on.process.health()
            told = any("The outbox is full" in problem for problem in health["problems"])
            report.at_most("messages stored", health["outbox"]["stored"], limit)
            report.equal("told in /health", (told, health["status"]), (True, "degraded"))
            report.note("messages that count less, dropped", health["outbox"]["dropped"])
            report.note(
                "transaction data refused, so kept by chargers", on.ledger.verdict().refused
            )
            report.note("statuses accepted meanwhile", statuses)
            on.proxy.mode = "pass"
            await on.drained(DRAIN)
        await on.drained(DRAIN)
        report.equal("transaction data acknowledged and lost", on.ledger.verdict().lost, 0)
        report.equal("out of order per charger", on.ledger.verdict().disorder, 0)
        report.equal("disconnections of chargers", fleet.reconnects, 0)
    return report
