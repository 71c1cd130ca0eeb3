"""A session while it runs, as its connector sees it; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ocpp_addon.home.session import Session, TransactionId
from ocpp_addon.text import utc


@dataclass
class Run:
    """A running session; `start_total` is the register's total when it began, in Wh."""

    number: int
    transaction_id: TransactionId
    tag: str | None
    started_at: datetime
    meter_start: int | None
    start_total: float | None = None
    heard_at: datetime | None = None  # when it last told something new; not stored

    @classmethod
    def of(cls, session: Session) -> Self:
        """Begin to follow a session."""
        return cls(
            session.number,
            session.transaction_id,
            session.tag,
            session.started_at,
            session.meter_start,
        )

    def as_json(self) -> dict[str, Any]:
        """Return what must survive a restart."""
        return vars(self) | {"started_at": utc(self.started_at), "heard_at": None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Undo `as_json`; KeyError, TypeError or ValueError when it is something else."""
        return cls(**{**data, "started_at": datetime.fromisoformat(data["started_at"])})
