"""Whether a file is the one that this gateway wrote, or a copy of it: out of a backup, say."""

import os
import secrets
from pathlib import Path

ATTRIBUTE = "user.ocpp_gateway"


def mark(path: Path) -> None:
    """Let `is_copy` recognise `path` from now on. Raises OSError.

    No backup program brings back the inode number, and few bring extended attributes, which not
    every file system has; a note beside the file says what is expected of both.
    """
    token = secrets.token_hex(8)
    try:
        os.setxattr(path, ATTRIBUTE, token.encode())
    except OSError:
        token = ""
    _note(path).write_text(f"{path.stat().st_ino} {token}\n")


def is_copy(path: Path) -> bool:
    """Tell whether `path` is another file than the one that was marked last. Raises OSError."""
    try:
        inode, _, token = _note(path).read_text("ascii").strip().partition(" ")
    except (FileNotFoundError, UnicodeDecodeError):  # backups of Home Assistant leave it out
        return True
    if inode != str(path.stat().st_ino):
        return True
    try:
        return bool(token) and os.getxattr(path, ATTRIBUTE) != token.encode()
    except OSError:
        return True


def _note(path: Path) -> Path:
    return path.with_suffix(".origin")
