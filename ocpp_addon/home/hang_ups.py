"""Chargers that hang up when their StartTransaction is answered at once: they are answered later.

One is known (Free2move eProWallbox) that needs about a second before it can bear the answer.
Without it, it drops the connection, boots and never charges.
"""

from datetime import datetime, timedelta

from ocpp_addon.home.habits import HabitBook

SOON = timedelta(seconds=2)  # after the answer: who hangs up then did not bear it
BELIEVED = 2  # hang-ups in a row
PAUSE = 1.2  # seconds


class HangUps:
    """Learn which chargers hang up; kept over restarts."""

    def __init__(self, habits: HabitBook) -> None:
        self._habits = habits
        self._answered: dict[str, datetime] = {}  # of connected chargers, the last start

    def pause(self, charger_id: str) -> float:
        """Return for how many seconds the answer to a StartTransaction is to wait."""
        return PAUSE if self._habits.of(charger_id).hang_ups >= BELIEVED else 0.0

    def answered(self, charger_id: str, now: datetime) -> None:
        """Learn that a StartTransaction was answered."""
        self._answered[charger_id] = now

    def disconnected(self, charger_id: str, now: datetime, *, hung_up: bool) -> None:
        """Learn that a connection has ended; StorageError. What is believed stays believed."""
        answered = self._answered.pop(charger_id, None)
        if answered is None or self.pause(charger_id):
            return
        habits = self._habits.of(charger_id)
        habits.hang_ups = habits.hang_ups + 1 if hung_up and now - answered <= SOON else 0
        self._habits.keep(charger_id)
