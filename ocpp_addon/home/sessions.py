"""The charging sessions that are kept, for people to look at; Transactions writes them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ocpp_addon.database import Database
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.session import TransactionId
from ocpp_addon.home.states import States
from ocpp_addon.text import utc

ROWS_LIMIT = 10_000  # of one answer


@dataclass(frozen=True)
class Choice:
    """Which sessions are asked for: those that began from `since` on and before `until`."""

    charger_id: str | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None  # the newest


@dataclass(frozen=True)
class Record:
    """One session; energy in Wh, so far while it runs, None where no meter told."""

    charger_id: str
    connector: int | None
    transaction_id: TransactionId
    tag: str | None
    started_at: str
    ended_at: str | None
    energy: int | None
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it for the API."""
        return {
            "charger": self.charger_id,
            "connector": self.connector,
            "transaction_id": self.transaction_id,
            "tag": self.tag,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "energy_wh": self.energy,
            "reason": self.reason,
        }


class Sessions:
    """Read what Transactions has written, and what is known of sessions that run."""

    def __init__(self, database: Database, journal: Journal, states: States) -> None:
        self._database = database
        self._journal = journal
        self._states = states

    async def find(self, choice: Choice) -> list[Record]:
        """Return the sessions that fit, running and past, newest first."""
        await self._journal.flush()
        conditions = {
            "charger_id = ?": choice.charger_id,
            "lower(tag) = lower(?)": choice.tag,
            "started_at >= ?": utc(choice.since) if choice.since else None,
            "started_at < ?": utc(choice.until) if choice.until else None,
        }
        asked = {text: value for text, value in conditions.items() if value is not None}
        rows = await self._database.read(
            "SELECT charger_id, connector, transaction_id, tag, started_at, ended_at,"
            " coalesce(energy, meter_stop - meter_start), reason FROM sessions"
            f" WHERE {' AND '.join(asked) or 'TRUE'} ORDER BY started_at DESC, number DESC LIMIT ?",
            *(*asked.values(), min(choice.limit or ROWS_LIMIT, ROWS_LIMIT)),
        )
        return [self._so_far(Record(*row)) for row in rows]

    def _so_far(self, record: Record) -> Record:
        if record.ended_at is not None or record.connector is None:
            return record
        state = self._states.get(record.charger_id, record.connector)
        run = state.run if state else None
        if state is None or run is None or run.transaction_id != record.transaction_id:
            return record
        energy = state.energy_of_session
        return record if energy is None else replace(record, energy=round(energy))
