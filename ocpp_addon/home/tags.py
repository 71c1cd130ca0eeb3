"""Who may charge: the tags that a person listed, and the unknown ones that chargers reported."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol, Self, cast, get_args

from ocpp_addon.database import Database
from ocpp_addon.errors import GatewayError
from ocpp_addon.home.journal import Journal
from ocpp_addon.text import printable, utc

TagPolicy = Literal["accept", "list"]
TagStatus = Literal["Accepted", "Blocked", "Expired", "Invalid"]
LIST_LIMIT = 10_000
SEEN_LIMIT = 500
LONGEST = 255  # OCPP 2.1; 1.6 says 20, and chargers exceed it
LONGEST_PARENT = 20  # OCPP 1.6: a longer one would break the answers
_REMOTE = re.compile(r"HA[0-9A-F]{14}")


class Entry(Protocol):
    """What a person says about a tag; `expiry` is aware."""

    @property
    def status(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def expiry(self) -> datetime | None: ...


@dataclass(frozen=True)
class Tag:
    """One listed tag."""

    id_tag: str
    status: TagStatus = "Accepted"
    name: str | None = None
    parent: str | None = None
    expiry: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for the API."""
        return {
            "idTag": self.id_tag,
            "status": self.status,
            "name": self.name,
            "parent": self.parent,
            "expiry": utc(self.expiry) if self.expiry else None,
        }


