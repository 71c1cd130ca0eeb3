"""The states of connectors on disk: which must be written when, so that SD cards live long."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.home.connector import ConnectorState
from ocpp_addon.home.journal import Journal
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

RESERVE = 500.0  # Wh that may be shown beyond what is stored, and are shown at once after a crash

# What a reading changes of what is stored.
MOVED_BY_METER = frozenset({"energy", "sampled_at", "values"})  # and a running session's energy

Key = tuple[str, int]  # charger and number


@dataclass(frozen=True)
class _Stored:
    """What is on disk, and which energy it was then; `floor` is the most that may be shown."""

    text: str
    facts: str  # all of it but what the meter moves
    energy: float
    floor: float


class StoredStates:
    """Write states: facts at once, readings of the meter only now and then."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS states (charger_id TEXT NOT NULL, number INTEGER NOT NULL,"
        " state TEXT NOT NULL, PRIMARY KEY (charger_id, number))",
    )

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._unsaved: set[Key] = set()
        self._stored: dict[Key, _Stored] = {}

    async def read(self, database: Database) -> dict[Key, ConnectorState]:
        """Return what is stored."""
        states: dict[Key, ConnectorState] = {}
        for charger_id, number, text in await database.read(
            "SELECT charger_id, number, state FROM states ORDER BY rowid"
        ):
            key = charger_id, number
            try:
                state = ConnectorState.from_json(number, json.loads(text))
            except (KeyError, TypeError, ValueError, AttributeError):
                log.warning("The stored state of %s cannot be read.", printable(charger_id))
                continue
            state.energy.unsure = database.restored
            states[key] = state
            floor = state.energy.floor
            self._stored[key] = _Stored(text, _facts(json.loads(text)), floor, floor)
        return states

    def changed(self, key: Key, state: ConnectorState) -> None:
        """Take a change that is worth the disk at once, unless the meter alone has moved."""
        stored = self._stored.get(key)
        if stored is None or stored.facts != _facts(state.as_json(stored.floor)):
            try:
                self.save(key, state)
            except StorageError:  # the journal tells of it
                self._unsaved.add(key)
        else:  # chargers repeat themselves
            self._unsaved.add(key)

    def measured(self, key: Key, state: ConnectorState) -> None:
        """Take readings of the meter, which wait unless more is shown than may be."""
        stored, energy = self._stored.get(key), state.energy.most_shown
        if stored is None or energy > stored.floor:
            self.save(key, state)
        elif state.run is not None or energy != stored.energy:
            self._unsaved.add(key)

    def due(self) -> set[Key]:
        """Return what waits to be written, and what stands still by now: it is stored as shown."""
        moving = {key for key, stored in self._stored.items() if stored.floor > stored.energy}
        return self._unsaved | moving

    def save(self, key: Key, state: ConnectorState, *, surely: bool = False) -> None:
        """Note a state for the disk; `surely` if nothing more will be shown."""
        stored = self._stored.get(key)
        energy = state.energy.most_shown
        still = state.run is None and (stored is None or energy == stored.energy)
        # After a crash more may be shown than has flowed: that is part of the reserve.
        floor = energy if still or surely else max(energy, state.energy.total + RESERVE)
        content = state.as_json(floor)
        text = json.dumps(content)
        if stored is None or stored.text != text:
            self._journal.later(
                ("state", key), "INSERT OR REPLACE INTO states VALUES (?, ?, ?)", *key, text
            )
            self._stored[key] = _Stored(text, _facts(content), energy, floor)
        self._unsaved.discard(key)

    def forget(self, key: Key) -> None:
        """Drop a state."""
        self._unsaved.discard(key)
        self._stored.pop(key, None)
        self._journal.later(
            ("state", key), "DELETE FROM states WHERE charger_id = ? AND number = ?", *key
        )


def _facts(content: Mapping[str, Any]) -> str:
    moved = MOVED_BY_METER | ({"session_energy"} if content["run"] else set())
    return json.dumps([content[name] for name in sorted(content.keys() - moved)])
