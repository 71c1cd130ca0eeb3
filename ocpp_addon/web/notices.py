"""Sentences that a page shows once after a form; they may hold a new password, so URLs do not."""

import secrets
from dataclasses import dataclass, field
from typing import Any

LIMIT = 50


@dataclass(frozen=True)
class Notice:
    """What came of a form; `secret` is shown apart, to be copied.

    Of a command also its `payload`, to be sent again, and its `outcome`.
    """

    text: str
    good: bool = True
    secret: str | None = field(default=None, repr=False)
    payload: dict[str, Any] | None = field(default=None, repr=False)
    outcome: dict[str, Any] | None = field(default=None, repr=False)


class Notices:
    """Keep notices until they are shown; the oldest unseen go first."""

    def __init__(self) -> None:
        self._waiting: dict[str, Notice] = {}

    def add(self, notice: Notice) -> str:
        """Keep a notice and return its key."""
        key = secrets.token_urlsafe(12)
        self._waiting[key] = notice
        if len(self._waiting) > LIMIT:
            del self._waiting[next(iter(self._waiting))]
        return key

    def take(self, key: str) -> Notice | None:
        """Return a notice for the only time."""
        return self._waiting.pop(key, None)
