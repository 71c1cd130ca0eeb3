"""Files that are set aside, and how long people are told of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ocpp_addon.aside import STAMP, TOLD_FOR, Aside, set_aside

MEANING = {"a.json": "Its words are lost."}


async def test_what_is_set_aside_is_told_until_it_is_deleted(tmp_path: Path) -> None:
    one = Aside(tmp_path, MEANING)
    for content in ("first", "second"):
        (tmp_path / "a.json").write_text(content)
        (tmp_path / "a.json-wal").write_text("log")
        aside = set_aside(tmp_path / "a.json", "-wal", "-shm")
        assert aside.read_text() == content
        assert aside.with_name(f"{aside.name}-wal").read_text() == "log"
    await one.look()
    assert len(one.problems) == 2
    assert "Its words are lost." in one.problems[1] and aside.name in one.problems[1]
    aside.unlink()
    await one.look()
    assert len(one.problems) == 1


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (TOLD_FOR - timedelta(hours=1), True),
        (TOLD_FOR + timedelta(hours=1), False),
        (-timedelta(days=9), True),  # a clock that was wrong
    ],
)
async def test_what_is_old_is_told_no_more(tmp_path: Path, age: timedelta, told: bool) -> None:
    (tmp_path / f"a.json.broken-{datetime.now(UTC) - age:{STAMP}}").touch()
    one = Aside(tmp_path, MEANING)
    await one.look()
    assert bool(one.problems) is told


async def test_other_files_and_a_missing_folder_are_nothing_to_tell(tmp_path: Path) -> None:
    for name in ("a.json", "a.json.broken-", "b.json.broken-20260101T000000.000000Z"):
        (tmp_path / name).touch()
    for folder in (tmp_path, tmp_path / "missing"):
        one = Aside(folder, MEANING)
        await one.look()
        assert one.problems == []
