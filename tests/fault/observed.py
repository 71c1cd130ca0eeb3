"""Run the gateway and let it tell what only it can see: tasks, and how late its loop is.

Each second a line is added to the file `observed` of the data folder: the number of tasks and the
longest delays of the loop, in milliseconds, of ten looks a second.
"""

import asyncio
import sys
from pathlib import Path

from ocpp_addon.__main__ import main
from ocpp_addon.gateway import Gateway

LOOK_EVERY = 0.02
TELL_EVERY = 1.0

_serve = Gateway.serve


async def _observe(file: Path) -> None:
    loop = asyncio.get_running_loop()
    lags: list[float] = []
    told = loop.time()
    while True:
        began = loop.time()
        await asyncio.sleep(LOOK_EVERY)
        now = loop.time()
        lags.append((now - began - LOOK_EVERY) * 1000)
        if now - told >= TELL_EVERY:
            told = now
            with file.open("a") as out:
                out.write(f"{len(asyncio.all_tasks()) - 1} {' '.join(f'{x:.1f}' for x in lags)}\n")
            lags.clear()


async def _serve_observed(self: Gateway, stop: asyncio.Event) -> bool:
    task = asyncio.create_task(_observe(self.credentials.path.parent / "observed"), name="observer")
    try:
        return await _serve(self, stop)
    finally:
        task.cancel()


if __name__ == "__main__":
    Gateway.serve = _serve_observed  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
