"""What is known of each charger: who made it, whether it was accepted, when it was last there."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.home import fields
from ocpp_addon.home.journal import Journal
from ocpp_addon.ocpp.messages import Call, Send
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.text import printable, utc

log = logging.getLogger(__name__)

CHARGER_LIMIT = 5_000


@dataclass(frozen=True)
class ChargerFacts:
    """What a charger told about itself; texts are single printable lines."""

    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    boot_accepted: bool = False
    last_seen: datetime | None = None  # as far as it is stored: when it came or went

    def as_json(self) -> dict[str, Any]:
        """Return it for the disk."""
        return {
            "vendor": self.vendor,
            "model": self.model,
            "serial": self.serial,
            "firmware": self.firmware,
            "boot_accepted": self.boot_accepted,
            "last_seen": utc(self.last_seen) if self.last_seen else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Undo `as_json`; KeyError, TypeError or ValueError when it is something else."""
        return cls(
            vendor=data["vendor"],
            model=data["model"],
            serial=data["serial"],
            firmware=data["firmware"],
            boot_accepted=data["boot_accepted"],
            last_seen=datetime.fromisoformat(seen) if (seen := data.get("last_seen")) else None,
        )


NOTHING = ChargerFacts()


class Chargers:
    """Follow what chargers tell; only changes are written."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS chargers (charger_id TEXT PRIMARY KEY, facts TEXT NOT NULL)",
    )

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._facts: dict[str, ChargerFacts] = {}
        self._unsaved: set[str] = set()

    @classmethod
    async def open(cls, database: Database, journal: Journal) -> Self:
        """Read what is stored."""
        chargers = cls(journal)
        for charger_id, facts in await database.read(
            "SELECT charger_id, facts FROM chargers ORDER BY rowid LIMIT ?", CHARGER_LIMIT
        ):
            try:
                chargers._facts[charger_id] = ChargerFacts.from_json(json.loads(facts))
            except (KeyError, TypeError, ValueError):
                log.warning("The stored facts of %s cannot be read.", printable(charger_id))
        return chargers

    def get(self, charger_id: str) -> ChargerFacts:
        """Return what is known; for a stranger that is nothing."""
        return self._facts.get(charger_id, NOTHING)

    def observe(self, charger_id: str, version: Version, call: Call | Send, *, keep: bool) -> None:
        """Learn from a message; without `keep` only for this run of the gateway."""
        facts = self.get(charger_id)
        if call.action == "BootNotification":
            facts = _introduced(facts, version, call.payload)
        self._set(charger_id, facts, keep=keep)

    def booted(self, charger_id: str, *, accepted: bool) -> None:
        """Note what the last BootNotification was answered."""
        self._set(charger_id, replace(self.get(charger_id), boot_accepted=accepted), keep=True)

    def seen(self, charger_id: str, moment: datetime) -> None:
        """Keep when a charger was last heard of."""
        self._set(charger_id, replace(self.get(charger_id), last_seen=moment), keep=True)

    def forget(self, charger_id: str) -> None:
        """Drop what is known."""
        self._facts.pop(charger_id, None)
        self._unsaved.discard(charger_id)
        self._journal.later(
            ("charger", charger_id), "DELETE FROM chargers WHERE charger_id = ?", charger_id
        )

    def _set(self, charger_id: str, facts: ChargerFacts, *, keep: bool) -> None:
        if facts == self.get(charger_id) and not (keep and charger_id in self._unsaved):
            return
        if charger_id not in self._facts and len(self._facts) >= CHARGER_LIMIT:
            self.forget(next(iter(self._unsaved or self._facts)))  # strangers go first
        self._facts[charger_id] = facts
        if not keep:
            self._unsaved.add(charger_id)
        else:
            self._unsaved.discard(charger_id)
            self._journal.later(
                ("charger", charger_id),
                "INSERT OR REPLACE INTO chargers VALUES (?, ?)",
                *(charger_id, json.dumps(facts.as_json())),
            )


def _introduced(facts: ChargerFacts, version: Version, payload: Mapping[str, Any]) -> ChargerFacts:
    if version == V16:
        serial = fields.label(payload, "chargePointSerialNumber")
        return replace(
            facts,
            vendor=fields.label(payload, "chargePointVendor"),
            model=fields.label(payload, "chargePointModel"),
            serial=serial or fields.label(payload, "chargeBoxSerialNumber"),
            firmware=fields.label(payload, "firmwareVersion"),
        )
    station = fields.group(payload, "chargingStation")
    return replace(
        facts,
        vendor=fields.label(station, "vendorName"),
        model=fields.label(station, "model"),
        serial=fields.label(station, "serialNumber"),
        firmware=fields.label(station, "firmwareVersion"),
    )
