"""When things happened at a charger, whatever its clock shows; pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ocpp_addon.home import fields
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

    def __init__(self) -> None:
        self._skew = timedelta(0)  # of our clock over the charger's
        self._before: tuple[datetime, timedelta] | None = None

    def hear(self, stamp: datetime, now: datetime) -> None:
        """Learn from the newest time stamp of a message."""
        delay = now - stamp
        if abs(delay) <= TOLERANCE:
            self._skew = timedelta(0)
            self._before = None
        elif self._before is None or not timedelta(0) <= now - self._before[0]:
            self._before = (now, delay)
        elif now - self._before[0] >= GAP:
            if abs(delay - self._before[1]) <= DRIFT:
                self._skew = delay
            self._before = (now, delay)

    def moment(self, stamp: datetime | None, now: datetime) -> datetime:
        """Return when it was by our clock; `now` where the time stamp is missing or absurd."""
        if stamp is None:
            return now
        if not fields.OLDEST <= stamp <= now + LARGEST_SKEW:
            return now
        return min(stamp + self._skew, now)


class Clocks:
    """Know the clock of each charger."""

    def __init__(self) -> None:
        self._clocks: dict[str, PeerClock] = {}

    def of(self, charger_id: str) -> PeerClock:
        """Return the clock of a charger."""
        clock = self._clocks.get(charger_id)
        if clock is None:
            if len(self._clocks) >= CLOCK_LIMIT:
                del self._clocks[next(iter(self._clocks))]
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
            self.of(charger_id).hear(max(plausible), now)

    def moment(
        self, charger_id: str, payload: Mapping[str, Any], now: datetime, key: str = "timestamp"
    ) -> datetime:
        """Return when something was, by our clock."""
        return self.of(charger_id).moment(fields.stamp(payload, key), now)

    def forget(self, charger_id: str) -> None:
        """Know nothing of a clock any more: its charger has booted or is gone."""
        self._clocks.pop(charger_id, None)
