"""When things happened at a charger, whatever its clock shows; kept over restarts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.home import fields
from ocpp_addon.home.journal import Journal
from ocpp_addon.ocpp.messages import Payload

TOLERANCE = timedelta(minutes=2)  # a clock that is less wrong is right
GAP = timedelta(seconds=20)  # between two messages that are compared
DRIFT = timedelta(seconds=10)  # by which their delays may differ
LARGEST_SKEW = timedelta(hours=15)  # beyond it a time stamp in the future is absurd
CLOCK_LIMIT = 5_000


class PeerClock:
    """Correct time stamps of one charger.

    A clock that is wrong, or a local time without zone, is wrong by the same on each message. A
    message from the charger's queue is old in another way: such messages come faster than the time
    in them passes. So a delay is a wrong clock once two messages, some time apart, both have it.
    """

    def __init__(self, skew: timedelta = timedelta(0)) -> None:
        self.skew = skew  # of our clock over the charger's
        self._before: tuple[datetime, timedelta] | None = None

    def hear(self, stamp: datetime, now: datetime) -> None:
        """Learn from the newest time stamp of a message."""
        delay = now - stamp
        if abs(delay) <= TOLERANCE:
            self.skew = timedelta(0)
            self._before = None
        elif self._before is None or not timedelta(0) <= now - self._before[0]:
            self._before = (now, delay)
        elif now - self._before[0] >= GAP:
            if abs(delay - self._before[1]) <= DRIFT:
                self.skew = delay
            self._before = (now, delay)

    def moment(self, stamp: datetime | None, now: datetime) -> datetime:
        """Return when it was by our clock; `now` where the time stamp is missing or absurd."""
        if stamp is None:
            return now
        if not fields.OLDEST <= stamp <= now + LARGEST_SKEW:
            return now
        return min(stamp + self.skew, now)


class Clocks:
    """Know the clock of each charger.

    What was learnt is kept over restarts: moments that were corrected are, and to a charger that
    comes back without a boot they would be later than all that it says.
    """

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS clocks (charger_id TEXT PRIMARY KEY, skew REAL NOT NULL)",
    )

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._clocks: dict[str, PeerClock] = {}
        self._stored: dict[str, timedelta] = {}

    @classmethod
    async def open(cls, database: Database, journal: Journal) -> Self:
        """Read what is stored."""
        clocks = cls(journal)
        for charger_id, seconds in await database.read(
            "SELECT charger_id, skew FROM clocks ORDER BY rowid LIMIT ?", CLOCK_LIMIT
        ):
            skew = clocks._stored[charger_id] = timedelta(seconds=seconds)
            clocks._clocks[charger_id] = PeerClock(skew)
        return clocks

    def of(self, charger_id: str) -> PeerClock:
        """Return the clock of a charger."""
        clock = self._clocks.get(charger_id)
        if clock is None:
            if len(self._clocks) >= CLOCK_LIMIT:
                self.forget(next(iter(self._clocks)))
            clock = self._clocks[charger_id] = PeerClock()
        return clock

    def hear(self, charger_id: str, payload: Payload, now: datetime) -> None:
        """Learn from a message that tells of the present, as far as one can see."""
        if payload.get("offline") is True:  # OCPP 2.x TransactionEvent
            return
        told = (payload, *fields.groups(payload, "meterValue"))
        stamps = [stamp for one in told if (stamp := fields.stamp(one, "timestamp"))]
        plausible = [one for one in stamps if fields.OLDEST <= one <= now + LARGEST_SKEW]
        if plausible:
            clock = self.of(charger_id)
            clock.hear(max(plausible), now)
            self._keep(charger_id, clock.skew)

    def moment(
        self, charger_id: str, payload: Mapping[str, Any], now: datetime, key: str = "timestamp"
    ) -> datetime:
        """Return when something was, by our clock."""
        return self.of(charger_id).moment(fields.stamp(payload, key), now)

    def forget(self, charger_id: str) -> None:
        """Know nothing of a clock any more: its charger has booted or is gone."""
        self._clocks.pop(charger_id, None)
        self._keep(charger_id, timedelta(0))

    def _keep(self, charger_id: str, skew: timedelta) -> None:
        """Note a skew for the disk, unless it is the one there but for the way of a message."""
        if abs(skew - self._stored.get(charger_id, timedelta(0))) <= DRIFT:
            return
        key = ("clock", charger_id)
        if skew:
            row = (charger_id, skew.total_seconds())
            self._journal.later(key, "INSERT OR REPLACE INTO clocks VALUES (?, ?)", *row)
            self._stored[charger_id] = skew
        else:
            self._journal.later(key, "DELETE FROM clocks WHERE charger_id = ?", charger_id)
            del self._stored[charger_id]
