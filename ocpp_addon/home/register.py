"""A total of energy that never falls, whatever registers a charger shows; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ocpp_addon.text import utc

MOST_POWER = 400_000.0  # W; nothing charges faster
LIKELY_POWER = 25_000.0  # W; few connectors charge faster
SLACK = 1_000.0  # Wh that a register may jump at any time
LIKELY_SLACK = 200.0
MOST_ENERGY = 100_000.0  # Wh of a session; a register that fell to more is another meter
ROUNDED = 0.98  # of the last reading; what is not less fell by rounding or disorder only
CONFIRMATIONS = 3  # readings that must agree before an impossible one is believed


@dataclass
class Register:
    """Follow a register that may start anew for each session, show zeros or another meter's count.

    `total` in Wh starts with the first reading. A fall between transactions is a register that
    starts anew; one within a transaction, or a jump that no connector can deliver, is a glitch
    unless it lasts, and then the count goes on from there without the gap.
    """

    total: float = 0.0
    raw: float | None = None  # the last believed reading
    at: datetime | None = None
    transaction: object = None  # during which it was read
    before: float | None = None  # what was read before a fall that nothing has confirmed yet
    odd: float | None = None  # the last unbelieved reading
    odd_count: int = 0

    def take(self, raw: float, at: datetime, transaction: object, *, surely: bool = False) -> None:
        """Take a reading in Wh; readings come in the order of their time.

        One at the start or the end of a session is taken for sure: it may come long after the
        last one although both have no time stamp of their own.
        """
        if self.raw is None:
            self.total = max(self.total, raw)
            self._believe(raw, at, transaction)
            return
        hours = max(0.0, (at - self.at).total_seconds() / 3600) if self.at else 0.0
        possible = MOST_POWER * hours + (MOST_ENERGY if surely else SLACK)
        step = raw - self.raw
        fell_for_nothing = (
            self.before is not None
            and 0 <= raw - self.before <= possible
            and step > LIKELY_POWER * hours + LIKELY_SLACK
        )
        if fell_for_nothing and self.before is not None:
            self._count(raw - self.before, raw, at, transaction)
        elif 0 <= step <= possible:
            confirmed = self.before is not None and raw > 0
            self._count(step, raw, at, transaction, before=None if confirmed else self.before)
        elif step < 0 and raw >= self.raw * ROUNDED:
            self._doubt(raw, at, transaction)
        elif step < 0 and (transaction is None or transaction != self.transaction):
            fresh = raw if raw <= min(possible, MOST_ENERGY) else 0.0
            self._count(fresh, raw, at, transaction, before=self.raw)
        elif self.raw == 0:  # it told nothing
            self._believe(raw, at, transaction)
        else:
            self._doubt(raw, at, transaction)

    def as_json(self) -> dict[str, Any]:
        """Return what must survive a restart."""
        return {
            "total": self.total,
            "raw": self.raw,
            "at": utc(self.at) if self.at else None,
            "transaction": self.transaction,
            "before": self.before,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Undo `as_json`; KeyError, TypeError or ValueError when it is something else."""
        return cls(
            total=data["total"],
            raw=data["raw"],
            at=datetime.fromisoformat(data["at"]) if data["at"] else None,
            transaction=data["transaction"],
            before=data["before"],
        )

    def _count(
        self,
        energy: float,
        raw: float,
        at: datetime,
        transaction: object,
        before: float | None = None,
    ) -> None:
        self.total += energy
        self._believe(raw, at, transaction)
        self.before = before

    def _believe(self, raw: float, at: datetime, transaction: object) -> None:
        self.raw, self.at, self.transaction = raw, at, transaction
        self.before, self.odd, self.odd_count = None, None, 0

    def _doubt(self, raw: float, at: datetime, transaction: object) -> None:
        agrees = self.odd is not None and 0 < raw - self.odd <= MOST_ENERGY
        self.odd_count = self.odd_count + 1 if agrees else 1
        self.odd = raw
        if self.odd_count >= CONFIRMATIONS:
            self._believe(raw, at, transaction)
