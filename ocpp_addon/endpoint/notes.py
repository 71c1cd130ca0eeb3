"""What was odd about a charger's messages, as lines of the log; a flood of them stays a few."""

import asyncio
import logging

from ocpp_addon.text import printable

log = logging.getLogger(__name__)

LIMIT = 5  # lines about one connection
WINDOW = 60.0  # in this many seconds


class Notes:
    """Write the first few in each window and drop the rest."""

    def __init__(self, charger_id: str) -> None:
        self._name = printable(charger_id)
        self._count = 0
        self._since = 0.0

    def write(self, text: str) -> None:
        """Tell people of something, in one line."""
        now = asyncio.get_running_loop().time()
        if now - self._since >= WINDOW:
            self._count, self._since = 0, now
        self._count += 1
        if self._count <= LIMIT:
            log.warning("%s: %s", self._name, printable(text, 200))
