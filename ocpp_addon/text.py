"""Make text of strangers safe for one line of a log, and write moments as OCPP wants them."""

import unicodedata
from datetime import UTC, datetime

# Control, format (bidirectional overrides, zero width), surrogate, private, unassigned, line and
# paragraph separators: all of them can break or forge a line of a log.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: object, limit: int = 64) -> str:
    """Return `text` as one printable line of at most `limit` characters, unsafe ones escaped."""
    raw = str(text)
    cut = raw[:limit]
    if not cut.isprintable():
        cut = "".join(map(_safe, cut))
    return cut[:limit] + "…" if len(cut) > limit or len(raw) > limit else cut


def _safe(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":  # blanks of all widths
        return " "
    if category in _UNSAFE:
        return character.encode("unicode_escape", "backslashreplace").decode()
    return character


def utc(moment: datetime) -> str:
    """Return an aware `moment` as `YYYY-MM-DDThh:mm:ss.mmmZ`.

    Some chargers understand no other spelling, least of all `+00:00`.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
