"""Rubbish in great amounts: F13, F14 and F15."""

import asyncio
import contextlib
import os
import random
from pathlib import Path

from tests.fault.chargers import Charger
from tests.fault.ledger import percentile
from tests.fault.report import Report
from tests.fault.scenarios_chargers import PASSWORD, enrol
from tests.fault.stage import Stage, stage
from tests.fault.websocket import TEXT, handshake, masked

RUBBISH = (
    "[",
    "[2]",
    '{"a":1}',
    '[2,"id"]',
    '[9,"id","x",{}]',
    '[2,{},"Heartbeat",{}]',
    '[2,"id",["x"],{}]',
    '[true,"id","Heartbeat",{}]',
    '[2,"id","Heartbeat",' + "9" * 4400 + "]",
    "[" * 2000,
    '[3,"id",NaN]',
    "\u0000",
    "nothing of the kind",
)


async def frames(folder: Path, *, frames: int, others: int) -> Report:
    """F13: malformed frames without end, first in a row, then with a good one now and then."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(others)
        async with fleet.at_work(0.5):
            await asyncio.sleep(5 if frames >= 100_000 else 2)
            baseline = percentile(on.ledger.latencies, 0.99)
            on.ledger.latencies.clear()
            memory = on.process.memory
            bad = on.charger("bad")
            await bad.connect()
            for _ in range(20):
                bad.socket.send_bytes(masked(TEXT, b"rubbish"))
            await on.until(bad.socket.lost.done)
            report.equal("ten in a row: closed with", bad.socket.close_code, 1008)
            before = len(on.process.lines())
            loop = asyncio.get_running_loop()
            began = loop.time()
            served = await _rubbish(on, frames)
            took = loop.time() - began
            lines = len(on.process.lines()) - before
            during = percentile(on.ledger.latencies, 0.99)
        report.note("malformed frames after that", frames)
        report.note("of them per second", frames / took)
        report.equal("the sender is served all the time", served, True)
        minutes = took / 60
        report.at_most("lines of the log per minute", lines / max(1, minutes), 10)
        report.at_most("more memory", on.process.memory - memory, 10, "MB", loose=True)
        report.note("answers to others before, p99", baseline * 1000, "ms")
        report.at_most(
            "answers to others meanwhile, p99", during * 1000, max(2 * baseline * 1000, 20), "ms",
            loose=True,
        )  # fmt: skip
        report.equal("disconnections of others", fleet.reconnects, 0)
        report.equal("the process lives", on.process.running, True)
        on.judge(report, duplicates=0)
    return report


async def _rubbish(on: Stage, frames: int) -> bool:
    """Send malformed frames, nine between each two good ones; tell whether all good are served."""
    charger = on.charger("worse")
    await charger.connect()
    batch = 90
    sent = number = 0
    while sent < frames:
        parts = []
        for at in range(batch):
            parts.append(masked(TEXT, random.choice(RUBBISH).encode()))
            if at % 9 == 8 and at < batch - 1:
                number += 1
                parts.append(masked(TEXT, f'[3,"none{number}",{{}}]'.encode()))
        charger.socket.send_bytes(b"".join(parts))
        sent += batch
        number += 1
        answer = await charger.call(f"good {number}", "Heartbeat")
        if not answer or answer[0] != 3:
            return False
    charger.socket.abort()
    return True


async def requests(folder: Path, *, requests: int, others: int) -> Report:
    """F14: malformed handshakes and other HTTP without end."""
    report = Report()
    async with stage(folder, unknown_chargers="refuse") as on:
        fleet = on.fleet(others, password=PASSWORD)
        enrol(on.process.data, [charger.charger_id for charger in fleet.chargers])
        await on.process.start()
        await on.healthy(broker="connected")
        async with fleet.at_work(1):
            await asyncio.sleep(2)
            before = len(on.process.lines())
            memory = on.process.memory
            turns = asyncio.Semaphore(30)
            loop = asyncio.get_running_loop()
            began = loop.time()
            statuses: dict[str, int] = {}

            async def one() -> None:
                async with turns:
                    answer = await _ask(on.process.port, _request())
                    word = answer[9:12].decode("latin-1") if answer else "none"
                    statuses[word] = statuses.get(word, 0) + 1

            for start in range(0, requests, 1000):
                await asyncio.gather(*(one() for _ in range(min(1000, requests - start))))
            took = loop.time() - began
            await asyncio.sleep(1)
            lines = on.process.lines(before)
        report.note("requests", requests)
        report.note("of them per second", requests / took)
        report.note("answers", ", ".join(f"{k}: {v:,}" for k, v in sorted(statuses.items())))
        report.equal("answers with status 500", statuses.get("500", 0), 0)
        report.equal("tracebacks", sum("Traceback" in line for line in lines), 0)
        report.at_most("lines of the log per minute", len(lines) / max(1, took / 60), 20)
        report.at_most("more memory", on.process.memory - memory, 20, "MB", loose=True)
        report.equal("the process lives", on.process.running, True)
        report.equal("disconnections of chargers", fleet.reconnects, 0)
        on.judge(report, duplicates=0)
    return report


def _request() -> bytes:
    whole = handshake("/ocpp/CP1")
    match random.randrange(8):
        case 0:
            return os.urandom(random.randrange(1, 200)) + b"\r\n\r\n"
        case 1:
            spoilt = bytearray(whole)
            for _ in range(random.randrange(1, 6)):
                spoilt[random.randrange(len(spoilt))] = random.randrange(256)
            return bytes(spoilt)
        case 2:
            return whole.replace(b"/ocpp/CP1", b"/ocpp/" + os.urandom(8).hex().encode())
        case 3:
            return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        case 4:
            return b"POST /ocpp/CP1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        case 5:
            return whole.replace(b"Version: 13", b"Version: " + str(random.random()).encode())
        case 6:
            return b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"
        case _:
            return b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(60) + b"\r\n\r\n"


async def _ask(port: int, request: bytes) -> bytes:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                if b"\r\n\r\n" not in request:
                    writer.write_eof()
                return await reader.read(4096)
            finally:
                writer.transport.abort()
    return b""


async def stalled(folder: Path, *, requests: int) -> Report:
    """F15: handshakes that stop in the middle, from many addresses."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        loop = asyncio.get_running_loop()

        async def stall(number: int) -> float:
            began = loop.time()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(60):
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", on.process.port, local_addr=(f"127.0.1.{number % 50 + 1}", 0)
                    )
                    writer.write(b"GET /ocpp/CP1 HTTP/1.1\r\nHost: x\r\n")
                    await reader.read()
                    writer.transport.abort()
            return loop.time() - began

        stalls = [asyncio.create_task(stall(number)) for number in range(requests)]
        slowest = 0.0
        while not all(one.done() for one in stalls):
            charger = Charger(f"new{random.random()}", on.process.port, on.ledger)
            began = loop.time()
            await charger.connect()
            assert await charger.call("1", "Heartbeat")
            slowest = max(slowest, loop.time() - began)
            charger.socket.abort()
            await asyncio.sleep(0.5)
        lasted = [one.result() for one in stalls]
        report.note("stalled requests", requests)
        report.at_most("last one closed after", max(lasted), 11, "s", loose=True)
        report.at_least("first one closed after", round(min(lasted), 2), 2, "s")
        report.at_most("a genuine charger is in after", slowest, 1, "s", loose=True)
        report.equal("tracebacks", on.process.count("Traceback"), 0)
    return report
