"""What a program did, out of the files that `strace -ff` has written, one for each thread."""

import re
from collections.abc import Iterator
from pathlib import Path

_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_PATHS = re.compile(r'"((?:[^"\\]|\\.)*)"')
_CHANGES = {"mkdir", "mkdirat", "rename", "renameat", "renameat2", "rmdir", "unlink", "unlinkat"}


def calls(folder: Path, program: str) -> Iterator[tuple[str, str]]:
    """Yield name and arguments of what the threads of `program` have done with success."""
    for file in folder.iterdir():
        lines = file.read_text(errors="replace").splitlines()
        started = [number for number, line in enumerate(lines) if line.startswith("execve(")]
        # A process begins where it becomes the program; threads of it become nothing.
        if started and f"/{program}" not in lines[started[-1]].partition(",")[0]:
            continue
        for line in lines[started[-1] + 1 if started else 0 :]:
            found = _CALL.match(line)
            if found is not None and int(found[3]) >= 0:
                yield found[1], found[2]


def uses(folder: Path, program: str, directory: str) -> Iterator[tuple[str, str]]:
    """Yield paths and how they were used (r, w, x); `directory` is where the program runs."""
    for name, arguments in calls(folder, program):
        paths = [str(Path(directory, path)) for path in _PATHS.findall(arguments)]
        if name == "openat" or name == "open":
            writes = re.search(r"O_(WRONLY|RDWR|CREAT)", arguments) is not None
            yield paths[0], "w" if writes else "r"
        elif name in _CHANGES:
            yield from ((path, "w") for path in paths)
        elif name == "execve":
            yield paths[0], "x"


def sockets(folder: Path, program: str) -> set[str]:
    """Return families and types of the sockets that were made, as AppArmor names them."""
    made = set()
    for name, arguments in calls(folder, program):
        if name in ("socket", "socketpair"):
            family, kind = arguments.split(", ")[:2]
            made.add(f"{family[3:].lower()} {kind.partition('|')[0][5:].lower()}")
    return made
