"""A charger on the stand that answers commands by a rule."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from tests.support.patience import PATIENCE
from tests.support.stand import Charger

Rule = Callable[[str, Any], Any]


class Obedient:
    """Notes what it is asked and answers it; it can say something itself meanwhile."""

    def __init__(self, charger: Charger, rule: Rule) -> None:
        self.charger = charger
        self.rule = rule
        self.asked: list[tuple[str, Any]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._ids = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Any]] = {}

    async def serve(self) -> None:
        """Take frames until cancelled."""
        while True:
            kind, unique_id, *rest = await self.charger.receive(600)
            if kind != 2:
                self._answers.pop(unique_id).set_result(rest[0])
                continue
            action, payload = rest
            self.asked.append((action, payload))
            await self.go_on.wait()
            answer = self.rule(action, payload)
            if answer is not None:
                await self.charger.send([3, unique_id, answer])

    async def say(self, action: str, payload: Any) -> Any:
        """Send a Call while `serve` runs and return what it was answered."""
        unique_id = f"said-{next(self._ids)}"
        self._answers[unique_id] = asyncio.get_running_loop().create_future()
        await self.charger.send([2, unique_id, action, payload])
        return await asyncio.wait_for(self._answers[unique_id], PATIENCE)
