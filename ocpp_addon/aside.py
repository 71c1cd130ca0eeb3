"""Files that were broken and are set aside, of which people are told until they have looked."""

import asyncio
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

TOLD_FOR = timedelta(days=7)
LOOK_EVERY = 30.0  # seconds
STAMP = "%Y%m%dT%H%M%S.%fZ"

_NAME = re.compile(r"(.+)\.broken-(\d{8}T\d{6}\.\d{6}Z)")


def set_aside(path: Path, *companions: str) -> Path:
    """Rename a broken file, with those that only end differently; return its new path.

    Raises OSError.
    """
    aside = path.with_name(f"{path.name}.broken-{datetime.now(UTC):{STAMP}}")
    path.rename(aside)
    for suffix in companions:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    return aside


class Aside:
    """Tell of what was set aside in `folder`, until it is deleted or old.

    `meanings` has a sentence for each file: what its loss means. A restart does not hide a loss
    that nobody may have seen yet.
    """

    def __init__(self, folder: Path, meanings: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._meanings = meanings

    async def run(self) -> None:
        """Notice that a person has seen to it; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Find out what there is to tell."""
        try:
            names = await asyncio.to_thread(os.listdir, self._folder)
        except OSError:  # what was told before is still true
            return
        self.problems = [told for name in sorted(names) if (told := self._told(name))]

    def _told(self, name: str) -> str | None:
        found = _NAME.fullmatch(name)
        meaning = self._meanings.get(found[1]) if found else None
        if found is None or meaning is None:
            return None
        since = datetime.strptime(found[2], STAMP).replace(tzinfo=UTC)
        if datetime.now(UTC) - since > TOLD_FOR:
            return None
        return (
            f"{found[1]} was broken and is set aside as {name}. {meaning} Then delete {name} in the"
            f" data folder; this notice ends by itself after {TOLD_FOR.days} days."
        )
