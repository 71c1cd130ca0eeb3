"""A topic or filter with variables: filled in, matched back, and held against another."""

import re
import unicodedata
from dataclasses import dataclass

LONGEST_VARIABLE = 64  # characters of ${action} and ${id} in a topic
BREAKS_TOPICS = frozenset({"Cc", "Cs", "Cn"})  # Unicode's categories

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_CUT_ESCAPE = re.compile(r"%.?\Z")


@dataclass(frozen=True, slots=True)
class Template:
    """A template of an option, its constant variables filled in."""

    option: str
    text: str

    def render(self, variables: dict[str, str]) -> str:
        """Fill in the variables."""
        return _VARIABLE.sub(lambda found: variables[found[1]], self.text)

    @property
    def uses_id(self) -> bool:
        """Tell whether each message has a topic of its own."""
        return "${id}" in self.text

    def literals(self) -> list[str]:
        """Return the levels that are the same in every topic."""
        return [level for level in self._levels() if level and not _is_wild(level)]

    def can_match(self, topic: "Template") -> bool:
        """Tell whether, as a filter, it could match a topic or what another filter matches."""
        return _can_match(self._levels(), topic._levels())

    def matcher(self) -> re.Pattern[str]:
        """Compile a filter; the group `cid` is the charger."""
        pattern, named, rest = [], False, ""
        levels = self._levels()
        if levels[-1] == "#":
            levels.pop()
            rest = "(?:/.*)?"  # MQTT 5 4.7.1.2: the level before # alone matches, too
        for level in levels:
            if level == "+":
                pattern.append("[^/]*")
                continue
            text = ""
            for index, part in enumerate(_VARIABLE.split(level)):
                if index % 2 == 0:
                    text += re.escape(part)
                elif part == "cid":
                    text += "(?P=cid)" if named else "(?P<cid>[^/]+)"
                    named = True
                else:
                    text += "[^/]+"
            pattern.append(text)
        return re.compile("/".join(pattern) + rest, re.DOTALL)

    def _levels(self) -> list[str]:
        return self.text.split("/")


def escape(text: str) -> str:
    """Percent-encode what would break a topic, and cut, but through no escape."""
    if text.isalnum() and len(text) <= LONGEST_VARIABLE:
        return text
    escaped = "".join(
        "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        if character in "/+#%$" or unicodedata.category(character) in BREAKS_TOPICS
        else character
        for character in text[:LONGEST_VARIABLE]
    )
    return _CUT_ESCAPE.sub("", escaped[:LONGEST_VARIABLE])


def _can_match(wanted: list[str], topic: list[str]) -> bool:
    if "#" in (*wanted[:1], *topic[:1]):
        return True
    if not wanted or not topic:
        return wanted == topic
    return _level_can_match(wanted[0], topic[0]) and _can_match(wanted[1:], topic[1:])


def _level_can_match(wanted: str, level: str) -> bool:
    if wanted == "+" or level == "+":
        return True
    if not _is_wild(wanted):
        return wanted == level if not _is_wild(level) else _fits(level, wanted)
    # No charger may be called like a literal level, so ${cid} alone never matches one.
    if not _is_wild(level):
        return wanted != "${cid}" and _fits(wanted, level)
    return True


def _is_wild(level: str) -> bool:
    return "${" in level or level in ("+", "#")


def _fits(level: str, text: str) -> bool:
    parts = _VARIABLE.split(level)[::2]
    return re.fullmatch(".+".join(map(re.escape, parts)), text) is not None
