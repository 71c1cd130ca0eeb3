"""Which entities of each charger were announced, kept over restarts: what was shown once stays."""

import contextlib
import json
import logging
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home import entities
from ocpp_addon.home.discovery import Component
from ocpp_addon.home.journal import Journal
from ocpp_addon.text import printable

CHARGER_LIMIT = 5_000

log = logging.getLogger(__name__)


class Announced:
    """Remember entities with their platforms, so that those that no longer exist are taken back."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS announced"
        " (charger_id TEXT PRIMARY KEY, components TEXT NOT NULL)",
    )

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._components: dict[str, dict[Component, str]] = {}

    @classmethod
    async def open(cls, database: Database, journal: Journal) -> Self:
        """Read what is stored."""
        announced = cls(journal)
        for charger_id, text in await database.read("SELECT charger_id, components FROM announced"):
            try:
                announced._components[charger_id] = {
                    Component.read(name): str(platform)
                    for name, platform in json.loads(text).items()
                }
            except (AttributeError, TypeError, ValueError):
                log.warning("The stored entities of %s cannot be read.", printable(charger_id))
        return announced

    def of(self, charger_id: str) -> Mapping[Component, str]:
        """Return every entity that a charger ever had, with its platform."""
        return self._components.get(charger_id, {})

    def saw(self, charger_id: str, connector: int, keys: Iterable[str]) -> bool:
        """Take the keys of a state and tell whether they bring about entities that are new."""
        if charger_id not in self._components and len(self._components) >= CHARGER_LIMIT:
            self.forget(next(iter(self._components)))
        known = self._components.setdefault(charger_id, {})
        shown = {Component(connector, one.key): one for one in entities.shown(connector, keys)}
        new = {name: one.platform for name, one in shown.items() if name not in known}
        if not new:
            return False
        known |= new
        text = json.dumps({str(one): platform for one, platform in known.items()})
        with contextlib.suppress(StorageError):  # the journal tells of it
            self._journal.later(
                ("announced", charger_id),
                "INSERT OR REPLACE INTO announced VALUES (?, ?)",
                *(charger_id, text),
            )
        return True

    def forget(self, charger_id: str) -> None:
        """Drop the entities of a charger."""
        if self._components.pop(charger_id, None) is not None:
            self._journal.later(
                ("announced", charger_id), "DELETE FROM announced WHERE charger_id = ?", charger_id
            )
