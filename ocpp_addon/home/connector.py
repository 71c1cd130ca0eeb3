"""The state of one connector as people see it, from what its charger says; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from ocpp_addon.home.energy import Energy
from ocpp_addon.home.limits import PHASES
from ocpp_addon.home.meter import REGISTER, Sample
from ocpp_addon.home.register import MOST_POWER, SLACK
from ocpp_addon.home.run import Run
from ocpp_addon.home.session import Session, TransactionId
from ocpp_addon.text import utc

STATUSES = (
    "Available",
    "Preparing",
    "Charging",
    "SuspendedEV",
    "SuspendedEVSE",
    "Finishing",
    "Occupied",
    "Reserved",
    "Unavailable",
    "Faulted",
    "Other",
)
PARTS_LIMIT = 16  # connectors of one EVSE of OCPP 2.x

_KNOWN = {name.lower(): name for name in STATUSES}
_PLUGGED = frozenset(
    {"Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Occupied"}
)
_UNPLUGGED = frozenset({"Available", "Reserved"})
_ENERGY_MAY_FLOW = frozenset({"Charging", "Occupied", "Other"})
# Of the connectors of one EVSE the one with most to tell speaks for it.
_RANKS = {name: rank for rank, name in enumerate(("Occupied", "Reserved", "Available", "Faulted"))}
_OF_CHARGING_STATES = {
    "Charging": "Charging",
    "SuspendedEV": "SuspendedEV",
    "SuspendedEVSE": "SuspendedEVSE",
    "EVConnected": "Preparing",
}
# What stands still when no energy flows.
_FLOWS = ("power", "power_exported", "current", "current_exported", "reactive_power")
LIVE_CURRENT, LIVE_VOLTAGE = 0.5, 50.0  # A and V from which a phase is in use
_NOT_FLOWS = ("power_offered", "power_factor", "current_offered")


@dataclass
class ConnectorState:
    """What is known of a connector or an EVSE; number 0 is the charger itself, its main meter.

    Times are those at which things happened, whatever the charger's clock shows.
    """

    number: int
    evse: bool = False  # of OCPP 2.x
    statuses: dict[int, str] = field(default_factory=dict)  # by connector of the EVSE; 0 in 1.6
    charging_state: str | None = None  # OCPP 2.x
    error: str | None = None
    error_info: str | None = None
    plugged_in: bool | None = None
    values: dict[str, float] = field(default_factory=dict)
    energy: Energy = field(default_factory=Energy)
    run: Run | None = None
    past: Run | None = None  # the last one; not stored
    session_energy: float | None = None  # Wh, of the running session or the last one
    session_floor: float = 0.0  # Wh that may have been shown of it before a crash
    session_started: datetime | None = None
    session_ended: datetime | None = None
    tag: str | None = None
    stop_reason: str | None = None
    current_limit: float | None = None  # A, as last accepted
    failure: str | None = None  # of the last command, in words
    status_at: datetime | None = None
    sampled_at: datetime | None = None
    still_since: datetime | None = None  # no energy flowed then

    @property
    def status(self) -> str | None:
        """Return the status, also for OCPP 2.x in the words of 1.6 where they say more."""
        running = _OF_CHARGING_STATES.get(self.charging_state or "") if self.run else None
        plain = self._plain_status
        return running if running and plain in (None, "Occupied", "Available") else plain

    @property
    def _plain_status(self) -> str | None:
        told = self.statuses.values()
        return min(told, key=lambda name: _RANKS.get(name, len(_RANKS))) if told else None

    @property
    def charging(self) -> bool | None:
        """Tell whether energy flows."""
        if self.status is None or self.status == "Occupied":
            return self.values["power"] > 0 if "power" in self.values else None
        return self.status == "Charging" and self.still_since is None

    @property
    def free_since(self) -> datetime | None:
        """Return since when a session is open although the connector is free.

        It is not while energy flows in it. In OCPP 2.x one may begin before a car is plugged in,
        and is alive while it tells things.
        """
        if self.run is None or self.status_at is None or self._plain_status != "Available":
            return None
        return max(self.status_at, self.run.heard_at or self.status_at)

    @property
    def energy_of_session(self) -> float | None:
        """Return the energy of the running session or the last one in Wh."""
        if self.session_energy is None or self.energy.unsure:
            return None
        return max(self.session_energy, self.session_floor)

    @property
    def phases(self) -> int:
        """Return through how many phases a car charges, as far as the meter has shown."""
        lines = ("l1", "l2", "l3")
        live = [line for line in lines if self.values.get(f"current_{line}", 0.0) >= LIVE_CURRENT]
        wired = [line for line in lines if self.values.get(f"voltage_{line}", 0.0) >= LIVE_VOLTAGE]
        return len(live) or len(wired) or PHASES

    def heed_clock(self, now: datetime) -> None:
        """Forget moments in the future: our own clock has been set back."""
        for name in ("status_at", "sampled_at", "still_since"):
            moment = getattr(self, name)
            if moment is not None and moment > now:
                setattr(self, name, None)
        self.energy.heed_clock(now)

    def report_status(
        self, part: int, status: str, error: str | None, info: str | None, at: datetime
    ) -> None:
        """Take the status of a connector of the EVSE, or of the connector itself: part 0."""
        if self.status_at is not None and at < self.status_at and part in self.statuses:
            return
        # Only OCPP 1.6 speaks of part 0: what was said in another version is over.
        for other in [one for one in self.statuses if (one == 0) != (part == 0)]:
            del self.statuses[other]
        if part not in self.statuses and len(self.statuses) >= PARTS_LIMIT:
            return
        known = _KNOWN.get(status.lower(), "Other")
        if self.statuses.get(part) != known or self.status_at is None:
            self.status_at = at  # later repetitions do not make it younger
        self.statuses[part] = known
        self.error, self.error_info = error, info
        self._settle(at)

    def report_charging_state(self, charging_state: str, at: datetime) -> None:
        """Take the charging state of a transaction of OCPP 2.x.

        One from before the connector became free is over, whatever else the queue still brings.
        """
        if self._plain_status == "Available" and self.status_at and at < self.status_at:
            return
        self.charging_state = charging_state
        self._hear(at)
        self._settle(at)

    def take(
        self, sample: Sample, at: datetime, *, live: bool, transaction: TransactionId | None
    ) -> None:
        """Take what the meter showed at `at`; what is not `live` only moves the register."""
        if self.sampled_at is not None and at < self.sampled_at:
            return
        self.sampled_at = at
        run = self.run
        past = transaction is not None and (run is None or run.transaction_id != transaction)
        raw, before = sample.values.get(REGISTER), self.energy.total
        if raw is not None:
            self._read_register(raw, sample.unit, at, None if past else run)
        if transaction is not None and not past and (self.evse or self.energy.total > before):
            self._hear(at)
        if not live:
            return
        still = self.still_since is not None and at <= self.still_since
        over = past or still or sample.context == "Transaction.End"
        for key, value in sample.values.items():
            if key != REGISTER and not (over and _flows(key)):
                self.values[key] = value

    def begin(self, session: Session, *, surely: bool = False) -> None:
        """Take the start of a session, or another id of the one that runs.

        An older one than the last does not show, unless it `surely` runs.
        """
        if self.run is not None and self.run.number == session.number:
            self.run.transaction_id = session.transaction_id
            return
        if self.past is not None and self.past.number == session.number:  # given up too early
            self.run, self.session_ended, self.stop_reason = self.past, None, None
            return
        last = self.session_started
        if last is not None and session.started_at < last and not surely:
            return
        self.run = run = Run.of(session)
        self.energy.begin(session.meter_start, session.started_at, run.transaction_id)
        if self.energy.known:
            run.start_total = self.energy.total
        self.session_energy = None if run.start_total is None else 0.0
        self.session_floor = 0.0
        self.session_started, self.session_ended = session.started_at, None
        self.tag, self.stop_reason = session.tag, None
        self.charging_state = None
        if self.status == "Charging":
            self.still_since = None

    def amend(self, session: Session) -> None:
        """Take what was not known when a running session began."""
        if self.run is not None and self.run.number == session.number:
            self.run.tag = self.tag = session.tag
            self.run.started_at = self.session_started = session.started_at

    def end(self, session: Session) -> int | None:
        """Take the end of a session and return its energy in Wh as far as it was measured."""
        run = self.run
        if run is None or run.number != session.number or session.ended_at is None:
            return None
        if session.meter_stop:
            first = not self.energy.known
            self.energy.end(session.meter_stop, session.ended_at, run.transaction_id)
            self._measure(run, session.meter_stop, session.ended_at, first=first)
        self.run, self.past = None, run
        self.session_floor = 0.0
        self.charging_state = None
        self.session_ended = session.ended_at
        self.stop_reason = session.reason
        self._settle(session.ended_at)
        self._stand_still(session.ended_at)
        return None if self.session_energy is None else round(self.session_energy)

    def conclude(self, session: Session) -> None:
        """Take the energy of the session that has ended, where the register has shown less."""
        if self.past is not None and self.past.number == session.number:
            told, seen = session.energy or 0, self.session_energy or 0.0
            if told > seen:
                self.session_energy = float(told)

    def as_json(self, floor: float) -> dict[str, Any]:
        """Return what must survive a restart; `floor` is the most energy shown until then."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            **{name: _written(getattr(self, name)) for name in _MOMENTS},
            "statuses": list(self.statuses.items()),
            "energy": self.energy.as_json(floor),
            "run": self.run.as_json() if self.run else None,
        }

    @classmethod
    def from_json(cls, number: int, data: Mapping[str, Any]) -> Self:
        """Undo `as_json`; KeyError, TypeError or ValueError when it is something else."""
        state = cls(
            number,
            statuses=dict(data["statuses"]),
            energy=Energy.from_json(data["energy"]),
            run=Run.from_json(data["run"]) if data["run"] else None,
        )
        for name in _PLAIN:
            setattr(state, name, data[name])
        for name in _MOMENTS:
            setattr(state, name, _read(data[name]))
        if state.run is not None and state.run.start_total is not None:
            state.session_floor = state.energy.floor - state.run.start_total
        return state

    def _hear(self, at: datetime) -> None:
        if self.run is not None:
            self.run.heard_at = at

    def _settle(self, at: datetime) -> None:
        """Draw from the status what it means for plug and meter."""
        status = self.status
        if self.number == 0:
            return
        if status in _PLUGGED or status in _UNPLUGGED:
            self.plugged_in = status in _PLUGGED
        if status == "Charging":
            self.still_since = None
        elif status not in _ENERGY_MAY_FLOW:
            self._stand_still(at)

    def _stand_still(self, at: datetime) -> None:
        self.still_since = self.still_since or at
        for key in self.values:
            if _flows(key):
                self.values[key] = 0.0

    def _read_register(self, number: float, unit: str, at: datetime, run: Run | None) -> None:
        first = not self.energy.known
        self.energy.take(number, unit, at, run.transaction_id if run else None)
        self._measure(run, number, at, first=first)

    def _measure(self, run: Run | None, number: float, at: datetime, *, first: bool) -> None:
        """Draw from a reading, perhaps the first one ever, how much a session has taken."""
        if run is not None and run.start_total is None:
            run.start_total = self.energy.total
            hours = (at - run.started_at).total_seconds() / 3600
            if first and run.meter_start == 0 and number <= MOST_POWER * hours + SLACK:
                run.start_total = 0.0  # it counts from zero, as its start said
        if self.run is not None and self.run.start_total is not None:
            self.session_energy = self.energy.total - self.run.start_total


# Fields that JSON knows, and moments.
_PLAIN = (
    *("evse", "charging_state", "error", "error_info", "plugged_in", "values"),
    *("session_energy", "tag", "stop_reason", "current_limit", "failure"),
)
_MOMENTS = ("session_started", "session_ended", "status_at", "sampled_at", "still_since")


def _flows(key: str) -> bool:
    return key.startswith(_FLOWS) and key not in _NOT_FLOWS


def _written(moment: datetime | None) -> str | None:
    return utc(moment) if moment else None


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
