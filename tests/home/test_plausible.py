"""Days of chargers that do nothing wrong: each session is told as it was, however late."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocpp_addon.database import Database
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.sessions import Choice
from ocpp_addon.home.stored_states import RESERVE
from ocpp_addon.ocpp.version import V16, V201, Version
from ocpp_addon.text import utc
from tests.home.charger import Charger
from tests.home.conftest import NOW

POWER = 7_013.0  # W; kWh that happen to be whole look like Wh
EVERY = 5  # meter values in a session


@dataclass(frozen=True)
class Visit:
    """A car that comes, charges and leaves; the choices are those that chargers have."""

    connector: int
    minutes: int
    pause: int  # minutes before it comes
    offline: bool  # what is told of it waits until it has left
    meter_first: bool  # before that, what the meter shows by then, if it shows Wh of its life
    early_tag: bool  # shown before the plug
    end_state: bool  # OCPP 2.x: the end names the charging state
    plug_first: bool  # the plug is told before the end
    with_evse: bool  # OCPP 2.x: updates name the EVSE
    values: bool  # meter values come while it charges
    end_of_gateway: str | None  # in the middle


VISITS = st.builds(
    Visit,
    connector=st.sampled_from([1, 2]),
    minutes=st.integers(2, 300),
    pause=st.integers(5, 600),
    offline=st.booleans(),
    meter_first=st.booleans(),
    early_tag=st.booleans(),
    end_state=st.booleans(),
    plug_first=st.booleans(),
    with_evse=st.booleans(),
    values=st.booleans(),
    end_of_gateway=st.sampled_from([None, "stop", "crash"]),
)


@dataclass(frozen=True)
class Truth:
    """A session as it was; registers in Wh."""

    number: int
    visit: Visit
    begin: datetime
    before: int
    resets: bool  # the register counts from zero in each session

    @property
    def connector(self) -> int:
        return self.visit.connector

    @property
    def end(self) -> datetime:
        return self.begin + timedelta(minutes=self.visit.minutes)

    @property
    def energy(self) -> int:
        return round(POWER * self.visit.minutes / 60)

    def register(self, at: datetime) -> int:
        minutes = (at - self.begin).total_seconds() / 60
        return (0 if self.resets else self.before) + round(POWER * minutes / 60)

    def told_at(self, at: datetime) -> datetime:
        # Not always as late: that would be a clock that is wrong.
        late = self.end + timedelta(minutes=3, seconds=37 * self.number)
        return late if self.visit.offline else at

    def moments(self) -> list[datetime]:
        step = max(1, self.visit.minutes // EVERY)
        minutes = range(step, self.visit.minutes, step) if self.visit.values else ()
        return [self.begin + timedelta(minutes=minute) for minute in minutes]


Act = Callable[[], Awaitable[Any]]
Write = Callable[[int], dict[str, str]]  # of Wh, in OCPP 1.6


def wh(register: int) -> dict[str, str]:
    return {"value": str(register)}


def kwh_without_unit(register: int) -> dict[str, str]:
    return {"value": f"{register / 1000:.3f}"}


def wh_that_are_called_kwh(register: int) -> dict[str, str]:
    return {"value": str(register), "unit": "kWh"}


class Day:
    """A charger whose connectors know nothing of each other."""

    def __init__(self, database: Database, version: Version, write: Write) -> None:
        self.database = database
        self.version = version
        self.write = write
        self._acts: list[tuple[datetime, int, Act]] = []

    async def open(self, now: datetime = NOW) -> None:
        central = await CentralSystem.open(
            self.database, tag_policy="accept", heartbeat_interval=300
        )
        self.charger = Charger(central, self.version)
        self.charger.now = now

    async def stop(self) -> None:
        await self.charger.central.close()
        await self.open(self.charger.now)

    async def crash(self) -> None:
        await self.charger.central._journal.flush()  # it does so every few seconds
        await self.open(self.charger.now)

    def plan(self, truth: Truth) -> None:
        if self.version == V16:
            self._plan16(truth)
        else:
            self._plan2(truth)

    async def live(self) -> None:
        for at, _, act in sorted(self._acts, key=lambda one: one[:2]):
            self.charger.now = at
            await act()
        self.charger.wait(60)

    def _then(self, at: datetime, act: Act) -> None:
        self._acts.append((at, len(self._acts), act))

    def _status(self, truth: Truth, at: datetime, status: str) -> None:
        self._then(truth.told_at(at), lambda: self.charger.status(status, truth.connector))

    def _free(self, truth: Truth, *, first: bool) -> None:
        if truth.visit.offline:
            if first:
                self._status(truth, truth.end, "Available")
            plain = self.write is wh and not truth.resets
            if first and truth.visit.meter_first and plain:
                register, number = truth.register(truth.end), truth.connector
                self._then(
                    truth.told_at(truth.end), lambda: self.charger.meter(register, connector=number)
                )
        elif truth.visit.plug_first == first:
            self._status(truth, truth.end, "Available")

    def _end_gateway(self, truth: Truth) -> None:
        ends: dict[str | None, Act] = {"stop": self.stop, "crash": self.crash}
        if (act := ends.get(truth.visit.end_of_gateway)) is not None:
            self._then(truth.told_at(truth.begin + (truth.end - truth.begin) / 2), act)

    def _plan16(self, truth: Truth) -> None:
        visit, number, ids = truth.visit, truth.connector, []

        async def start() -> None:
            register = truth.register(truth.begin)
            stamp = utc(truth.begin)
            ids.append(await self.charger.start(number, meterStart=register, timestamp=stamp))

        def values(at: datetime) -> Act:
            sample = {"timestamp": utc(at), "sampledValue": [self.write(truth.register(at))]}
            told = {"connectorId": number, "meterValue": [sample]}
            return lambda: self.charger.say("MeterValues", told | {"transactionId": ids[0]})

        async def stop() -> None:
            register, stamp = truth.register(truth.end), utc(truth.end)
            await self.charger.stop(ids[0], meterStop=register, timestamp=stamp)

        if visit.offline:
            self._free(truth, first=True)
        elif visit.early_tag:
            self._then(truth.begin, lambda: self.charger.say("Authorize", {"idTag": "card"}))
            self._status(truth, truth.begin, "Preparing")
        self._then(truth.told_at(truth.begin), start)
        if not visit.offline:
            self._status(truth, truth.begin, "Charging")
        for at in truth.moments():
            self._then(truth.told_at(at), values(at))
        self._end_gateway(truth)
        if not visit.offline:
            self._free(truth, first=True)
        self._then(truth.told_at(truth.end), stop)
        self._free(truth, first=False)

    def _plan2(self, truth: Truth) -> None:
        visit, number = truth.visit, truth.connector
        evse: dict[str, Any] = {"evse": {"id": number, "connectorId": 1}}
        more = evse if visit.with_evse else {}
        token: dict[str, Any] = {"idToken": {"idToken": "card", "type": "ISO14443"}}

        def event(kind: str, at: datetime, **fields: Any) -> None:
            sampled = {"value": truth.register(at)}
            told = {
                "timestamp": utc(at),
                "offline": visit.offline,
                "meterValue": [{"timestamp": utc(at), "sampledValue": [sampled]}],
                **fields,
            }
            identity = f"t-{truth.number}"
            self._then(truth.told_at(at), lambda: self.charger.event(kind, identity, **told))

        if visit.offline:
            self._free(truth, first=True)
        else:
            self._status(truth, truth.begin, "Occupied")
        info = {"chargingState": "EVConnected"}
        event("Started", truth.begin, info=info, **evse, **(token if visit.early_tag else {}))
        info = {"chargingState": "Charging"}
        event("Updated", truth.begin, info=info, triggerReason="Authorized", **token, **more)
        for at in truth.moments():
            event("Updated", at, **more)
        self._end_gateway(truth)
        if not visit.offline:
            self._free(truth, first=True)
        ended = {"stoppedReason": "EVDisconnected"}
        event(
            "Ended",
            truth.end,
            info=ended | ({"chargingState": "Idle"} if visit.end_state else {}),
            **more,
        )
        self._free(truth, first=False)

    async def check(self, truths: list[Truth]) -> None:
        found = await self.charger.central.sessions.find(Choice())
        assert sorted(
            (one.started_at, one.connector, one.ended_at, one.energy) for one in found
        ) == sorted((utc(one.begin), one.connector, utc(one.end), one.energy) for one in truths)
        assert {one.tag for one in found} == {"card"}
        for number in {one.connector for one in truths}:
            own = [one for one in truths if one.connector == number]
            last, state = own[-1], self.charger.state(number)
            assert (state["status"], state["session_active"]) == ("Available", False)
            assert (state.get("plugged_in"), state["charging"]) == (False, False)
            total = sum(one.energy for one in own) + (0 if last.resets else own[0].before)
            crashed = any(one.visit.end_of_gateway == "crash" for one in truths)
            assert 0 <= round(state["energy"] * 1000) - total <= (RESERVE if crashed else 0)
            assert state["session_energy"] == round(last.energy / 1000, 3)
            assert state["session_started"] == utc(last.begin)
            assert state["session_ended"] == utc(last.end)
            assert state["id_tag"] == "card"


# Whether a register starts anew with each session, which is told from a wrong unit by its start.
METERS = [(True, wh), (False, wh), (False, kwh_without_unit), (False, wh_that_are_called_kwh)]


def _truths(visits: list[Visit], *, resets: bool) -> list[Truth]:
    """Let the cars come one after the other to each connector."""
    free = dict.fromkeys((1, 2), NOW)
    registers = {1: 100_000, 2: 500_000}
    truths = []
    for number, visit in enumerate(visits):
        begin = free[visit.connector] + timedelta(minutes=visit.pause)
        truth = Truth(number, visit, begin, registers[visit.connector], resets)
        # What was told late is told before the next car comes.
        free[visit.connector] = max(truth.end, truth.told_at(truth.end))
        registers[visit.connector] += truth.energy
        truths.append(truth)
    return truths


@pytest.mark.parametrize("version", [V16, V201])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
@given(
    visits=st.lists(VISITS, min_size=1, max_size=6),
    meter=st.sampled_from(METERS),
)
def test_each_session_is_told_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    version: Version,
    visits: list[Visit],
    meter: tuple[bool, Write],
) -> None:
    resets, write = meter

    async def live(path: Path) -> None:
        database = await Database.open(path / "gateway.db", CentralSystem.TABLES)
        day, truths = Day(database, version, write), _truths(visits, resets=resets)
        await day.open()
        for truth in truths:
            day.plan(truth)
        await day.live()
        await day.check(truths)
        await day.charger.central.close()
        await database.close()

    asyncio.run(asyncio.wait_for(live(tmp_path_factory.mktemp("day")), 60))
