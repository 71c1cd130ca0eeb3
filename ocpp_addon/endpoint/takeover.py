"""Two connections with one id: whether the newer may take the place of the older."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ocpp_addon.endpoint.admission import Admitted, Refusal
from ocpp_addon.endpoint.connection import Connection
from ocpp_addon.endpoint.throttle import Throttle
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

PROOF_OF_LIFE = 2.0  # seconds that the connection of an unprotected charger has to answer a ping
CONTEST_LIMIT = 4  # newcomers with one id that may wait for their turn


class TakeOver:
    """Let in one newcomer at a time for each id; `count` are those that took another's place."""

    def __init__(self, connection: Callable[[str], Connection | None]) -> None:
        self.count = 0
        self._connection = connection
        self._throttle = Throttle(3, 60, 60)
        self._contests: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, admitted: Admitted) -> AsyncIterator[None]:
        """Let a newcomer have the id and connect, while others with the same id wait.

        Raises Refusal.
        """
        charger_id = admitted.charger_id
        lock, waiting = self._contests.get(charger_id, (asyncio.Lock(), 0))
        if waiting >= CONTEST_LIMIT:
            sentence = "Too many connections with this id at once."
            raise Refusal(429, "takeover_throttled", sentence, charger_id, {"Retry-After": "10"})
        self._contests[charger_id] = (lock, waiting + 1)
        try:
            async with lock:
                await self._decide(admitted)
                yield
        finally:
            lock, waiting = self._contests.pop(charger_id)
            if waiting > 1:
                self._contests[charger_id] = (lock, waiting - 1)

    async def _decide(self, admitted: Admitted) -> None:
        charger_id = admitted.charger_id
        older = self._connection(charger_id)
        if older is None:
            return
        now = asyncio.get_running_loop().time()
        wait = self._throttle.blocked(charger_id, now)
        if wait:
            sentence = "Connections with this id replace each other too often."
            headers = {"Retry-After": str(int(wait) + 1)}
            raise Refusal(429, "takeover_throttled", sentence, charger_id, headers)
        if not admitted.authenticated and await older.is_alive(PROOF_OF_LIFE):
            sentence = "Another connection with this id is alive."
            raise Refusal(409, "other_connection_alive", sentence, charger_id)
        self._throttle.count(charger_id, now)
        self.count += 1
        log.warning("%s: a newer connection takes the place of the old", printable(charger_id))
