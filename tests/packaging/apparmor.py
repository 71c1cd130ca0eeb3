"""The rules of apparmor.txt, to judge what a program does without a kernel that enforces them."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.packaging.files import ROOT

TEXT = (ROOT / "apparmor.txt").read_text("utf-8")
BASE = Path("/etc/apparmor.d/abstractions/base")
VARIABLES = {
    "@{PROC}": "/proc",
    "@{pid}": "{[1-9]*,self,thread-self}",
    "@{sys}": "/sys",
    "@{etc_ro}": "{/etc,/usr/etc}",
    "@{run}": "{/run,/var/run}",
    "@{multiarch}": "*-linux-gnu*",
}


def rules(name: str) -> list[str]:
    """Return the rules of one profile, without those of the profiles in it."""
    indent = re.search(rf"(?m)^( *)profile {name} ", TEXT)
    assert indent is not None
    block = TEXT[indent.start() :].partition(f"\n{indent[1]}}}\n")[0]
    inner = "  " + indent[1]
    return [
        line.strip()
        for line in block.splitlines()[1:]
        if re.match(rf"{inner}[^ #}}]", line) and not line.startswith(f"{inner}profile ")
    ]


@dataclass(frozen=True)
class Profile:
    """What is allowed: paths with permissions, and network families with types."""

    files: tuple[tuple[re.Pattern[str], str], ...]
    network: frozenset[str]

    @classmethod
    def of(cls, lines: list[str]) -> "Profile":
        """Read rules, each in a line of its own; what needs more than a path is left out."""
        files, network = [], set()
        for line in lines:
            rule = line.strip().removesuffix(",")
            if rule.startswith("network "):
                network.add(rule.removeprefix("network "))
            found = re.fullmatch(r"([/@]\S+)\s+([rwklmix]+)", rule)
            if found is not None:
                files.append((_pattern(found[1]), found[2]))
        return cls(tuple(files), frozenset(network))

    def allows(self, path: str, permission: str) -> bool:
        """Tell whether a file or folder may be used in one way: r, w, k or x."""
        return any(
            permission in permissions and (pattern.fullmatch(path) or pattern.fullmatch(f"{path}/"))
            for pattern, permissions in self.files
        )


def _pattern(glob: str) -> re.Pattern[str]:
    """Return the regular expression of a path with the wildcards of AppArmor."""
    for name, value in VARIABLES.items():
        glob = glob.replace(name, value)
    translated, depth = "", 0
    for token in re.findall(r"\*\*|\[.*?\]|.", glob):
        if token == "**":
            translated += ".*"
        elif token == "*":
            translated += "[^/]*"
        elif token == "?":
            translated += "[^/]"
        elif token.startswith("["):
            translated += token
        elif token == "{":
            depth += 1
            translated += "(?:"
        elif token == "}":
            depth -= 1
            translated += ")"
        elif token == "," and depth:
            translated += "|"
        else:
            translated += re.escape(token)
    return re.compile(translated)
