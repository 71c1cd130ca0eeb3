"""Whatever chargers say, in whatever order, and whenever the gateway restarts or crashes."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocpp_addon.database import Database
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.connector import STATUSES
from ocpp_addon.home.shown import api_item, public_state
from ocpp_addon.ocpp.version import V16, V201
from ocpp_addon.text import utc
from tests.home.charger import Charger
from tests.home.conftest import NOW

NUMBERS = st.sampled_from([0, 1, 2])
REGISTERS = st.one_of(
    st.integers(0, 20_000),
    st.integers(50_000, 51_000),
    st.integers(0, 10**9),
    st.floats(0, 100).map(lambda number: round(number, 2)),
)
UNITS = st.sampled_from([None, "Wh", "kWh", "W", ""])
DELAYS = st.sampled_from([0, 0, 0, 90, 7200, 86_400, -3600, -(10**9)])  # of the time stamp
PAUSES = st.sampled_from([0, 1, 60, 900, 86_400])
KINDS = st.sampled_from(["Started", "Updated", "Ended"])
STEPS = st.one_of(
    st.tuples(st.just("start"), NUMBERS, REGISTERS.map(int), DELAYS),
    st.tuples(st.just("stop"), st.sampled_from([-1, 0, 1]), REGISTERS.map(int), DELAYS),
    st.tuples(st.just("meter"), NUMBERS, REGISTERS, UNITS, DELAYS, st.sampled_from([-1, 0, 1, 99])),
    st.tuples(st.just("status"), NUMBERS, st.sampled_from([*STATUSES, "Odd"])),
    st.tuples(
        st.just("event"), st.sampled_from(["Started", "Updated", "Ended"]), REGISTERS, NUMBERS
    ),
    st.tuples(st.just("boot")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("crash")),
)


class World:
    """A charger that says anything, and the gateway's restarts."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.shown: dict[int, float] = {}
        self.last: list[int] = []  # ids of transactions

    async def open(self, now: Any = NOW) -> None:
        central = await CentralSystem.open(
            self.database, tag_policy="accept", heartbeat_interval=300
        )
        self.charger = Charger(central)
        self.charger.now = now

    def identity(self, choice: int) -> int:
        """Return the last transaction for 1, an odd id otherwise."""
        return self.last[-1] if choice == 1 and self.last else choice

    async def do(self, step: tuple[Any, ...]) -> None:
        charger = self.charger
        charger.version = V201 if step[0] == "event" else V16
        match step:
            case "start", number, register, delay:
                stamp = utc(charger.now - timedelta(seconds=delay))
                self.last.append(await charger.start(number, meterStart=register, timestamp=stamp))
            case "stop", choice, register, delay:
                stamp = utc(charger.now - timedelta(seconds=delay))
                await charger.stop(self.identity(choice), meterStop=register, timestamp=stamp)
            case "meter", number, register, unit, delay, choice:
                sample = {"value": str(register)} | ({} if unit is None else {"unit": unit})
                power = {"value": "7000", "measurand": "Power.Active.Import"}
                stamp = utc(charger.now - timedelta(seconds=delay))
                moment = {"timestamp": stamp, "sampledValue": [sample, power]}
                told = {"connectorId": number, "transactionId": self.identity(choice)}
                await charger.say("MeterValues", told | {"meterValue": [moment]})
            case "status", number, status:
                await charger.status(status, number)
            case "event", kind, register, number:
                values = [{"timestamp": utc(charger.now), "sampledValue": [{"value": register}]}]
                await charger.event(kind, f"t-{number}", evse={"id": number}, meterValue=values)
            case ("boot",):
                await charger.say("BootNotification", {})
            case ("tick",):
                charger.central.states.tick(charger.now)
            case ("restart",):
                await charger.central.close()
                await self.open(charger.now)
            case ("crash",):
                await charger.central._journal.flush()  # it does so every few seconds
                await self.open(charger.now)

    def check(self) -> None:
        """Hold what is shown against what must always be true."""
        for state in self.charger.central.states.of("garage"):
            public = public_state(state, self.charger.now)
            json.dumps([public, api_item(state)], allow_nan=False)
            energy = public.get("energy")
            if energy is not None:
                assert energy >= self.shown.get(state.number, 0)
                self.shown[state.number] = energy
            assert public.get("session_energy", 0) >= 0
            assert public.get("session_duration", 0) >= 0
            if public.get("status") in ("Available", "Finishing", "Unavailable") and state.number:
                assert state.still_since is None or not public["charging"]
            running = self.charger.central.states._transactions.running("garage", state.number)
            if state.run is not None:
                assert running is not None
                assert public["session_active"]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=150,
    deadline=None,
)
@given(st.lists(st.tuples(PAUSES, STEPS), max_size=40))
def test_anything(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, tuple[Any, ...]]]
) -> None:
    async def live(path: Path) -> None:
        database = await Database.open(path / "gateway.db", CentralSystem.TABLES)
        world = World(database)
        await world.open()
        for pause, step in steps:
            world.charger.wait(pause)
            await world.do(step)
            world.check()
        await world.charger.central.close()
        await database.close()

    asyncio.run(asyncio.wait_for(live(tmp_path_factory.mktemp("anything")), 60))