@dataclass(frozen=True)
class SeenTag:
    """A tag that is not listed and was shown to a charger."""

    id_tag: str
    charger_id: str
    first_at: datetime
    last_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it for the API."""
        return {
            "idTag": self.id_tag,
            "status": "Unknown",
            "charger": self.charger_id,
            "first_seen": utc(self.first_at),
            "last_seen": utc(self.last_at),
        }


@dataclass(frozen=True)
class Verdict:
    """What to answer about a tag; `Unknown` exists in OCPP 2.x only."""

    status: Literal["Accepted", "Blocked", "Expired", "Invalid", "Unknown"]
    parent: str | None = None
    expiry: datetime | None = None


class Tags:
    """Decide about tags, without regard to case (OCPP 1.6 CiString, 2.x identifierString)."""

    TABLES: ClassVar[tuple[str, ...]] = (
        "CREATE TABLE IF NOT EXISTS tags"
        " (key TEXT PRIMARY KEY, id_tag TEXT NOT NULL, status TEXT NOT NULL,"
        " name TEXT, parent TEXT, expiry TEXT)",
        "CREATE TABLE IF NOT EXISTS seen_tags"
        " (key TEXT PRIMARY KEY, id_tag TEXT NOT NULL, charger_id TEXT NOT NULL,"
        " first_at TEXT NOT NULL, last_at TEXT NOT NULL)",
    )

    def __init__(self, journal: Journal, policy: TagPolicy) -> None:
        self._journal = journal
        self._policy = policy
        self._listed: dict[str, Tag] = {}
        self._seen: dict[str, SeenTag] = {}

    @classmethod
    async def open(cls, database: Database, journal: Journal, policy: TagPolicy) -> Self:
        """Read what is stored."""
        tags = cls(journal, policy)
        for key, id_tag, status, name, parent, expiry in await database.read(
            "SELECT key, id_tag, status, name, parent, expiry FROM tags ORDER BY rowid"
        ):
            until = datetime.fromisoformat(expiry) if expiry else None
            tags._listed[key] = Tag(id_tag, status, name, parent, until)
        for key, id_tag, charger_id, first_at, last_at in await database.read(
            "SELECT key, id_tag, charger_id, first_at, last_at FROM seen_tags ORDER BY last_at"
        ):
            first, last = datetime.fromisoformat(first_at), datetime.fromisoformat(last_at)
            tags._seen[key] = SeenTag(id_tag, charger_id, first, last)
        return tags

    def all(self) -> list[Tag | SeenTag]:
        """Return the listed tags, then the unknown ones that chargers reported, latest first."""
        return [*self._listed.values(), *reversed(self._seen.values())]

    def name(self, id_tag: str | None) -> str | None:
        """Return the name that a person gave to a tag."""
        tag = self._listed.get(_key(id_tag or ""))
        return tag.name if tag else None

    def decide(self, id_tag: str | None, now: datetime) -> Verdict:
        """Judge a tag as a charger sent it."""
        tag = self._listed.get(_key(id_tag or ""))
        if tag is None:
            return Verdict("Accepted" if self._policy == "accept" else "Unknown")
        expired = tag.expiry is not None and tag.expiry <= now
        status = "Expired" if expired and tag.status == "Accepted" else tag.status
        return Verdict(status, tag.parent, tag.expiry)

    async def remote(self) -> str:
        """Return the tag under which people start charging from afar, listed when first needed.

        No card has it, and a person may block it like any other. StorageError.
        """
        for tag in self._listed.values():
            if _REMOTE.fullmatch(tag.id_tag):
                return tag.id_tag
        id_tag = f"HA{secrets.token_hex(7).upper()}"
        await self.put(id_tag, Tag(id_tag, name="Home Assistant"))
        return id_tag

    @staticmethod
    def is_remote(id_tag: str) -> bool:
        """Tell whether this is such a tag, which no card has."""
        return _REMOTE.fullmatch(id_tag) is not None

    def saw(self, id_tag: str | None, charger_id: str, now: datetime) -> None:
        """Remember a tag that is not listed, so that a person can allow it."""
        key = _key(id_tag or "")
        if not id_tag or len(id_tag) > LONGEST or key in self._listed:
            return
        known = self._seen.pop(key, None)
        self._seen[key] = SeenTag(id_tag, charger_id, known.first_at if known else now, now)
        if len(self._seen) > SEEN_LIMIT:
            self._forget_seen(next(iter(self._seen)))
        self._journal.later(
            ("seen_tag", key),
            "INSERT OR REPLACE INTO seen_tags VALUES (?, ?, ?, ?, ?)",
            *(key, id_tag, charger_id, utc(self._seen[key].first_at), utc(now)),
        )

    async def put(self, id_tag: str, entry: Entry) -> None:
        """List a tag or change its entry; GatewayError when it cannot be used."""
        if not 0 < len(id_tag) <= LONGEST:
            raise GatewayError(f"A tag has 1 to {LONGEST} characters.")
        if len(entry.parent or "") > LONGEST_PARENT:
            raise GatewayError(f"A parent tag has at most {LONGEST_PARENT} characters.")
        if entry.status not in get_args(TagStatus):
            raise GatewayError(f"{printable(entry.status)} is no status of a tag.")
        status = cast(TagStatus, entry.status)
        tag = Tag(id_tag, status, entry.name, entry.parent, entry.expiry)
        key = _key(id_tag)
        if key not in self._listed and len(self._listed) >= LIST_LIMIT:
            raise GatewayError(f"The list is full: it has {LIST_LIMIT} tags.")
        self._journal.later(
            ("tag", key),
            "INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?, ?)",
            *(key, tag.id_tag, tag.status, tag.name, tag.parent),
            utc(tag.expiry) if tag.expiry else None,
        )
        self._listed[key] = tag
        if key in self._seen:
            self._forget_seen(key)
        await self._journal.flush()

    async def delete(self, id_tag: str) -> bool:
        """Forget a tag, listed or seen; tell whether there was one."""
        key = _key(id_tag)
        if key in self._listed:
            self._journal.later(("tag", key), "DELETE FROM tags WHERE key = ?", key)
            del self._listed[key]
        elif key in self._seen:
            self._forget_seen(key)
        else:
            return False
        await self._journal.flush()
        return True

    def _forget_seen(self, key: str) -> None:
        self._journal.later(("seen_tag", key), "DELETE FROM seen_tags WHERE key = ?", key)
        del self._seen[key]


def _key(id_tag: str) -> str:
    return id_tag.lower()
