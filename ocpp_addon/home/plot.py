"""What chargers measured, a point a minute, kept for plots and written together (SD cards)."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NoReturn

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home.connector import ConnectorState
from ocpp_addon.home.states import States

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds between two points
WRITE_EVERY = 300.0  # seconds between two writes
KEPT = timedelta(days=90)
UNHEARD = timedelta(hours=1)  # after which nobody knows whether power still flows
WAITING_LIMIT = 10_000  # points that the disk has not taken yet; beyond it the oldest go
ANSWER_LIMIT = 5_000  # points of one answer; of more every second, third ... is told

# Charger by charger, so that the key finds what is old; without, every write reads every point.
_DROP_OLD = (
    "DELETE FROM points WHERE at < ? AND charger_id IN ("
    " WITH RECURSIVE owners(id) AS (SELECT min(charger_id) FROM points UNION ALL SELECT"
    " (SELECT min(charger_id) FROM points WHERE charger_id > id) FROM owners WHERE id IS NOT NULL)"
    " SELECT id FROM owners)"
)


@dataclass(frozen=True)
class Point:
    """What a charger showed at a moment, all connectors together: power in W, energy in Wh."""

    at: datetime
    power: float | None
    energy: float | None


class Plot:
    """Keep points of each charger; while nothing changes there are none."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS points (charger_id TEXT NOT NULL, at REAL NOT NULL,"
        " power REAL, energy REAL, PRIMARY KEY (charger_id, at)) WITHOUT ROWID",
    )

    def __init__(self, database: Database, states: States) -> None:
        self._database = database
        self._states = states
        self._last: dict[str, Point] = {}
        self._waiting: deque[tuple[str, Point]] = deque(maxlen=WAITING_LIMIT)

    async def run(self) -> NoReturn:
        """Note a point of each charger now and then, and write them; until cancelled."""
        loop = asyncio.get_running_loop()
        write_at = loop.time() + WRITE_EVERY
        while True:
            await asyncio.sleep(EVERY)
            self.note(datetime.now(UTC))
            if loop.time() >= write_at:
                write_at = loop.time() + WRITE_EVERY
                try:
                    await self.write(datetime.now(UTC))
                except StorageError as error:
                    log.warning("Points for plots wait for the disk: %s", error)

    def note(self, now: datetime) -> None:
        """Take a point of each charger that shows something else than before."""
        for charger_id in self._states.charger_ids():
            point = self.point(charger_id, now)
            last = self._last.get(charger_id)
            if (point.power, point.energy) == ((last.power, last.energy) if last else (None, None)):
                continue
            if last is not None and now - last.at > timedelta(seconds=1.5 * EVERY):
                # It did not rise slowly since then.
                before = Point(now - timedelta(seconds=EVERY), last.power, last.energy)
                self._waiting.append((charger_id, before))
            self._waiting.append((charger_id, point))
            self._last[charger_id] = point

    async def write(self, now: datetime) -> None:
        """Write what waits and drop what is too old; StorageError leaves it waiting."""
        if not self._waiting:
            return
        taken = list(self._waiting)
        oldest = (now - KEPT).timestamp()
        statements = [
            (
                "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)",
                (charger_id, point.at.timestamp(), point.power, point.energy),
            )
            for charger_id, point in taken
        ]
        await self._database.write_all([*statements, (_DROP_OLD, (oldest,))])
        written = {id(one) for one in taken}
        self._waiting = deque(
            (one for one in self._waiting if id(one) not in written), WAITING_LIMIT
        )

    def point(self, charger_id: str, now: datetime) -> Point:
        """Return what a charger shows at this moment."""
        return _point(self._states.of(charger_id), now)

    async def find(self, charger_id: str, since: datetime, until: datetime | None) -> list[Point]:
        """Return the points of a charger from `since` on and before `until`, oldest first."""
        end = until.timestamp() if until else float("inf")
        rows = await self._database.read(
            "SELECT at, power, energy FROM points WHERE charger_id = ? AND at >= ? AND at < ?"
            " ORDER BY at",
            *(charger_id, since.timestamp(), end),
        )
        rows += [
            (point.at.timestamp(), point.power, point.energy)
            for owner, point in self._waiting
            if owner == charger_id and since.timestamp() <= point.at.timestamp() < end
        ]
        told = rows[:: len(rows) // ANSWER_LIMIT + 1]
        return [Point(datetime.fromtimestamp(at, UTC), *values) for at, *values in told]

    def forget(self, charger_id: str) -> None:
        """Drop what waits of a charger; what is written goes with the years."""
        self._last.pop(charger_id, None)
        self._waiting = deque((one for one in self._waiting if one[0] != charger_id), WAITING_LIMIT)


def _point(states: list[ConnectorState], now: datetime) -> Point:
    """Add up the connectors; the main meter speaks where they say nothing."""
    powers = [(state.number, _power(state, now)) for state in states]
    energies = [(state.number, state.energy.shown) for state in states]
    return Point(now, _together(powers), _together(energies))


def _power(state: ConnectorState, now: datetime) -> float | None:
    power = state.values.get("power")
    heard = state.sampled_at is None or now - state.sampled_at < UNHEARD
    return power if heard or not power else None


def _together(told: list[tuple[int, float | None]]) -> float | None:
    known = [(number, value) for number, value in told if value is not None]
    connectors = [value for number, value in known if number > 0]
    chosen = connectors or [value for _, value in known]
    return round(sum(chosen), 3) if chosen else None
