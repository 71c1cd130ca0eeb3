"""How tests wait: for something to come true, and never for time to pass."""

import asyncio
from collections.abc import Callable

PATIENCE = 20.0  # seconds: machines are slow at times, and nothing is proved by hurry


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something has come true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
