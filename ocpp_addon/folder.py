"""The data folder: made where it is missing, and one gateway's at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ocpp_addon.errors import StorageError


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold `folder`, as long as this process lives at most. Raises StorageError.

    Two gateways in one folder would publish what is stored twice, overwrite each other's
    passwords and give transactions the same ids.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                f"Another gateway runs with the data folder {folder}: give each its own."
            ) from None
        except OSError:  # some network file systems lock no folders
            pass
        yield
    finally:
        os.close(handle)
