"""What was learnt about how each charger takes orders, kept over restarts."""

import json
import logging
from typing import ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.profiles import Habits
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

CHARGER_LIMIT = 5_000


class HabitBook:
    """Keep the habits of chargers; only changes are written."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS habits (charger_id TEXT PRIMARY KEY, habits TEXT NOT NULL)",
    )

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._habits: dict[str, Habits] = {}
        self._stored: dict[str, str] = {}

    @classmethod
    async def open(cls, database: Database, journal: Journal) -> Self:
        """Read what is stored."""
        book = cls(journal)
        for charger_id, text in await database.read(
            "SELECT charger_id, habits FROM habits ORDER BY rowid LIMIT ?", CHARGER_LIMIT
        ):
            try:
                book._habits[charger_id] = Habits.from_json(json.loads(text))
            except (KeyError, TypeError, ValueError):
                log.warning("The stored habits of %s cannot be read.", printable(charger_id))
            book._stored[charger_id] = text
        return book

    def of(self, charger_id: str) -> Habits:
        """Return a charger's habits, to be used and changed."""
        if charger_id not in self._habits and len(self._habits) >= CHARGER_LIMIT:
            self.forget(next(iter(self._habits)))
        return self._habits.setdefault(charger_id, Habits())

    def keep(self, charger_id: str) -> None:
        """Write a charger's habits if they have changed."""
        text = json.dumps(self.of(charger_id).as_json())
        if self._stored.get(charger_id, "{}") != text:
            self._stored[charger_id] = text
            self._journal.later(
                ("habits", charger_id),
                "INSERT OR REPLACE INTO habits VALUES (?, ?)",
                *(charger_id, text),
            )

    def forget(self, charger_id: str) -> None:
        """Drop a charger's habits."""
        self._habits.pop(charger_id, None)
        if self._stored.pop(charger_id, None) is not None:
            self._journal.later(
                ("habits", charger_id), "DELETE FROM habits WHERE charger_id = ?", charger_id
            )
