import asyncio
import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon.endpoint import credentials as module
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.passwords import PasswordRecord
from ocpp_addon.errors import StorageError

RECORD = PasswordRecord("bcrypt-sha256", "$2b$10$" + "a" * 53)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chargers.json"


def content(path: Path) -> Any:
    return json.loads(path.read_bytes())


async def test_a_missing_file_is_a_fresh_start(path: Path) -> None:
    credentials = await Credentials.load(path)
    assert (credentials.problem, credentials.ids(), path.exists()) == (None, [], False)


async def test_what_was_put_is_there_after_a_restart(path: Path) -> None:
    credentials = await Credentials.load(path)
    await credentials.put("CP1", RECORD)
    await credentials.put("RDAM 123 ä", None)
    await credentials.update_settings("CP1", {"stack_level": 3, "nothing": None})
    await credentials.update_settings("CP1", {"odd": "\ud800"})
    credentials = await Credentials.load(path)
    assert credentials.problem is None
    assert credentials.ids() == ["CP1", "RDAM 123 ä"]
    assert "CP1" in credentials and "CP2" not in credentials
    assert credentials.password("CP1") == RECORD
    assert credentials.password("RDAM 123 ä") is None
    assert [credentials.protected(id_) for id_ in ("CP1", "RDAM 123 ä", "CP2")] == [
        True,
        False,
        False,
    ]
    assert credentials.settings("CP1") == {"stack_level": 3, "odd": "\ud800"}
    assert credentials.settings("CP2") == {}


