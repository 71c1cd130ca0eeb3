"""Commands for chargers: F11 and F12."""

import asyncio
import json
from pathlib import Path

from tests.fault.chargers import Charger
from tests.fault.ledger import percentile
from tests.fault.report import Report
from tests.fault.stage import Stage, stage


async def answers(folder: Path, *, call_timeout: float) -> Report:
    """F11: a charger answers late, never and twice."""
    report = Report()
    async with stage(folder, call_timeout=call_timeout) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(1)
        charger = fleet.chargers[0]
        loop = asyncio.get_running_loop()
        seen: list[str] = []
        charger.on_command = lambda text: seen.append(json.loads(text)[1])
        async with fleet.at_work(0):
            # Never: the time-out ends it, and the next one leaves at once.
            began = loop.time()
            never = await on.command(charger.charger_id)
            queued = await on.command(charger.charger_id)
            await on.until(lambda: never in on.outcomes)
            report.at_most(
                "time-out of a command, off by",
                abs(loop.time() - began - call_timeout), 1, "s", loose=True,
            )  # fmt: skip
            wait = await on.until(lambda: queued in seen)
            report.at_most("the next command leaves after", wait * 1000, 100, "ms", loose=True)
            # Late: it is told as late, and is no answer to the one that is under way.
            charger.answer_command(f'[2,"{never}"]')
            await on.until(lambda: on.late == 1)
            report.equal("outcomes of the command under way", queued in on.outcomes, False)
            # Twice.
            charger.answer_command(f'[2,"{queued}"]')
            charger.answer_command(f'[2,"{queued}"]')
            await on.until(lambda: queued in on.outcomes)
            third = await on.command(charger.charger_id)
            await on.until(lambda: third in seen)
            charger.answer_command(f'[2,"{third}"]')
            await on.until(lambda: third in on.outcomes)
            await asyncio.sleep(0.5)
        asked = {never, queued, third}
        report.equal("commands sent to the charger", (len(seen), set(seen) == asked), (3, True))
        report.equal("late answers told as late", on.late, 1)
        report.equal("time-outs", dict(on.reasons), {"timeout": 1})
        # The second answer is published too, as unsolicited; it is no second outcome of a command.
        report.equal("outcomes of the first", len(on.outcomes[never]), 1)
        report.equal("outcomes of the third", len(on.outcomes[third]), 1)
    return report


class _Single(Charger):
    """A charger that notes when two commands are with it at once."""

    most = 0
    _open = 0

    def take(self, text: str) -> None:
        """Answer a little later."""
        self._open += 1
        self.most = max(self.most, self._open)
        asyncio.get_running_loop().call_later(0.02, self._reply, text)

    def _reply(self, text: str) -> None:
        self._open -= 1
        self.answer_command(text)


async def flood(folder: Path, *, commands: int, seconds: float, others: int) -> Report:
    """F12: more commands for one charger than it can take."""
    report = Report()
    async with stage(folder) as on:
        await on.process.start()
        await on.healthy(broker="connected")
        fleet = on.fleet(others)
        victim = _Single("victim", on.process.port, on.ledger)
        victim.on_command = victim.take
        await victim.connect()
        async with fleet.at_work(0.5):
            await asyncio.sleep(max(2.0, seconds / 2))
            baseline = percentile(on.ledger.latencies, 0.99)
            on.ledger.latencies.clear()
            given = await _give(on, "victim", commands, seconds)
            took = await on.until(lambda: on.outcomes.keys() >= set(given), 120)
            during = percentile(on.ledger.latencies, 0.99)
        await asyncio.sleep(0.5)
        report.note("commands", commands)
        report.equal(
            "commands with exactly one outcome",
            sum(len(on.outcomes.get(one, ())) == 1 for one in given), commands,
        )  # fmt: skip
        report.note("of them carried out", len(victim.commands))
        refused = on.reasons["queue_full"]
        report.equal("of them refused as queue_full", refused, commands - len(victim.commands))
        report.equal("most commands with the charger at once", victim.most, 1)
        report.at_most("last outcome after the last command", took, 2, "s", loose=True)
        report.note("answers to others before, p99", baseline * 1000, "ms")
        report.note("answers to others meanwhile, p99", during * 1000, "ms")
        on.judge(report, duplicates=0)
    return report


async def _give(on: Stage, charger_id: str, commands: int, seconds: float) -> list[str]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    given = []
    for number in range(commands):
        message = {"UniqueId": f"f{number}", "Action": "ClearCache", "Payload": {}}
        on.listener.publish(f"ocpp/{charger_id}/Call/x", json.dumps(message).encode())
        given.append(f"f{number}")
        if (late := began + seconds * number / commands - loop.time()) > 0:
            await asyncio.sleep(late)
    return given
