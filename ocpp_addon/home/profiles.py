"""The current limit of a connector as charging profiles, in the form that its charger takes; pure.

Chargers differ in what they take: a stack level of 0 only, a schedule relative to the start only,
W instead of A, some purposes only. The forms are tried one after the other, and the one that was
accepted is remembered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from ocpp_addon.home import settings
from ocpp_addon.home.limits import PHASES, VOLTAGE
from ocpp_addon.home.questions import GOOD, Questions, refusal, verdict
from ocpp_addon.home.session import TransactionId
from ocpp_addon.home.settings import RATE_UNIT, STACK_LEVEL
from ocpp_addon.ocpp.messages import CallError, Payload
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.text import utc

LONGEST_STACK = 1000  # a charger that names a higher level is not believed
EARLIER = timedelta(minutes=1)  # that a schedule starts in the past, for clocks that lag

# Codes of a CallError that make other forms pointless.
UNKNOWN_ACTION = frozenset({"NotImplemented", "NotSupported"})

Unit = Literal["A", "W"]
Kind = Literal["Absolute", "Relative"]
Purpose = Literal["TxDefaultProfile", "TxProfile", "ChargePointMaxProfile"]
MAXIMUM: Purpose = "ChargePointMaxProfile"  # its name in 2.x is ChargingStationMaxProfile
UNITS: tuple[Unit, ...] = ("A", "W")
# Ids of profiles: one of each purpose and connector, so that a new one replaces the old one.
_IDS: dict[Purpose, int] = {"TxDefaultProfile": 1000, "TxProfile": 2000, MAXIMUM: 3000}


@dataclass(frozen=True)
class Shape:
    """What can differ between profiles of the same meaning."""

    unit: Unit = "A"
    stack_level: int = 0
    kind: Kind = "Absolute"


@dataclass
class Habits:
    """What was learnt of a charger: the shape it took last, by purpose, and what it never takes.

    `units` and `stack_level` are what its configuration says; no units until it was asked.
    `hang_ups` counts how often in a row it could not bear a prompt answer to a StartTransaction.
    """

    shapes: dict[Purpose, Shape] = field(default_factory=dict)
    refused: set[Purpose] = field(default_factory=set)
    units: tuple[Unit, ...] | None = None
    stack_level: int = 0
    hang_ups: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return what must survive a restart."""
        return {
            **{
                purpose: [shape.unit, shape.stack_level, shape.kind]
                for purpose, shape in self.shapes.items()
            },
            **({"hang_ups": self.hang_ups} if self.hang_ups else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Undo `as_json`; KeyError, TypeError or ValueError when it is something else."""
        shapes = {purpose: Shape(*data[purpose]) for purpose in _IDS if purpose in data}
        return cls(shapes, hang_ups=int(data.get("hang_ups", 0)))

    def forget_configuration(self) -> None:
        """Ask again: the charger has booted."""
        self.units = None
        self.refused.clear()


@dataclass(frozen=True)
class Limit:
    """The wish: `amperes` per phase at a connector, for a running transaction and the next ones.

    `alone` tells that the charger has no other connector; `phases` that the power flows through.
    """

    connector: int
    amperes: float
    transaction_id: TransactionId | None
    alone: bool
    phases: int
    now: datetime


def set_limit(version: Version, limit: Limit, habits: Habits) -> Questions[None]:
    """Make the limit hold; OrderFailed when the charger takes it in no form.

    TxDefaultProfile holds for the next transactions, and by the book for a running one; many
    chargers want a TxProfile for that. Both stay below a maximum that an installer may have set
    with ChargePointMaxProfile, which is the last resort, and only where nobody else is limited.
    """
    if habits.units is None:
        yield from _learn(version, habits)
    refusals: list[str] = []

    def offered(purpose: Purpose) -> Questions[bool]:
        return (yield from _offer(version, purpose, limit, habits, refusals))

    if MAXIMUM in habits.shapes and (yield from offered(MAXIMUM)):
        return
    purposes: list[Purpose] = ["TxDefaultProfile"]
    if limit.transaction_id is not None:
        purposes.insert(0, "TxProfile")
    held = False
    for purpose in purposes:
        if purpose in habits.refused and (held or purpose == "TxProfile"):
            continue  # the other one does
        held = (yield from offered(purpose)) or held
    if held:
        habits.refused |= {one for one in purposes if one not in habits.shapes}
        return
    habits.refused.clear()
    if not limit.alone or not (yield from offered(MAXIMUM)):
        raise refusal("limit the current", refusals[-1])


def _learn(version: Version, habits: Habits) -> Questions[None]:
    found = yield from settings.read(version, (STACK_LEVEL, RATE_UNIT))
    level = found.get(STACK_LEVEL, "").strip()
    level = level if level.isdecimal() and len(level) <= 4 else "0"
    habits.stack_level = int(level) if int(level) <= LONGEST_STACK else 0
    units: list[Unit] = []
    for word in settings.words(found.get(RATE_UNIT, "")):
        if word.lower() in ("a", "current"):
            units.append("A")
        elif word.lower() in ("w", "power"):
            units.append("W")
    habits.units = ("A",) if "A" in units else tuple(units) or UNITS


def _offer(
    version: Version, purpose: Purpose, limit: Limit, habits: Habits, refusals: list[str]
) -> Questions[bool]:
    """Offer a profile in one shape after the other; note the shape that is accepted."""
    for shape in _shapes(purpose, habits):
        outcome = yield ("SetChargingProfile", _profile(version, purpose, shape, limit))
        if isinstance(outcome, CallError) and outcome.code in UNKNOWN_ACTION:
            raise refusal("limit the current", outcome.code)
        answer = verdict(outcome)
        if answer in GOOD:
            habits.shapes[purpose] = shape
            return True
        refusals.append(answer)
    habits.shapes.pop(purpose, None)
    return False


def _shapes(purpose: Purpose, habits: Habits) -> Iterator[Shape]:
    """Return the shapes to try, the likely ones first."""
    kinds: tuple[Kind, ...] = ("Absolute",) if purpose == MAXIMUM else ("Absolute", "Relative")
    order = [
        Shape(unit, level, kind)
        for unit in habits.units or UNITS
        for kind in kinds
        for level in dict.fromkeys((habits.stack_level, 0))
    ]
    known = [habits.shapes[one] for one in (purpose, *habits.shapes) if one in habits.shapes]
    return iter(dict.fromkeys(one for one in [*known, *order] if one.kind in kinds))


def _profile(version: Version, purpose: Purpose, shape: Shape, limit: Limit) -> Payload:
    value = limit.amperes if shape.unit == "A" else limit.amperes * VOLTAGE * limit.phases
    period: Payload = {"startPeriod": 0, "limit": round(value, 1)}
    if shape.unit == "W" and limit.phases != PHASES:
        period["numberPhases"] = limit.phases
    schedule: Payload = {"chargingRateUnit": shape.unit, "chargingSchedulePeriod": [period]}
    if shape.kind == "Absolute":
        schedule["startSchedule"] = utc(limit.now - EARLIER)
    connector = 0 if purpose == MAXIMUM else limit.connector
    identity = _IDS[purpose] + connector
    profile: Payload = {
        "stackLevel": shape.stack_level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": shape.kind,
    }
    if purpose == "TxProfile":
        profile["transactionId"] = limit.transaction_id
    if version == V16:
        profile |= {"chargingProfileId": identity, "chargingSchedule": schedule}
        return {"connectorId": connector, "csChargingProfiles": profile}
    if purpose == MAXIMUM:
        profile["chargingProfilePurpose"] = "ChargingStationMaxProfile"
    profile |= {"id": identity, "chargingSchedule": [{"id": identity, **schedule}]}
    return {"evseId": connector, "chargingProfile": profile}
