"""What happens at chargers, for whoever wants to tell others of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ocpp_addon.home.session import TransactionId


@dataclass(frozen=True)
class StateChanged:
    """The state of a connector is another one; connector 0 is the charger itself."""

    charger_id: str
    connector: int


@dataclass(frozen=True)
class SessionStarted:
    """A charging session has begun at `at`, which is long ago if the charger was offline then."""

    charger_id: str
    connector: int | None
    transaction_id: TransactionId
    tag: str | None
    at: datetime


@dataclass(frozen=True)
class SessionEnded:
    """A charging session has ended at `at`; energy in Wh, None where no meter told."""

    charger_id: str
    connector: int | None
    transaction_id: TransactionId
    tag: str | None
    started_at: datetime
    at: datetime
    energy: int | None
    reason: str | None


@dataclass(frozen=True)
class TagScanned:
    """Somebody has just shown a tag to a charger; at which connector is seldom known."""

    charger_id: str
    connector: int | None
    tag: str


Event = StateChanged | SessionStarted | SessionEnded | TagScanned
Tell = Callable[[Event], None]
