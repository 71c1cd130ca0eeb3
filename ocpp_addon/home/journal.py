"""Rows that wait for the disk, written together; knows nothing of what they mean."""

import asyncio
import contextlib
import logging
from typing import NoReturn

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError

log = logging.getLogger(__name__)

SAVE_DELAY = 5.0  # seconds that changes gather, so that a restless charger wears no SD card out
WAITING_LIMIT = 5_000  # rows


class Journal:
    """Gather statements by key, the last one of a key wins, and write them in one transaction.

    Statements must bear repetition: one whose writer was cancelled is written again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[str, object], tuple[str, tuple[object, ...]]] = {}
        self._changed = asyncio.Event()
        self._crowded = asyncio.Event()
        self._writing = asyncio.Lock()

    def later(self, key: tuple[str, object], sql: str, *parameters: object) -> None:
        """Note a statement for the next `flush`; StorageError when too many wait."""
        if key not in self._waiting and len(self._waiting) >= WAITING_LIMIT:
            raise StorageError("Too many changes wait for the disk.")
        self._waiting[key] = (sql, parameters)
        self._changed.set()
        if len(self._waiting) >= WAITING_LIMIT // 2:
            self._crowded.set()

    async def flush(self) -> None:
        """Return once all that was noted is on disk; StorageError leaves it waiting."""
        async with self._writing:
            waiting, self._waiting = self._waiting, {}
            if not waiting:
                return
            try:
                await self._database.write_all(list(waiting.values()))
            except BaseException:  # a cancelled writer keeps its rows as well
                self._waiting = waiting | self._waiting
                raise

    async def run(self) -> NoReturn:
        """Flush a while after each change, or once many wait; a disk that refuses is tried again.

        It runs for ever.
        """
        refused = False
        while True:
            await self._changed.wait()
            if refused:
                await asyncio.sleep(SAVE_DELAY)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_DELAY):
                        await self._crowded.wait()
            self._changed.clear()
            self._crowded.clear()
            try:
                await self.flush()
                refused = False
            except StorageError as error:
                if not refused:
                    log.error("Charger state cannot be stored, trying on: %s", error)
                refused = True
                self._changed.set()
