"""How many lines somebody outside may cause in the log."""

import asyncio
import logging
from collections import OrderedDict

from ocpp_addon.text import printable


class Lines:
    """Log up to `limit` lines about somebody in `window` seconds, and say when more are left out.

    Remembers the `size` ones whom the last lines were about. Where they are `all_as` one, under
    that name, new names bring no new lines.
    """

    def __init__(
        self,
        log: logging.Logger,
        limit: int,
        window: float,
        size: int,
        all_as: str | None = None,
    ) -> None:
        self._log = log
        self._limit = limit
        self._window = window
        self._size = size
        self._all_as = all_as
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, how many

    def add(self, whom: str, level: int, text: str, *values: object) -> None:
        """Log a line about `whom` as `logging` does, or leave it out."""
        whom = self._all_as or whom
        now = asyncio.get_running_loop().time()
        since, count = self._counts.pop(whom, (now, 0))
        if now - since >= self._window:
            since, count = now, 0
        self._counts[whom] = (since, count + 1)
        if len(self._counts) > self._size:
            self._counts.popitem(last=False)
        self._log.log(level if count < self._limit else logging.DEBUG, text, *values)
        if count == self._limit - 1:
            self._log.warning("%s: more lines are left out for %g s", printable(whom), self._window)
