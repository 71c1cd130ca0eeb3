"""Chargers that all connect at once, in a process of their own: `crowd PORT COUNT PASSWORD`.

Whoever measures others meanwhile must not be busy with them. Prints one line of JSON once all are
in: `took`, in seconds, and `refused`, how many handshakes were. They stay until the end of input.
"""

import asyncio
import json
import sys

from tests.fault.chargers import Charger
from tests.fault.ledger import Ledger

PATIENCE = 600.0
BOOT = json.dumps({"chargePointVendor": "v", "chargePointModel": "m"})


def crowd_ids(count: int) -> list[str]:
    """Return the ids of a crowd."""
    return [f"C{number:04}" for number in range(count)]


async def _boot(charger: Charger) -> None:
    await charger.connected.wait()
    answer = await charger.call("boot", "BootNotification", BOOT)
    assert answer[2]["status"] == "Accepted", answer


async def _main(port: int, count: int, password: str) -> None:
    loop = asyncio.get_running_loop()
    chargers = [Charger(one, port, Ledger(), password) for one in crowd_ids(count)]
    for charger in chargers:
        charger.retry = lambda failures: min(5.0, 0.5 * failures)
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        staying = [tasks.create_task(charger.keep_connected()) for charger in chargers]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*map(_boot, chargers))
        refused = sum(sum(charger.refusals.values()) for charger in chargers)
        print(json.dumps({"took": loop.time() - began, "refused": refused}), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        for task in staying:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
