"""Whether the charger at the other end is still there; pure, the loop's clock is an argument."""

from typing import Literal

MISSES = 3  # intervals of silence after which a charger is gone


class Liveness:
    """Judge one connection by what was heard on it; times and intervals in seconds.

    Some chargers never answer a ping: until the first pong silence is measured in heartbeat
    intervals, since only messages can be expected. `heartbeat_interval` may be assigned at any
    time, 0 = none is expected.
    """

    def __init__(self, ping_interval: float, heartbeat_interval: float, now: float) -> None:
        self.heartbeat_interval = heartbeat_interval
        self._ping_interval = ping_interval
        self._last_heard = now
        self._last_ping = now
        self._answers_pings = False

    def heard(self, now: float) -> None:
        """Note a frame of any kind."""
        self._last_heard = now

    def ponged(self, now: float) -> None:
        """Note a pong."""
        self._last_heard = now
        self._answers_pings = True

    def tick(self, now: float) -> Literal["ping", "gone"] | None:
        """Return what is due: a ping, or that the charger is gone."""
        expected = self._ping_interval if self._answers_pings else 0
        patience = MISSES * (expected or self.heartbeat_interval)
        if 0 < patience <= now - self._last_heard:
            return "gone"
        if 0 < self._ping_interval <= now - self._last_ping:
            self._last_ping = now
            return "ping"
        return None
