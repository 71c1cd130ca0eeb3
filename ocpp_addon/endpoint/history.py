"""The last frames of each charger, in both directions, for people to look at."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Message, UniqueId

ENTRIES_LIMIT = 100  # frames kept of a charger
BYTES_LIMIT = 128 * 1024  # characters kept of a charger's frames
LONGEST = 16 * 1024  # characters kept of one frame
OPEN_LIMIT = 64  # Calls whose answer is awaited, for the latency

Direction = Literal["received", "sent"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame; `latency` in seconds if it answers a Call."""

    at: datetime
    direction: Direction
    text: str
    message: Message | None
    latency: float | None
    repairs: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class History:
    """Keep the last frames of one charger, within limits."""

    entries: deque[Entry] = field(default_factory=deque)
    _size: int = 0
    _open: dict[tuple[Direction, UniqueId], float] = field(default_factory=dict)

    def add(
        self,
        at: datetime,
        now: float,
        direction: Direction,
        text: str,
        message: Message | None,
        repairs: tuple[str, ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> Entry:
        """Note a frame; `message` None if it could not be read."""
        entry = Entry(
            at,
            direction,
            text[:LONGEST],
            message if len(text) <= LONGEST else None,
            self._latency(message, direction, now),
            repairs,
            warnings,
        )
        self.entries.append(entry)
        self._size += len(entry.text)
        while len(self.entries) > ENTRIES_LIMIT or self._size > BYTES_LIMIT:
            self._size -= len(self.entries.popleft().text)
        return entry

    def _latency(self, message: Message | None, direction: Direction, now: float) -> float | None:
        if isinstance(message, Call):
            self._open[direction, message.unique_id] = now
            if len(self._open) > OPEN_LIMIT:
                del self._open[next(iter(self._open))]
        elif isinstance(message, CallResult | CallError):
            asked: Direction = "sent" if direction == "received" else "received"
            since = self._open.pop((asked, message.unique_id), None)
            return None if since is None else now - since
        return None
