"""The chargers that the options name: stored once, then removed from there with their passwords."""

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocpp_addon.config import ChargerOption
from ocpp_addon.endpoint.admission import ONLY_THIS
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.passwords import Busy, Passwords
from ocpp_addon.errors import GatewayError, StorageError
from ocpp_addon.supervisor import Supervisor, when_ready
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

STILL_THERE = "The chargers could not be removed from the options, please do that: %s"


class Inbox:
    """Take in `chargers`, which came from the file `options`, if that is given.

    In Home Assistant the file is the Supervisor's copy of the options, which it writes anew at
    each start: there the options themselves are changed as well.
    """

    def __init__(
        self,
        chargers: Sequence[ChargerOption],
        options: Path | None,
        supervisor: Supervisor | None,
    ) -> None:
        self._chargers = chargers
        self._options = options
        self._supervisor = supervisor

    async def take_in(self, credentials: Credentials, passwords: Passwords) -> None:
        """Store the chargers and empty the file; what the disk refuses stays where it is."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for charger in self._chargers:
                    tasks.create_task(_take_in_one(credentials, passwords, charger))
        except* StorageError as refusals:
            log.error("The chargers of the options are not stored: %s", refusals.exceptions[0])
            self._chargers = ()
        if self._chargers and self._options is not None:
            try:
                await asyncio.to_thread(_rewrite_without_chargers, self._options)
            except OSError as error:
                log.warning(STILL_THERE, error)

    async def run(self) -> None:
        """Empty the inbox that the user sees in Home Assistant, once what it held is stored."""
        supervisor = self._supervisor
        if not self._chargers or supervisor is None:
            return
        try:
            await when_ready(lambda: supervisor.change_options({"chargers": []}))
        except GatewayError as error:
            log.warning(STILL_THERE, error)


async def _take_in_one(
    credentials: Credentials, passwords: Passwords, charger: ChargerOption
) -> None:
    secret = charger.password.encode() if charger.password else None
    if charger.id in credentials and credentials.protected(charger.id) == (secret is not None):
        record = credentials.password(charger.id)
        if secret is None:
            return
        try:
            if record is not None and await passwords.verify(charger.id, record, secret):
                return
        except Busy:  # then it is hashed again, which is right as well
            pass
    record = await passwords.hash(secret) if secret else None
    await credentials.put(charger.id, record, ONLY_THIS)
    log.info("%s is known now", printable(charger.id))


def _rewrite_without_chargers(options: Path) -> None:
    content: dict[str, Any] = json.loads(options.read_text("utf-8-sig"))
    content["chargers"] = []
    draft = options.with_name(f"{options.name}.new")
    draft.touch(mode=0o600)
    with draft.open("w") as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())  # or a power cut may leave the user an empty file
    draft.replace(options)
