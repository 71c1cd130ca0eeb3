"""The last frames of each charger, in both directions, for people to look at."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ocpp_addon.ocpp.messages import (
    MESSAGE_TYPES,
    Call,
    CallError,
    CallResult,
    CallResultError,
    Message,
    UniqueId,
)
from ocpp_addon.ocpp.redaction import redacted, redacted_text
from ocpp_addon.text import utc

ENTRIES_LIMIT = 100  # frames kept of a charger
BYTES_LIMIT = 64 * 1024  # characters kept of a charger's frames
LONGEST = 16 * 1024  # characters kept of one frame
LONGEST_ACTION = 64  # characters kept of the action that an answer belongs to
OPEN_LIMIT = 64  # Calls whose answer is awaited, for the latency

Direction = Literal["received", "sent"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame; if it answers a Call, `latency` in seconds and the action that was `asked` for."""

    at: datetime
    direction: Direction
    text: str
    message: Message | None
    latency: float | None
    repairs: tuple[str, ...]
    warnings: tuple[str, ...]
    asked: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for the API, secrets hidden."""
        message = self.message
        fields: dict[str, Any] = {
            "time": utc(self.at),
            "direction": self.direction,
            "frame": redacted_text(self.text),
            "latency_ms": None if self.latency is None else round(self.latency * 1000, 1),
            "repaired": list(self.repairs),
            "warnings": list(self.warnings),
        }
        if message is not None:
            fields["type"] = MESSAGE_TYPES[type(message)]
            fields["id"] = message.unique_id
            fields["action"] = self.asked
            if isinstance(message, CallError | CallResultError):
                fields["error"] = {"code": message.code, "description": message.description}
            elif isinstance(message, CallResult):
                fields["payload"] = redacted(message.payload)
            else:
                fields["action"] = message.action
                fields["payload"] = redacted(message.payload)
        return fields


@dataclass(slots=True)
class History:
    """Keep the last frames of one charger, within limits."""

    entries: deque[Entry] = field(default_factory=deque)
    _size: int = 0
    _open: dict[tuple[Direction, UniqueId], tuple[float, str]] = field(default_factory=dict)

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
        latency, asked = self._answered(message, direction, now)
        entry = Entry(
            at,
            direction,
            text[:LONGEST],
            message if len(text) <= LONGEST else None,
            latency,
            repairs,
            warnings,
            asked,
        )
        self.entries.append(entry)
        self._size += len(entry.text)
        while len(self.entries) > ENTRIES_LIMIT or self._size > BYTES_LIMIT:
            self._size -= len(self.entries.popleft().text)
        return entry

    def _answered(
        self, message: Message | None, direction: Direction, now: float
    ) -> tuple[float | None, str | None]:
        """Return how long an answer took and what was asked; nothing of other messages."""
        if isinstance(message, Call):
            self._open[direction, message.unique_id] = now, message.action[:LONGEST_ACTION]
            if len(self._open) > OPEN_LIMIT:
                del self._open[next(iter(self._open))]
        elif isinstance(message, CallResult | CallError):
            way: Direction = "sent" if direction == "received" else "received"
            if (call := self._open.pop((way, message.unique_id), None)) is not None:
                return now - call[0], call[1]
        return None, None
