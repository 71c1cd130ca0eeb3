"""What a message says about connectors, whatever the version of OCPP it came in."""

from dataclasses import dataclass
from datetime import datetime

from ocpp_addon.home.meter import Sample
from ocpp_addon.home.session import TransactionId


@dataclass(frozen=True)
class StatusReport:
    """The status of a connector; in OCPP 2.x of one `part`, a connector, of the EVSE `number`."""

    number: int
    status: str
    at: datetime
    part: int = 0
    error: str | None = None
    info: str | None = None


@dataclass(frozen=True)
class ChargingReport:
    """The charging state of a transaction, OCPP 2.x."""

    number: int | None
    transaction: TransactionId
    charging_state: str
    at: datetime


@dataclass(frozen=True)
class MeterReport:
    """What a meter showed; without a transaction it may be the charger's main meter: number 0."""

    number: int | None
    transaction: TransactionId | None
    samples: list[Sample]


Report = StatusReport | ChargingReport | MeterReport
