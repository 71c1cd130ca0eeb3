"""Chargers that come all at once, do not read, vanish, and contest an id: F9, F10, F16 and F17."""

import asyncio
import base64
import contextlib
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt

from tests.fault.chargers import Charger, Fleet
from tests.fault.crowd import crowd_ids
from tests.fault.ledger import percentile
from tests.fault.process import ROOT
from tests.fault.proxy import Proxy
from tests.fault.report import Report
from tests.fault.stage import Stage, stage
from tests.fault.websocket import Refused

SETTLED = 2.0  # seconds after which a buffer that does not grow is full, and a crowd is quiet
CROWD_PATIENCE = 660.0  # seconds: longer than the crowd's own
LARGE = json.dumps(
    {"MessageTypeId": 3, "UniqueId": "x", "Payload": {"data": "x" * 60_000}}
).encode()
PASSWORD = "correct horse battery"


def enrol(data: Path, charger_ids: list[str]) -> None:
    """Make chargers known before the start, all with the same hash, which costs the same."""
    prepared = base64.b64encode(hashlib.sha256(PASSWORD.encode()).digest())
    record = {
        "scheme": "bcrypt-sha256",
        "hash": bcrypt.hashpw(prepared, bcrypt.gensalt(10)).decode(),
    }
    chargers = {one: {"password": record, "settings": {}} for one in charger_ids}
    data.mkdir(parents=True, exist_ok=True)
    (data / "chargers.json").write_text(json.dumps({"version": 1, "chargers": chargers}))


async def storm(folder: Path, *, chargers: int, online: int) -> Report:
    """F9: all chargers connect at once with passwords; first unknown to the cache, then known."""
    report = Report()
    async with stage(folder, unknown_chargers="refuse") as on:
        early = on.fleet(online, prefix="E", password=PASSWORD)
        enrol(on.process.data, [*crowd_ids(chargers), *(one.charger_id for one in early.chargers)])
        await on.process.start()
        await on.healthy(broker="connected")
        async with early.at_work(0.5):
            await asyncio.sleep(2)
            for name, limit in (("cold", 120), ("warm", 10)):
                on.forget_answers()
                async with _crowd(on, chargers) as found:
                    await asyncio.sleep(SETTLED)
                    on.judge_answers(report, f"{name}: answers to those online", 100)
                    on.forget_answers()
                await asyncio.sleep(SETTLED)
                p99 = percentile(on.ledger.latencies, 0.99) * 1000
                report.note(f"{name}: answers while all leave at once, p99", p99, "ms")
                report.at_most(f"{name}: all in after", found["took"], limit, "s", loose=True)
                title = f"{name}: asked to come again, as too many were waiting"
                report.note(title, found["refused"])
        await on.drained()
        report.note("chargers", chargers)
        report.at_most("resident memory", on.process.memory, 300, "MB", loose=True)
        report.equal("errors in the log", on.process.count(" ERROR "), 0)
        report.equal("disconnections of those online", early.reconnects, 0)
        on.judge(report, duplicates=0)
    return report


