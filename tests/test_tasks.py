"""Tasks and their end; how parts are started again is shown by the whole gateway."""

import asyncio

import pytest

from ocpp_addon import tasks as module
from ocpp_addon.mishaps import Mishaps
from ocpp_addon.tasks import Tasks


async def test_a_stop_lets_short_work_end_and_waits_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    tasks, stop, ended = Tasks(Mishaps()), asyncio.Event(), []

    async def work(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ended.append(f"{name} was cancelled")
            raise
        ended.append(name)

    async def part() -> None:
        tasks.spawn(work("short", 0.1), "short")
        tasks.spawn(work("long", 3600), "long")
        stop.set()
        await work("part", 3600)

    async def leave() -> None:
        ended.append("left")

    async with asyncio.timeout(10):
        assert await tasks.run({"part": part}, stop, leave)
    assert ended == ["left", "part was cancelled", "short", "long was cancelled"]
