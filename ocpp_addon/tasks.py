"""Every task of the gateway: its parts, which are kept running, and short work beside them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from ocpp_addon.mishaps import Mishaps

log = logging.getLogger(__name__)

RESTARTS = 3  # of a part that fails, while it runs for less than RESTARTS_WITHIN in between
RESTARTS_WITHIN = 600.0  # seconds
RESTART_DELAY = 1.0  # seconds
PATIENCE = 1.0  # seconds that a stop waits for short work, such as a password that is to be kept

Part = Callable[[], Coroutine[Any, Any, None]]
Spawn = Callable[[Coroutine[Any, Any, object], str], None]


class Tasks:
    """Run parts until they are to stop; one that fails is started again, unnoticed by others."""

    def __init__(self, mishaps: Mishaps) -> None:
        self._mishaps = mishaps
        self._group: asyncio.TaskGroup | None = None
        self._short: set[asyncio.Task[None]] = set()
        self._failed = False

    async def run(
        self, parts: Mapping[str, Part], stop: asyncio.Event, leave: Callable[[], Awaitable[None]]
    ) -> bool:
        """Run `parts` until `stop` is set, `leave`, and end; False if a part failed for good."""
        asyncio.get_running_loop().set_exception_handler(self._mishaps.uncaught)
        async with asyncio.TaskGroup() as self._group:
            running = [
                self._group.create_task(self._keep_running(name, part, stop), name=name)
                for name, part in parts.items()
            ]
            await stop.wait()
            log.info("Stopping")
            await leave()
            for task in running:
                task.cancel()
            if self._short:
                _, unfinished = await asyncio.wait(self._short, timeout=PATIENCE)
                for task in unfinished:
                    task.cancel()
        log.info("Stopped")
        return not self._failed

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Run something short beside the parts."""

        async def guarded() -> None:
            with self._mishaps.contained(name):
                await work

        if self._group is not None:
            task = self._group.create_task(guarded(), name=name)
            self._short.add(task)
            task.add_done_callback(self._short.discard)

    async def _keep_running(self, name: str, part: Part, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await part()
                return
            except Exception:
                failures = 1 if loop.time() - began > RESTARTS_WITHIN else failures + 1
                if failures > RESTARTS:
                    log.exception("The part %s fails again and again: the gateway stops", name)
                    self._failed = True
                    stop.set()
                    return
                self._mishaps.note(f"the part {name}, which is started again")
            await asyncio.sleep(RESTART_DELAY)