@contextlib.asynccontextmanager
async def _crowd(on: Stage, chargers: int) -> AsyncIterator[dict[str, float]]:
    """Let a crowd connect and boot, and yield what it tells; it leaves all at once."""
    crowd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fault.crowd"),
        *(str(on.process.port), str(chargers), PASSWORD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert crowd.stdin is not None and crowd.stdout is not None
    try:
        async with asyncio.timeout(CROWD_PATIENCE):
            yield json.loads(await crowd.stdout.readline())
            crowd.stdin.close()
            await crowd.wait()
    finally:
        if crowd.returncode is None:
            crowd.kill()


async def deaf(folder: Path, *, deaf: int, others: int, seconds: float) -> Report:
    """F10: some chargers stop reading, while there is much for them."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(others)
        crowd = on.fleet(deaf, prefix="D")
        async with fleet.at_work(1):
            for charger in crowd.chargers:
                charger.receive_buffer = 4096
                await charger.connect()
            await asyncio.sleep(max(2.0, seconds))
            baseline = percentile(on.ledger.latencies, 0.99)
            on.forget_answers()
            report.note("answers to others before, p99", baseline * 1000, "ms")
            memory = on.process.memory
            for charger in crowd.chargers:
                charger.socket.pause()
            most = await _stuff(on, crowd)
            on.forget_answers()
            loop = asyncio.get_running_loop()
            filled = loop.time()
            full = {one: on.process.unsent.get(one.socket.port, 0) for one in crowd.chargers}
            while [one for one in crowd.chargers if not one.socket.lost.done()]:
                assert loop.time() < filled + 60, "a charger that does not read is never cut"
                unsent = on.process.unsent
                for charger, before in full.items():
                    now = unsent.get(charger.socket.port)
                    if now is None:
                        charger.socket.resume()  # who does not read notices nothing
                    elif now > before:  # the kernel had room after all
                        full[charger], filled = now, loop.time()
                        _send_more(on, charger)
                most = max(most, on.process.memory)
                await asyncio.sleep(0.1)
            cut = loop.time() - filled
            await asyncio.sleep(seconds / 2)
            limit = max(2 * baseline * 1000, 20)
            on.judge_answers(report, "answers to others meanwhile", limit)
        await on.drained()
        report.note("chargers that do not read", deaf)
        report.at_most("last one cut, from when buffers were full", cut, 10.5, "s", loose=True)
        report.equal("told in the log", on.process.count("the charger does not read"), deaf)
        report.at_most("more memory at the most", most - memory, 20, "MB", loose=True)
        report.equal("disconnections of others", fleet.reconnects, 0)
        on.judge(report, duplicates=0)
    return report


async def _stuff(on: Stage, crowd: Fleet) -> float:
    """Send until nothing is taken any more; return the most memory meanwhile."""
    loop = asyncio.get_running_loop()
    most = on.process.memory
    # How many bytes the kernel holds back for each, and since when.
    waiting = {charger: (-1, loop.time()) for charger in crowd.chargers}
    while waiting:
        unsent = on.process.unsent
        for charger, (before, since) in list(waiting.items()):
            now = unsent.get(charger.socket.port, 0)
            if now > before:
                waiting[charger] = (now, loop.time())
                await on.listener.publish(f"ocpp/cp/{charger.charger_id}/Reply/x", LARGE)
            elif loop.time() - since > SETTLED:
                del waiting[charger]
                _send_more(on, charger)
        most = max(most, on.process.memory)
        await asyncio.sleep(0.05)
    return most


def _send_more(on: Stage, charger: Charger) -> None:
    for _ in range(3):  # for the gateway's own buffer, and to wait behind it
        on.listener.publish(f"ocpp/cp/{charger.charger_id}/Reply/x", LARGE)


async def half_open(folder: Path, *, ping_interval: float) -> Report:
    """F16: a charger vanishes without a word, with a command under way."""
    report = Report()
    async with stage(folder, ping_interval=ping_interval) as on, Proxy(on.process.port) as far:
        enrol(on.process.data, ["locked"])
        await on.process.start()
        await on.healthy(broker="connected")
        loop = asyncio.get_running_loop()
        for charger_id, password, limit in (("locked", PASSWORD, 1.0), ("open", None, 3.0)):
            remote = Charger(charger_id, far.port, on.ledger, password)
            remote.on_command = lambda text: None
            await remote.connect()
            await asyncio.sleep(2 * ping_interval)  # it has answered a ping
            command = await on.command(charger_id)
            await on.until(lambda: command in remote.commands)  # noqa: B023
            far.mode = "hole"
            began = loop.time()
            again = on.charger(charger_id, password)
            await again.connect()
            back = loop.time() - began
            kind = "with a password" if password else "without a password"
            report.at_most(f"{kind}: back after", back, limit, "s", loose=True)
            await on.until(lambda: command in on.outcomes)  # noqa: B023
            again.socket.abort()
            far.mode = "pass"
            far.reset()
            await on.until(lambda: on.retained[f"ocpp/presence/{charger_id}"] == b"offline")  # noqa: B023
        report.equal("outcomes of their commands", dict(on.reasons), {"disconnected": 2})
        # One that does not come back.
        remote = Charger("lost", far.port, on.ledger)
        remote.on_command = lambda text: None
        await remote.connect()
        await asyncio.sleep(2 * ping_interval)
        command = await on.command("lost")
        await on.until(lambda: command in remote.commands)
        far.mode = "hole"
        gone = await on.until(lambda: on.retained["ocpp/presence/lost"] == b"offline", 300)
        limit = 3 * ping_interval + 1
        report.at_most("never back: offline after", gone, limit, "s", loose=True)
        await on.until(lambda: command in on.outcomes)
        report.equal("outcomes of all commands", dict(on.reasons), {"disconnected": 3})
    return report


async def contest(folder: Path, *, seconds: float) -> Report:
    """F17: two clients with the same password connect with one id, ten times a second."""
    report = Report()
    async with stage(folder) as on:
        on.process.program = ("-m", "tests.fault.observed", "run")
        enrol(on.process.data, ["one"])
        await on.process.start()
        await on.healthy(broker="connected")
        settled = on.charger("one", PASSWORD)
        await settled.connect()
        await on.until(lambda: on.retained.get("ocpp/presence/one") == b"online")
        await asyncio.sleep(1.5)
        tasks, files = on.process.tasks, on.process.files
        changes = on.presence["ocpp/presence/one"]
        statuses: dict[int, int] = {}
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        last = settled
        while loop.time() < end:
            newcomer = on.charger("one", PASSWORD)
            try:
                await newcomer.connect()
                last = newcomer
                statuses[101] = statuses.get(101, 0) + 1
            except Refused as refused:
                statuses[refused.status] = statuses.get(refused.status, 0) + 1
            await asyncio.sleep(0.1)
        answer = await last.call("alive", "Heartbeat")
        report.note("handshakes and their answers", str(statuses))
        report.equal("the one that is left is served", bool(answer) and answer[0] == 3, True)
        health = await on.process.health()
        most = 4 * (1 + int(seconds // 60))
        report.at_most("take-overs", health["takeovers"], most)
        flaps = on.presence["ocpp/presence/one"] - changes
        report.at_most("changes of the presence", flaps, most)
        report.equal("presence in the end", on.retained["ocpp/presence/one"], b"online")
        await asyncio.sleep(1.5)
        report.at_most("more tasks than before", on.process.tasks - tasks, 2)
        report.at_most("more files than before", on.process.files - files, 2)
        report.at_most("lines of the log", len(on.process.lines()), 10 + 6 * most)
    return report
