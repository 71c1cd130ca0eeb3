"""The energy that flowed at a connector, as it may be shown: never less than before; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from ocpp_addon.home.reading import AS_SAID, Meaning, meaning
from ocpp_addon.home.register import Register


@dataclass
class Energy:
    """Make one total in Wh of what a meter shows and what was shown before a crash."""

    register: Register = field(default_factory=Register)
    meaning: Meaning = AS_SAID  # of the register's numbers
    start: int | None = None  # the reading at the start of the running session or the last one
    floor: float = 0.0  # what may have been shown before a crash
    unsure: bool = False  # out of a backup: what was shown since is unknown until the next reading

    @property
    def known(self) -> bool:
        """Tell whether there was any reading."""
        return self.register.raw is not None

    @property
    def total(self) -> float:
        """Return what is known to have flowed."""
        return self.register.total

    @property
    def most_shown(self) -> float:
        """Return the most that was shown."""
        return max(self.register.total, self.floor)

    @property
    def shown(self) -> float | None:
        """Return what to show, None where nothing is known."""
        return self.most_shown if self.known and not self.unsure else None

    def begin(self, start: int | None, at: datetime, transaction: object) -> None:
        """Take the reading at the start of a session, in Wh by its definition."""
        self.start = start
        if self.meaning.bias:  # it counts from the start of each session
            self.meaning = Meaning(bias=float(start or 0))
        # Without other readings a start of 0 may stand for "no idea".
        if start is not None and (start or self.known):
            self._count(float(start), at, transaction, surely=True)

    def take(self, number: float, unit: str, at: datetime, transaction: object) -> None:
        """Take a reading in a unit, in small letters, which may be wrong or missing."""
        starts = [float(self.start)] if self.start else []
        self.meaning = meaning(number, unit, self.register.raw, starts, self.meaning)
        self._count(self.meaning.wh(number), at, transaction, surely=False)

    def end(self, stop: int, at: datetime, transaction: object) -> None:
        """Take the reading at the end of a session, in Wh by its definition."""
        starts = [float(self.start)] if self.start else []
        last = self.register.raw
        means = meaning(stop, "wh", last, starts, self.meaning)
        if last is not None and means.scale != 1 and not means.fits(stop, last):
            means = AS_SAID  # a long session: the scale is that of other readings
        self._count(means.wh(stop), at, transaction, surely=True)

    def heed_clock(self, now: datetime) -> None:
        """Let no reading have been in the future: our own clock has been set back."""
        if self.register.at is not None and self.register.at > now:
            self.register.at = now

    def as_json(self, floor: float) -> dict[str, Any]:
        """Return what must survive a restart; `floor` is the most that may be shown until then."""
        return {
            "register": self.register.as_json(),
            "meaning": vars(self.meaning),
            "start": self.start,
            "floor": floor,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Undo `as_json`; KeyError, TypeError or ValueError when it is something else."""
        register = Register.from_json(data["register"])
        return cls(register, Meaning(**data["meaning"]), data["start"], float(data["floor"]))

    def _count(self, raw: float, at: datetime, transaction: object, *, surely: bool) -> None:
        if self.register.at is None or at >= self.register.at:
            self.register.take(raw, at, transaction, surely=surely)
            self.unsure = False