async def test_the_file_is_private_and_has_the_documented_form(path: Path) -> None:
    path.with_name("chargers.json.new").touch(0o644)  # left behind by a crash
    credentials = await Credentials.load(path)
    await credentials.put("CP1", RECORD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert content(path) == {
        "version": 1,
        "chargers": {"CP1": {"password": RECORD.to_json(), "settings": {}}},
    }
    assert os.listdir(path.parent) == ["chargers.json"]


async def test_a_new_password_keeps_the_settings(path: Path) -> None:
    credentials = await Credentials.load(path)
    await credentials.put("CP1", None)
    await credentials.update_settings("CP1", {"a": 1, "b": 2})
    await credentials.update_settings("CP1", {"a": None})
    await credentials.put("CP1", RECORD)
    assert credentials.settings("CP1") == {"b": 2}
    assert credentials.password("CP1") == RECORD


async def test_forgets(path: Path) -> None:
    credentials = await Credentials.load(path)
    await credentials.put("CP1", RECORD)
    await credentials.remove("CP1")
    await credentials.remove("unheard of")
    assert "CP1" not in credentials
    assert content(path)["chargers"] == {}
    await credentials.update_settings("CP1", {"a": 1})
    assert "CP1" not in credentials and credentials.settings("CP1") == {}


async def test_settings_handed_out_are_a_copy(path: Path) -> None:
    credentials = await Credentials.load(path)
    await credentials.put("CP1", None)
    credentials.settings("CP1")["a"] = 1
    assert credentials.settings("CP1") == {}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("cp1", "Cp1"),
        ("CP1", "Cp1"),
        ("Cp1", None),
        ("cp2", None),
        ("STRASSE", "straße"),
        ("box", None),
        ("Box", "BOX"),
    ],
)
async def test_finds_the_id_that_differs_in_case(
    path: Path, wanted: str, found: str | None
) -> None:
    credentials = await Credentials.load(path)
    for known in ("Cp1", "straße", "BOX", "Box"):
        await credentials.put(known, None)
    assert credentials.find_case_insensitive(wanted) == found


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"version": 2, "chargers": {}}',
        b'{"version": 1, "chargers": []}',
        b'{"version": 1}',
    ],
)
async def test_a_broken_file_is_set_aside(
    path: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(broken)
    credentials = await Credentials.load(path)
    assert credentials.ids() == []
    (aside,) = path.parent.iterdir()
    assert aside.name.startswith("chargers.json.broken-2")
    assert aside.read_bytes() == broken
    (line,) = caplog.records
    assert aside.name in line.getMessage()
    assert line.levelno == logging.ERROR and line.exc_info is None
    await credentials.put("CP1", RECORD)
    assert aside.read_bytes() == broken
    assert (await Credentials.load(path)).ids() == ["CP1"]


async def test_a_file_that_cannot_be_read_stops_the_start(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageError, match=r"chargers\.json cannot be read"):
        await Credentials.load(path)


SPOILT: list[Any] = [
    None,
    "text",
    {},
    {"settings": {}},
    {"password": "plain text"},
    {"password": {"scheme": "bcrypt", "hash": "$2b$10$short"}},
    {"password": {"scheme": "md5", "hash": RECORD.hash}},
    {"password": None, "settings": []},
]


@pytest.mark.parametrize("record", SPOILT)
async def test_a_bad_record_spoils_only_its_charger(
    path: Path, record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sound = {"password": RECORD.to_json(), "settings": {}, "added_later": 1}
    path.write_text(json.dumps({"version": 1, "chargers": {"BAD": record, "CP1": sound}}))
    credentials = await Credentials.load(path)
    assert credentials.problem and "BAD" in credentials.problem
    assert "plain text" not in credentials.problem + caplog.text
    assert [line.levelno for line in caplog.records] == [logging.ERROR]
    # It stays known and protected, so that nobody else gets in under its name.
    assert sorted(credentials.ids()) == ["BAD", "CP1"]
    assert "BAD" in credentials and credentials.protected("BAD")
    assert credentials.password("BAD") is None
    assert credentials.password("CP1") == RECORD
    await credentials.update_settings("CP1", {"a": 1})
    kept = content(path)["chargers"]
    assert kept["BAD"] == record
    assert kept["CP1"] == {**sound, "settings": {"a": 1}}
    await credentials.update_settings("BAD", {"a": 1})
    assert content(path)["chargers"]["BAD"] == record
    await credentials.put("BAD", RECORD)
    assert (await Credentials.load(path)).problem is None


async def test_an_impossible_id_is_reported_and_kept_but_known_to_nobody(path: Path) -> None:
    record: dict[str, Any] = {"password": None, "settings": {}}
    path.write_text(json.dumps({"version": 1, "chargers": {"a/+/#": record}}))
    credentials = await Credentials.load(path)
    assert credentials.ids() == [] and "a/+/#" not in credentials
    assert credentials.problem and "a/+/#" in credentials.problem
    await credentials.put("CP1", None)
    assert set(content(path)["chargers"]) == {"a/+/#", "CP1"}


async def test_a_write_that_its_turn_finds_out_of_date_changes_nothing(path: Path) -> None:
    credentials = await Credentials.load(path)
    await credentials.put("CP1", None)
    put = credentials.put("CP1", RECORD, {"a": 1}, still=lambda: "CP1" in credentials)
    removed, stored = await asyncio.gather(credentials.remove("CP1"), put)
    assert (removed, stored) == (None, False)
    assert "CP1" not in credentials and content(path)["chargers"] == {}
    assert await credentials.put("CP1", RECORD, {"a": 1, "b": None})
    assert credentials.settings("CP1") == {"a": 1}


async def test_a_failed_save_leaves_everything_as_it_was(path: Path) -> None:
    credentials = await Credentials.load(path)
    await credentials.put("CP1", RECORD)
    before = path.read_bytes()
    path.with_name("chargers.json.new").mkdir()  # no draft can be written
    for change in (
        credentials.put("CP1", None),
        credentials.put("CP2", RECORD),
        credentials.remove("CP1"),
        credentials.update_settings("CP1", {"a": 1}),
    ):
        with pytest.raises(StorageError, match=r"chargers\.json cannot be written"):
            await change
    assert credentials.ids() == ["CP1"]
    assert credentials.password("CP1") == RECORD
    assert credentials.settings("CP1") == {}
    assert path.read_bytes() == before


async def test_a_full_disk_leaves_no_draft_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    credentials = await Credentials.load(path)
    await credentials.put("CP1", RECORD)
    monkeypatch.setattr(module, "_fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        await credentials.put("CP2", RECORD)
    assert os.listdir(path.parent) == ["chargers.json"]
    assert (await Credentials.load(path)).ids() == ["CP1"]


async def test_saves_at_the_same_time_lose_nothing(path: Path) -> None:
    credentials = await Credentials.load(path)
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(credentials.put(f"CP{number}", RECORD))
    async with asyncio.TaskGroup() as group:
        for number in range(0, 20, 2):
            group.create_task(credentials.remove(f"CP{number}"))
            group.create_task(credentials.update_settings("CP1", {f"key{number}": number}))
    again = await Credentials.load(path)
    assert again.ids() == [f"CP{number}" for number in range(1, 20, 2)]
    assert again.settings("CP1") == {f"key{number}": number for number in range(0, 20, 2)}
