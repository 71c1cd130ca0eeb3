"""A charging session: what a charger tells of its start and end, and what is kept of it; pure."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from ocpp_addon.home.register import LIKELY_POWER, MOST_ENERGY

TransactionId = int | str  # 1.6 has integers from the central system, 2.x texts from the charger

TAG_LIMIT = 255  # characters


@dataclass(frozen=True)
class Start:
    """What a charger said at the start; `stamp` is its time stamp as sent."""

    charger_id: str
    connector: int | None
    tag: str | None
    meter: int | None  # Wh
    at: datetime
    stamp: str | None = None

    @property
    def fingerprint(self) -> str | None:
        """Return what a repetition has in common with its original; None if nothing tells."""
        if not self.stamp:
            return None
        words = (self.connector, self.tag, self.meter, self.stamp)
        return hashlib.sha256(repr(words).encode()).hexdigest()


@dataclass(frozen=True)
class Stop:
    """What a charger said at the end."""

    charger_id: str
    transaction_id: TransactionId | None
    meter: int | None  # Wh
    at: datetime
    reason: str


@dataclass(frozen=True)
class Session:
    """One charging session, running until it has `ended_at`; meters in Wh.

    A `stale` one was ended by us: what the charger says of its end is still welcome.
    """

    number: int
    charger_id: str
    transaction_id: TransactionId
    connector: int | None
    tag: str | None
    meter_start: int | None
    meter_stop: int | None
    started_at: datetime
    ended_at: datetime | None
    reason: str | None
    fingerprint: str | None
    energy: int | None = None  # Wh
    stale: bool = False

    def finished(self, measured: int | None) -> "Session":
        """Return it with its energy: by the readings, unless what was `measured` is likelier."""
        return replace(self, energy=self._energy(measured))

    def _energy(self, measured: int | None) -> int | None:
        if self.meter_start is None or self.meter_stop is None or self.ended_at is None:
            return measured
        told = self.meter_stop - self.meter_start
        hours = (self.ended_at - self.started_at).total_seconds() / 3600
        if told < 0 or (measured and (told == 0 or told > LIKELY_POWER * hours + MOST_ENERGY)):
            return measured
        return told
