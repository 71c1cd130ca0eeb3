"""Which charge point a request is for, from its path alone; knows no sockets and no passwords."""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from ocpp_addon.errors import IdentityError
from ocpp_addon.text import printable

LONGEST_ID = 64  # characters
# Words of the default topics: a charger called so could read what is meant for others.
RESERVED = frozenset(
    {"ocpp", "cp", "cs", "Reply", "Error", "Answer", "presence", "gateway", "state", "set"}
)

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Unicode's Bidi_Control: they let one id look like another.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class UnusableId(IdentityError):
    """Tell why a request is refused; `code` names the kind: bad_path, bad_id or reserved_id."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def charger_id(raw_path: str, user_name: str | None, reserved: frozenset[str]) -> str:
    """Return the id that a request is for.

    `raw_path` is the path as sent, percent-encoded and without a query; where it names nobody,
    `user_name` of the Basic credentials does. `reserved` are the words that are no ids, case
    counts. Raises UnusableId (OCPP-J 3.1.1; chargers add, double and forget segments).
    """
    segments = [_decoded(segment) for segment in raw_path.split("/") if segment]
    while segments and segments[0] == "ocpp":
        del segments[0]
    if len(set(segments)) > 1:
        raise UnusableId(
            "bad_path", "The path has several parts; it has to be /ocpp/ and the charger's id."
        )
    if segments:
        return checked_id(segments[0], reserved)
    if user_name:
        return checked_id(user_name, reserved)
    raise UnusableId(
        "bad_path",
        "The address names no charger: the id is missing at its end, and no user name came.",
    )


def checked_id(text: str, reserved: frozenset[str] = RESERVED) -> str:
    """Return `text` if it can be the id of a charge point, else raise UnusableId."""
    if text in reserved:
        raise UnusableId(
            "reserved_id", f"The id {printable(text)} is a word of the MQTT topics: choose another."
        )
    fault = _fault(text)
    if fault:
        raise UnusableId("bad_id", f"The id {printable(text)} {fault}.")
    return text


def _fault(text: str) -> str | None:
    if not text.strip():
        return "is blank"
    if len(text) > LONGEST_ID:
        return f"is longer than {LONGEST_ID} characters"
    if text in {".", ".."}:
        return "means a folder, not a charger"
    if text.startswith("$"):
        return "starts with $, which MQTT keeps for brokers"
    for character in text:
        if character in "/+#":
            return f"contains {character}, which has a meaning in MQTT topics"
        if _is_unreadable(character):
            return f"contains a character that cannot be shown (U+{ord(character):04X})"
    return None


def _is_unreadable(character: str) -> bool:
    code = ord(character)
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or character in _BIDI
        or character == "\ufffd"  # stands for bytes that were no text: two ids would look the same
        or 0xFDD0 <= code <= 0xFDEF  # non-characters, with the last two of each plane
        or code & 0xFFFE == 0xFFFE
    )


def _decoded(segment: str) -> str:
    if _BROKEN_ESCAPE.search(segment):
        raise UnusableId("bad_path", "The path has a % that is not followed by two hex digits.")
    try:
        # Servers hand over raw bytes of a path as lone surrogates.
        return unquote_to_bytes(segment.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        raise UnusableId("bad_path", "The path is not UTF-8 text.") from None
