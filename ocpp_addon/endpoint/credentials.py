"""Which chargers are known, their password records and settings: one JSON file, mode 0600.

    {"version": 1, "chargers": {"<id>": {"password": {"scheme", "hash"} | null, "settings": {}}}}

Knows no secrets, only their records.
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import aiofiles
import aiofiles.os

from ocpp_addon.aside import set_aside
from ocpp_addon.endpoint.identity import checked_id
from ocpp_addon.endpoint.passwords import PasswordRecord
from ocpp_addon.errors import IdentityError, StorageError
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

FILE_VERSION = 1


@dataclass(frozen=True)
class _Charger:
    raw: dict[str, Any]  # as in the file, with keys of later versions
    password: PasswordRecord | None
    settings: dict[str, Any]


class Credentials:
    """Keep the known chargers; what `put`, `remove` and `update_settings` returned from is on disk.

    A record that cannot be read spoils only its charger: that one stays known and protected, has
    no password that fits, and stays in the file as it is until it is put anew or removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None  # a sentence for people, where records cannot be used
        self._chargers: dict[str, _Charger] = {}
        self._spoilt: dict[str, Any] = {}  # known, but their records cannot be read
        self._misnamed: dict[str, Any] = {}  # no charger can have these ids
        self._saving = asyncio.Lock()

    @classmethod
    async def load(cls, path: Path) -> Self:
        """Read `path`; a broken file is set aside.

        Raises StorageError when the file can be neither read nor set aside.
        """
        try:
            async with aiofiles.open(path, "rb") as file:
                content = await file.read()
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise StorageError(f"{path.name} cannot be read: {error.strerror}.") from error
        try:
            entries = _entries(content)
        except (ValueError, RecursionError) as error:
            await _set_aside(path, error)
            return cls(path)
        credentials = cls(path)
        faults = [fault for id_, raw in entries.items() if (fault := credentials._take(id_, raw))]
        if faults:
            credentials.problem = f"{path.name} has records that cannot be used: " + "; ".join(
                faults
            )
            log.error("%s", credentials.problem)
        return credentials

    def __contains__(self, charger_id: object) -> bool:
        return charger_id in self._chargers or charger_id in self._spoilt

    def ids(self) -> list[str]:
        """Return the ids of all known chargers."""
        return [*self._chargers, *self._spoilt]

    def password(self, charger_id: str) -> PasswordRecord | None:
        """Return the record that a secret is checked against; see also `protected`."""
        charger = self._chargers.get(charger_id)
        return charger.password if charger else None

    def protected(self, charger_id: str) -> bool:
        """Tell whether a charger needs a password; without a record it cannot log in at all."""
        return charger_id in self._spoilt or self.password(charger_id) is not None

    def settings(self, charger_id: str) -> dict[str, Any]:
        """Return a copy of a charger's settings."""
        charger = self._chargers.get(charger_id)
        return dict(charger.settings) if charger else {}

    def find_case_insensitive(self, charger_id: str) -> str | None:
        """Return the known id that differs from `charger_id` in case only, if there is just one."""
        wanted = charger_id.casefold()
        found = [id_ for id_ in self.ids() if id_ != charger_id and id_.casefold() == wanted]
        return found[0] if len(found) == 1 else None

    async def put(
        self,
        charger_id: str,
        record: PasswordRecord | None,
        changes: Mapping[str, Any] = MappingProxyType({}),
        *,
        still: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Make a charger known and set its password, None = none; `changes` are of its settings.

        Writes wait for each other: nothing is changed, and False returned, if `still` says no when
        the turn has come. Raises StorageError when the disk refuses; nothing has changed then.
        """
        async with self._saving:
            if not still():
                return False
            password = record.to_json() if record else None
            settings = _merged(self.settings(charger_id), changes)
            changed = {"password": password, "settings": settings}
            await self._replace(charger_id, {**self._raw(charger_id), **changed})
            return True

    async def remove(self, charger_id: str) -> None:
        """Forget a charger and its settings, known or not. Raises StorageError like `put`."""
        async with self._saving:
            if charger_id in self:
                await self._replace(charger_id, None)

    async def update_settings(self, charger_id: str, changes: Mapping[str, Any]) -> None:
        """Merge `changes` into a charger's settings; None removes a key.

        One that is unknown or spoilt has no settings, and stays so. Raises StorageError like `put`.
        """
        async with self._saving:
            if charger_id in self._chargers:
                settings = _merged(self.settings(charger_id), changes)
                await self._replace(charger_id, {**self._raw(charger_id), "settings": settings})

    def _raw(self, charger_id: str) -> dict[str, Any]:
        charger = self._chargers.get(charger_id)
        return charger.raw if charger else {"password": None, "settings": {}}

    async def _replace(self, charger_id: str, raw: dict[str, Any] | None) -> None:
        chargers, spoilt = self._chargers.copy(), self._spoilt.copy()
        spoilt.pop(charger_id, None)
        if raw is None:
            chargers.pop(charger_id, None)
        else:
            chargers[charger_id] = _charger(raw)
        kept = {id_: charger.raw for id_, charger in chargers.items()}
        document = {"version": FILE_VERSION, "chargers": {**self._misnamed, **spoilt, **kept}}
        content = json.dumps(document, indent=2).encode()
        try:
            await _write(self.path, content)
        except OSError as error:
            raise StorageError(f"{self.path.name} cannot be written: {error.strerror}.") from error
        self._chargers, self._spoilt = chargers, spoilt

    def _take(self, charger_id: str, raw: object) -> str | None:
        """Take one record of the file; return what is wrong with it, if anything."""
        try:
            checked_id(charger_id)
        except IdentityError as error:
            self._misnamed[charger_id] = raw
            return str(error).rstrip(".")
        try:
            self._chargers[charger_id] = _charger(raw)
        except ValueError as error:
            self._spoilt[charger_id] = raw
            return f"{printable(charger_id)} cannot log in, since {error}: set its password anew"
        return None


def _entries(content: bytes) -> dict[str, Any]:
    match json.loads(content.decode("utf-8")):
        case {"version": 1, "chargers": dict(entries)}:
            return entries
    raise ValueError("it is not of a form that this version knows")


def _charger(raw: object) -> _Charger:
    if not isinstance(raw, dict) or "password" not in raw:
        raise ValueError("its record is not an object with a password")
    password, settings = raw["password"], raw.get("settings", {})
    if not isinstance(settings, dict):
        raise ValueError("its settings are not an object")
    record = None if password is None else PasswordRecord.from_json(password)
    return _Charger(raw, record, settings)


def _merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**settings, **changes}.items() if value is not None}


async def _set_aside(path: Path, error: Exception) -> None:
    try:
        aside = await asyncio.to_thread(set_aside, path)
    except OSError as refusal:
        text = f"{path.name} is broken and cannot be set aside: {refusal.strerror}."
        raise StorageError(text) from refusal
    log.error(
        "%s was broken (%s) and is set aside as %s: no charger is known any more",
        *(path.name, printable(error, 100), aside.name),
    )


async def _write(path: Path, content: bytes) -> None:
    """Replace `path` so that a power cut leaves the old content or the new one, never less."""
    draft = path.with_name(path.name + ".new")
    try:
        async with aiofiles.open(draft, "wb", opener=_open_private) as file:
            await file.write(content)
            await file.flush()
            await _fsync(file.fileno())
        await aiofiles.os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            await aiofiles.os.remove(draft)
        raise
    # Some network file systems cannot sync a folder; the new content is in place all the same.
    with contextlib.suppress(OSError):
        await _sync_folder(path.parent)


def _open_private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)  # also where a draft was left behind
    return descriptor


_fsync = aiofiles.os.wrap(os.fsync)


@aiofiles.os.wrap
def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
