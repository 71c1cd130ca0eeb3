"""Mistakes of our own that must not spread: logged, shown in the health report, survived."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ocpp_addon.errors import GatewayError

log = logging.getLogger(__name__)

SAY_EVERY = 60.0  # seconds between log lines about the same mishap


class Mishaps:
    """Keep what went wrong; `problems` has a sentence for each kind."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._said: dict[str, float] = {}

    @contextmanager
    def contained(self, what: str) -> Iterator[None]:
        """Let the caller go on when the code within fails, unless with a GatewayError.

        `what` names the work, in the same words each time.
        """
        try:
            yield
        except GatewayError:
            raise
        except Exception:
            self.note(what)

    def note(self, what: str) -> None:
        """Tell of the exception that is being handled."""
        problem = f"Something has failed ({what}): see the log."
        if problem not in self.problems:
            self.problems.append(problem)
        now = time.monotonic()
        if now >= self._said.get(what, 0.0):
            self._said[what] = now + SAY_EVERY
            log.exception("Something has failed: %s", what)

    def uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what nobody has caught, as a loop's exception handler."""
        message = str(context["message"])
        try:
            raise context.get("exception") or RuntimeError(message)
        except BaseException:
            # Without the arguments of a callback, which are others each time.
            self.note(message.partition("(")[0])
