"""Tags that people show to chargers, told apart from tags that a start merely names."""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import TypeGuard

from ocpp_addon.home.events import TagScanned, Tell
from ocpp_addon.home.tags import LONGEST, Tags

KNOWN_FOR = timedelta(minutes=10)  # between showing a tag and the start that names it
REPEATED = timedelta(seconds=2)  # in which a reader may see the same tag twice
LIMIT = 1_000


class Scans:
    """Tell of each scan once: chargers name a tag in Authorize, in a start, or in both."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._known: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        self._remote: OrderedDict[tuple[str, str], datetime] = OrderedDict()

    def asked(self, charger_id: str, tag: str | None, now: datetime) -> None:
        """Take a tag that a charger asks about."""
        if _is_usable(tag) and not self._is_remote(charger_id, tag, now):
            if not _since(self._known, charger_id, tag, now, REPEATED):
                self._tell(TagScanned(charger_id, None, tag))
            _note(self._known, charger_id, tag, now)

    def started(
        self, charger_id: str, connector: int | None, tag: str | None, at: datetime, now: datetime
    ) -> None:
        """Take a tag that the start of a session names, `at` the time that it tells."""
        if _is_usable(tag) and now - at <= KNOWN_FOR:
            known = _since(self._known, charger_id, tag, now, KNOWN_FOR)
            if not known and not self._is_remote(charger_id, tag, now):
                self._tell(TagScanned(charger_id, connector, tag))
            _note(self._known, charger_id, tag, now)

    def remote(self, charger_id: str, tag: str | None, now: datetime) -> None:
        """Take a tag with which somebody starts a session from afar: nobody shows it."""
        if _is_usable(tag):
            _note(self._remote, charger_id, tag, now)

    def _is_remote(self, charger_id: str, tag: str, now: datetime) -> bool:
        ours = Tags.is_remote(tag)
        return ours or _since(self._remote, charger_id, tag, now, KNOWN_FOR)


_Notes = OrderedDict[tuple[str, str], datetime]


def _is_usable(tag: str | None) -> TypeGuard[str]:
    return tag is not None and 0 < len(tag) <= LONGEST


def _since(notes: _Notes, charger_id: str, tag: str, now: datetime, span: timedelta) -> bool:
    noted = notes.get((charger_id, tag.lower()))
    return noted is not None and timedelta(0) <= now - noted <= span


def _note(notes: _Notes, charger_id: str, tag: str, now: datetime) -> None:
    key = (charger_id, tag.lower())
    notes[key] = now
    notes.move_to_end(key)
    if len(notes) > LIMIT:
        notes.popitem(last=False)
