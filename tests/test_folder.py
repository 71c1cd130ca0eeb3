"""The data folder: one gateway's at a time, and what cannot be used is a sentence."""

import errno
import fcntl
from pathlib import Path

import pytest

from ocpp_addon.errors import StorageError
from ocpp_addon.folder import claimed


def test_a_folder_is_made_and_one_gateways_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there yet"
    with claimed(folder):
        assert folder.is_dir()
        with pytest.raises(StorageError, match="Another gateway"), claimed(folder):
            pass
        with claimed(tmp_path):
            pass
    with claimed(folder):
        pass


def test_what_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below", Path("/proc/nowhere")):
        with pytest.raises(StorageError, match=f"The data folder {path} cannot be used"):
            claimed(path).__enter__()


def test_a_file_system_without_locks_serves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claimed(tmp_path):
        pass
