"""Who is connected, who is about to be, and what is remembered of those who are gone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from ocpp_addon.endpoint.connection import Connection
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.history import History

REMEMBERED_LIMIT = 2000  # chargers of which something is remembered

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Past:
    """What is remembered of a charger's last connection, and how many have ended."""

    last_seen: datetime
    ended_at: datetime
    reason: str
    ends: int


class Roster:
    """Keep the one open connection of each charger."""

    def __init__(self, credentials: Credentials) -> None:
        self.connections: dict[str, Connection] = {}
        self._credentials = credentials
        self._entering: Counter[str] = Counter()  # strangers, by id
        self._histories: dict[str, History] = {}
        self._past: dict[str, Past] = {}
        self._heartbeats: dict[str, float] = {}

    def connection(self, charger_id: str) -> Connection | None:
        """Return the open connection of a charger."""
        return self.connections.get(charger_id)

    def is_known(self, charger_id: str) -> bool:
        """Tell whether a charger is known or connected: there is nothing of any other one."""
        return charger_id in self._credentials or charger_id in self.connections

    def last_seen(self, charger_id: str) -> datetime | None:
        """Return when something was last heard of a charger."""
        connection = self.connections.get(charger_id)
        if connection is not None:
            return connection.last_seen
        past = self._past.get(charger_id)
        return past.last_seen if past else None

    def past(self, charger_id: str) -> Past | None:
        """Return how the last connection of a known charger ended, None if none did."""
        return self._past.get(charger_id)

    def history(self, charger_id: str) -> History | None:
        """Return the last frames of a charger."""
        return self._histories.get(charger_id)

    def history_for(self, charger_id: str) -> History:
        """Return the last frames of a charger for new ones to be added."""
        history = self._histories.get(charger_id) or History()
        _remember(self._histories, charger_id, history)
        return history

    def heartbeat_interval(self, charger_id: str) -> float | None:
        """Return the seconds between heartbeats that held on the last connection.

        A charger need not boot again when it reconnects (OCPP-J 1.6 5.4).
        """
        older = self.connections.get(charger_id)
        return older.liveness.heartbeat_interval if older else self._heartbeats.get(charger_id)

    @contextmanager
    def entering(self, charger_id: str) -> Iterator[None]:
        """Count a stranger among those who wait, before it is connected."""
        self._entering[charger_id] += 1
        try:
            yield
        finally:
            self._entering[charger_id] -= 1
            if not self._entering[charger_id]:
                del self._entering[charger_id]

    def is_here(self, charger_id: str) -> bool:
        """Tell whether a charger is connected, or a stranger about to be."""
        return charger_id in self.connections or charger_id in self._entering

    def pending_ids(self) -> set[str]:
        """Return who waits for approval, or will in a moment."""
        return (self._entering.keys() - self.connections.keys()) | {
            charger_id
            for charger_id, connection in self.connections.items()
            if connection.session.pending
        }

    def enter(self, connection: Connection) -> None:
        """Let a connection take its place, and that of an older one of the same charger."""
        older = self.connections.get(connection.charger_id)
        self.connections[connection.charger_id] = connection
        if older is not None:
            older.abort("a newer connection took its place")

    def leave(self, connection: Connection) -> None:
        """Keep what people look at of a charger that is gone; strangers could fill the memory."""
        charger_id = connection.charger_id
        if self.connections.get(charger_id) is connection:
            del self.connections[charger_id]
        if charger_id in self._credentials:
            before = self._past.get(charger_id)
            ends = before.ends + 1 if before else 1
            now = datetime.now(UTC)
            past = Past(connection.last_seen, now, connection.end_reason, ends)
            _remember(self._past, charger_id, past)
            _remember(self._heartbeats, charger_id, connection.liveness.heartbeat_interval)
        elif charger_id not in self.connections:
            self._histories.pop(charger_id, None)

    def forget(self, charger_id: str) -> None:
        """Drop the connection of a charger and what is remembered of it."""
        self._histories.pop(charger_id, None)
        self._past.pop(charger_id, None)
        self._heartbeats.pop(charger_id, None)
        connection = self.connections.get(charger_id)
        if connection is not None:
            connection.disown("the charger was forgotten")


def _remember(remembered: dict[str, _Value], charger_id: str, value: _Value) -> None:
    remembered.pop(charger_id, None)
    remembered[charger_id] = value
    if len(remembered) > REMEMBERED_LIMIT:
        del remembered[next(iter(remembered))]
