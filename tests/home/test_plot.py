"""Points for plots."""

import asyncio
from datetime import timedelta

import pytest

from ocpp_addon.database import Database
from ocpp_addon.home import plot as module
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.plot import Point
from tests.home.conftest import NOW, OpenCentral

MINUTE = timedelta(minutes=1)


def measure(central: CentralSystem, power: float, energy: float, connector: int = 1) -> None:
    """Let a connector show something."""
    state = central.states._at("garage", connector)
    assert state is not None
    state.values["power"] = power
    state.energy.register.total = state.energy.register.raw = energy


async def test_points_add_up_the_connectors_and_skip_what_does_not_change(
    central: CentralSystem,
) -> None:
    central.plot.note(NOW)  # nothing is known yet
    measure(central, 99_000, 5, connector=0)  # the main meter, behind which others hang
    measure(central, 0, 1000)
    central.plot.note(NOW + MINUTE)
    measure(central, 100, 50, connector=2)
    for minute in range(2, 60):
        central.plot.note(NOW + minute * MINUTE)
    measure(central, 7000, 2000)
    central.plot.note(NOW + 60 * MINUTE)
    assert await central.plot.find("garage", NOW, None) == [
        Point(NOW + MINUTE, 0, 1000),
        Point(NOW + 2 * MINUTE, 100, 1050),
        Point(NOW + 59 * MINUTE, 100, 1050),
        Point(NOW + 60 * MINUTE, 7100, 2050),
    ]


async def test_the_main_meter_speaks_where_connectors_say_nothing(central: CentralSystem) -> None:
    measure(central, 500, 5, connector=0)
    central.plot.note(NOW)
    assert await central.plot.find("garage", NOW, None) == [Point(NOW, 500, 5)]


async def test_nobody_knows_what_flows_where_nothing_is_heard(central: CentralSystem) -> None:
    measure(central, 7000, 1000)
    [state] = central.states.of("garage")
    state.sampled_at = NOW
    central.plot.note(NOW)
    central.plot.note(NOW + module.UNHEARD)
    points = await central.plot.find("garage", NOW, None)
    assert [point.power for point in points] == [7000, 7000, None]


async def test_points_survive_a_restart_and_go_when_they_are_old(
    open_central: OpenCentral, database: Database
) -> None:
    central = await open_central()
    for minute in range(3):
        measure(central, minute, 0)
        central.plot.note(NOW + minute * MINUTE)
    assert await database.read("SELECT * FROM points") == []
    await central.plot.write(NOW)
    again = await open_central()
    since, until = NOW + MINUTE, NOW + 2 * MINUTE
    assert [point.power for point in await again.plot.find("garage", NOW, None)] == [0, 1, 2]
    assert [point.power for point in await again.plot.find("garage", since, until)] == [1]
    assert await again.plot.find("yard", NOW, None) == []

    measure(again, 7, 0)
    later = NOW + module.KEPT + MINUTE
    again.plot.note(later)
    await again.plot.write(later)
    assert [point.power for point in await again.plot.find("garage", NOW, None)] == [1, 2, 7]


async def test_old_points_are_found_without_reading_the_others(
    central: CentralSystem, database: Database
) -> None:
    plan = await database.read(f"EXPLAIN QUERY PLAN {module._DROP_OLD}", 0)
    steps = [detail for *_, detail in plan]
    assert "SEARCH points USING PRIMARY KEY (charger_id=? AND at<?)" in steps
    assert not any(step.startswith("SCAN points") for step in steps)


async def test_points_are_bounded(central: CentralSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_LIMIT", 10)
    for minute in range(35):
        measure(central, minute, 0)
        central.plot.note(NOW + minute * MINUTE)
    found = await central.plot.find("garage", NOW, None)
    assert [point.power for point in found] == [0, 4, 8, 12, 16, 20, 24, 28, 32]
    central.forget("garage")
    assert await central.plot.find("garage", NOW, None) == []


async def test_it_runs_by_itself(
    central: CentralSystem, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)
    monkeypatch.setattr(module, "WRITE_EVERY", 0.01)
    measure(central, 1, 2)
    running = asyncio.create_task(central.plot.run())
    async with asyncio.timeout(20):
        while not await database.read("SELECT * FROM points"):
            await asyncio.sleep(0.01)
    running.cancel()
