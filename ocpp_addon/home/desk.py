"""What is at hand to observe and answer a charger's Call, and what is the same in every version."""

from dataclasses import dataclass
from datetime import datetime

from ocpp_addon.home.clock import Clocks
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.scans import Scans
from ocpp_addon.home.states import States
from ocpp_addon.home.tags import Tags, Verdict
from ocpp_addon.home.transactions import Transactions
from ocpp_addon.ocpp.messages import Payload
from ocpp_addon.text import utc

PENDING_INTERVAL = 10  # seconds until a charger that waits for approval boots again


@dataclass(frozen=True)
class Desk:
    """The parts of the built-in central system that its answers draw on."""

    journal: Journal
    clocks: Clocks
    tags: Tags
    scans: Scans
    transactions: Transactions
    states: States
    heartbeat_interval: int  # seconds

    def boot(self, now: datetime, *, pending: bool) -> Payload:
        """Return the answer to BootNotification."""
        return {
            "status": "Pending" if pending else "Accepted",
            "currentTime": utc(now),
            "interval": PENDING_INTERVAL if pending else self.heartbeat_interval,
        }

    def verdict(self, tag: str | None, now: datetime, *, pending: bool) -> Verdict:
        """Judge a tag; none is valid at a charger that waits for approval."""
        return Verdict("Invalid") if pending else self.tags.decide(tag, now)
