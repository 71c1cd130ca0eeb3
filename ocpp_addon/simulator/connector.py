"""One connector of the simulated charger with a car at it: energy, limits and what its meter says.

Time comes in as an argument: seconds of any steady clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VOLTAGE = 230.0
PHASES = 3
MAX_CURRENT = 16.0
MIN_CURRENT = 6.0  # below it no car charges (IEC 61851)
BATTERY_WH = 60_000.0
EFFICIENCY = 0.9
MEASURANDS = (
    "Energy.Active.Import.Register",
    "Power.Active.Import",
    "SoC",
    "Current.Import",
    "Voltage",
)


@dataclass
class Transaction:
    """A charging session; `id` is what the central system answers, perhaps much later."""

    tag: str
    meter_start: int
    id: int | None = None


@dataclass(frozen=True)
class _Profile:
    id: int
    purpose: str
    stack_level: int
    periods: tuple[tuple[float, float], ...]  # (starts after seconds, limit in ampere per phase)
    duration: float | None
    since: float

    def limit(self, now: float) -> float | None:
        """Return the limit in ampere at `now`, None where the profile says nothing."""
        elapsed = now - self.since
        if self.duration is not None and elapsed >= self.duration:
            return None
        started = [limit for start, limit in self.periods if start <= elapsed]
        return started[-1] if started else None


class SimulatedConnector:
    """A connector; it charges while it has a transaction and nothing limits it to zero."""

    def __init__(self, number: int, speed: float) -> None:
        self.number = number
        self.transaction: Transaction | None = None
        self.plugged_in = False
        self.operative = True
        self._speed = speed
        self._energy = 100_000.0 * number  # a register that has seen years of charging
        self._state_of_charge = 0.2
        self._advanced_to = 0.0
        self._profiles: list[_Profile] = []

    def status(self, now: float) -> str:
        """Return the OCPP 1.6 status."""
        if self.transaction:
            if self.current(now) > 0:
                return "Charging"
            return "SuspendedEV" if self._state_of_charge >= 1 else "SuspendedEVSE"
        if not self.operative:
            return "Unavailable"
        return "Preparing" if self.plugged_in else "Available"

    def start(self, tag: str, now: float) -> Transaction:
        """Begin a transaction."""
        self.plugged_in = True
        self._advanced_to = now
        self.transaction = Transaction(tag, round(self._energy))
        return self.transaction

    def stop(self, now: float) -> None:
        """End the transaction; its profiles end with it and the car leaves."""
        self.advance(now)
        self.transaction = None
        self.plugged_in = False
        self._state_of_charge = 0.2
        self._profiles = [one for one in self._profiles if one.purpose != "TxProfile"]

    def current(self, now: float) -> float:
        """Return the ampere that flow per phase."""
        if not self.transaction or self._state_of_charge >= 1:
            return 0.0
        # The last fifth of a battery takes less and less.
        wanted = MAX_CURRENT * min(1.0, max(0.4, (1 - self._state_of_charge) * 5))
        allowed = min(wanted, self._limit(now))
        return allowed if allowed >= MIN_CURRENT else 0.0

    def advance(self, now: float) -> int:
        """Let the car charge until `now` and return the energy register in Wh."""
        if self.transaction:
            hours = max(0.0, now - self._advanced_to) * self._speed / 3600
            energy = self.current(now) * VOLTAGE * PHASES * hours
            self._energy += energy
            charged = self._state_of_charge + energy * EFFICIENCY / BATTERY_WH
            self._state_of_charge = min(1.0, charged)
        self._advanced_to = now
        return round(self._energy)

    def samples(self, now: float, context: str) -> list[dict[str, str]]:
        """Return what the meter says at `now`."""
        energy = self.advance(now)
        current = self.current(now)

        def sample(measurand: str, unit: str, value: str, **more: str) -> dict[str, str]:
            return {
                "measurand": measurand,
                "unit": unit,
                "value": value,
                "context": context,
                **more,
            }

        power = f"{current * VOLTAGE * PHASES:.0f}"
        samples = [
            sample("Energy.Active.Import.Register", "Wh", str(energy)),
            sample("Power.Active.Import", "W", power),
            sample("SoC", "Percent", f"{self._state_of_charge * 100:.0f}", location="EV"),
        ]
        for phase in range(1, PHASES + 1):
            samples += [
                sample("Current.Import", "A", f"{current:.1f}", phase=f"L{phase}"),
                sample("Voltage", "V", f"{VOLTAGE:.1f}", phase=f"L{phase}-N"),
            ]
        return samples

    def set_profile(self, profile: Mapping[str, Any], now: float) -> None:
        """Obey a charging profile, in the shape of SetChargingProfile with snake_case keys."""
        self.advance(now)
        schedule = profile["charging_schedule"]
        added = _Profile(
            profile["charging_profile_id"],
            profile["charging_profile_purpose"],
            profile["stack_level"],
            tuple(
                (period["start_period"], _ampere(period, schedule["charging_rate_unit"]))
                for period in schedule["charging_schedule_period"]
            ),
            schedule.get("duration"),
            now,
        )
        place = (added.purpose, added.stack_level)
        self._profiles = [
            one
            for one in self._profiles
            if one.id != added.id and (one.purpose, one.stack_level) != place
        ] + [added]

    def clear_profiles(
        self, now: float, profile_id: int | None, purpose: str | None, stack_level: int | None
    ) -> bool:
        """Drop the profiles that match, None matching all; tell whether there was one."""
        self.advance(now)
        kept = [
            one
            for one in self._profiles
            if profile_id not in (None, one.id)
            or purpose not in (None, one.purpose)
            or stack_level not in (None, one.stack_level)
        ]
        cleared = len(kept) < len(self._profiles)
        self._profiles = kept
        return cleared

    def _limit(self, now: float) -> float:
        # A TxProfile overrules a TxDefaultProfile; the maximum of the charger holds above both
        # (OCPP 1.6, 3.13.2).
        transaction = self._of_purpose("TxProfile", now)
        if transaction is None:
            transaction = self._of_purpose("TxDefaultProfile", now)
        limits = (transaction, self._of_purpose("ChargePointMaxProfile", now))
        return min((limit for limit in limits if limit is not None), default=MAX_CURRENT)

    def _of_purpose(self, purpose: str, now: float) -> float | None:
        profiles = [one for one in self._profiles if one.purpose == purpose]
        for profile in sorted(profiles, key=lambda one: -one.stack_level):
            limit = profile.limit(now)
            if limit is not None:
                return limit
        return None


def _ampere(period: Mapping[str, Any], unit: str) -> float:
    """Return the limit of a schedule period per phase."""
    limit = float(period["limit"])
    return limit if unit == "A" else limit / VOLTAGE / (period.get("number_phases") or PHASES)
