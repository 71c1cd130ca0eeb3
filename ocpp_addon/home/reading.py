"""What a register's number means where its unit or its beginning is not what was said; pure."""

from collections.abc import Iterable
from dataclasses import dataclass

NEAR = 30_000.0  # Wh that a reading may be ahead of the one before without raising doubts
BEHIND = 1_000.0  # Wh that it may be behind: meter values are rounded and come late


@dataclass(frozen=True)
class Meaning:
    """How a number becomes Wh: some chargers send kWh without unit, Wh with the unit kWh, or
    count from zero in each session although its start named the meter's own register."""

    scale: float = 1.0
    bias: float = 0.0

    def wh(self, number: float) -> float:
        """Return the reading in Wh."""
        return number * self.scale + self.bias

    def fits(self, number: float, last: float) -> bool:
        """Tell whether the reading goes on where the last one was."""
        return -BEHIND <= self.wh(number) - last <= NEAR


AS_SAID = Meaning()


def meaning(
    number: float, unit: str, last: float | None, starts: Iterable[float], now: Meaning
) -> Meaning:
    """Return what a number in this unit means: the same as before as long as that fits.

    `starts` are the readings at the starts of sessions. Where nothing fits, nothing changes.
    """
    if last is None or now.fits(number, last):
        return now
    possible = [AS_SAID]
    if not unit and number % 1:  # kWh have decimals
        possible.append(Meaning(scale=1000.0))
    if unit == "kwh":
        possible.append(Meaning(scale=0.001))
    possible += [Meaning(bias=start) for start in starts]
    return next((one for one in possible if one.fits(number, last)), now)
