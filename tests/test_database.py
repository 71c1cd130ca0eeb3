"""The one SQLite file."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ocpp_addon import database as database_module
from ocpp_addon.database import GROUP_LIMIT, Database
from ocpp_addon.errors import StorageError

TABLES = ("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, v TEXT)",)


async def test_what_was_written_is_read_again_after_a_restart(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    assert await one.write("INSERT INTO t (v) VALUES (?)", "a") == 1
    await one.write_all(
        [("INSERT INTO t (v) VALUES (?)", ("b",)), ("UPDATE t SET v = 'c' WHERE n = 1", ())]
    )
    assert await one.read("SELECT n, v FROM t ORDER BY n") == [(1, "c"), (2, "b")]
    await one.close()
    two = await Database.open(tmp_path / "d.sqlite3", TABLES)
    assert not list(tmp_path.glob("*.broken-*"))
    assert (tmp_path / "d.sqlite3").stat().st_mode & 0o777 == 0o600
    assert await two.read("SELECT count(*) FROM t") == [(2,)]
    await two.close()
    with pytest.raises(StorageError, match="closed"):
        await two.write("DELETE FROM t")
    with pytest.raises(StorageError, match="closed"):
        await two.read("SELECT 1")


async def test_writes_that_wait_together_share_commits(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    commits = 0
    commit = one._commit

    def counting(
        group: object,
    ) -> list[int | Exception]:
        nonlocal commits
        commits += 1
        return commit(group)  # type: ignore[arg-type]

    one._commit = counting  # type: ignore[method-assign]
    await asyncio.gather(*(one.write("INSERT INTO t (v) VALUES ('x')") for _ in range(1000)))
    assert commits <= 1000 / GROUP_LIMIT + 1
    assert await one.read("SELECT count(*) FROM t") == [(1000,)]
    await one.close()


async def test_one_bad_statement_takes_no_neighbour_along(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    outcomes = await asyncio.gather(
        one.write("INSERT INTO t VALUES (1, 'a')"),
        one.write("INSERT INTO t VALUES (1, 'again')"),
        one.write("INSERT INTO t VALUES (2, 'b')"),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], StorageError)
    assert [outcomes[0], outcomes[2]] == [1, 2]
    for odd in (2**64, "\ud800"):
        with pytest.raises(StorageError):
            await one.write("INSERT INTO t (v) VALUES (?)", odd)
    with pytest.raises(StorageError):
        await one.write_all([("INSERT INTO t VALUES (3, 'c')", ()), ("NONSENSE", ())])
    assert await one.read("SELECT n FROM t ORDER BY n") == [(1,), (2,)]
    with pytest.raises(StorageError):
        await one.read("NONSENSE")
    await one.close()


async def test_what_is_read_includes_what_still_waits_to_be_written(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    waiting = one.submit([("INSERT INTO t (v) VALUES ('x')", ())])
    assert await one.read("SELECT count(*) FROM t") == [(1,)]
    assert waiting.done()
    await one.close()


async def test_a_slow_disk_refuses_instead_of_growing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BACKLOG_LIMIT", 10)
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    futures = [one.submit([("INSERT INTO t (v) VALUES ('x')", ())]) for _ in range(20)]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert sum(isinstance(outcome, StorageError) for outcome in outcomes) == 10
    await one.close()


async def test_a_full_disk_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    pages = (await one.read("PRAGMA page_count"))[0][0]
    await one.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        await one.write("INSERT INTO t (v) VALUES (?)", "x" * 100_000)
    await one.read("PRAGMA max_page_count = 100000")
    await one.write("INSERT INTO t (v) VALUES (?)", "x" * 100_000)
    await one.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 50])
async def test_a_broken_file_is_set_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "d.sqlite3").write_bytes(content)
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    assert "set aside" in caplog.text
    await one.write("INSERT INTO t (v) VALUES ('x')")
    await one.close()
    aside = [file for file in tmp_path.iterdir() if ".broken-" in file.name]
    assert next(file.read_bytes() for file in aside if "-" not in file.suffix[8:]) == content


async def test_a_file_of_another_format_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = sqlite3.connect(tmp_path / "d.sqlite3")
    other.execute("PRAGMA user_version = 99")
    other.close()
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    assert "format 99" in caplog.text
    await one.close()


async def test_tables_without_a_format_are_not_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = sqlite3.connect(tmp_path / "d.sqlite3")
    other.execute("CREATE TABLE t (only TEXT)")
    other.close()
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    assert "format 0" in caplog.text
    await one.write("INSERT INTO t (v) VALUES ('x')")
    await one.close()


async def test_whatever_goes_wrong_nobody_waits_for_ever(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)

    def fail(group: object) -> list[int]:
        raise MemoryError

    one._transaction = fail  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        await asyncio.wait_for(one.write("INSERT INTO t (v) VALUES ('x')"), 5)
    await one.close()


async def test_the_log_is_emptied_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "CHECKPOINT_SIZE", 100_000)
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    for _ in range(40):
        await one.write("INSERT INTO t (v) VALUES (?)", "x" * 10_000)
    assert (tmp_path / "d.sqlite3-wal").stat().st_size < 150_000
    assert await one.read("SELECT count(*) FROM t") == [(40,)]
    await one.close()


async def test_a_reader_from_outside_holds_up_no_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "CHECKPOINT_SIZE", 50_000)
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    await one.write("INSERT INTO t (v) VALUES ('x')")
    reader = sqlite3.connect(tmp_path / "d.sqlite3")
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    async with asyncio.timeout(database_module.BUSY_TIMEOUT):
        for _ in range(20):
            await one.write("INSERT INTO t (v) VALUES (?)", "x" * 10_000)
    reader.close()
    await one.write("INSERT INTO t (v) VALUES ('y')")
    assert (tmp_path / "d.sqlite3-wal").stat().st_size < 50_000
    await one.close()


async def test_only_a_copy_looks_restored(tmp_path: Path) -> None:
    ours, copy = tmp_path / "ours", tmp_path / "copy"
    ours.mkdir()
    for _ in range(3):
        one = await Database.open(ours / "d.sqlite3", TABLES)
        assert not one.restored
        await one.adopt()
        await one.close()
    shutil.copytree(ours, copy)
    for restored in (True, False):
        one = await Database.open(copy / "d.sqlite3", TABLES)
        assert one.restored is restored
        await one.adopt()
        await one.close()


async def test_a_file_without_its_note_looks_restored(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    await one.adopt()
    await one.close()
    (tmp_path / "d.origin").unlink()
    two = await Database.open(tmp_path / "d.sqlite3", TABLES)
    assert two.restored
    await two.close()


async def test_a_truncated_file_is_set_aside_or_sound(tmp_path: Path) -> None:
    one = await Database.open(tmp_path / "d.sqlite3", TABLES)
    for _ in range(50):
        await one.write("INSERT INTO t (v) VALUES (?)", "x" * 1000)
    await one.close()
    file = tmp_path / "d.sqlite3"
    file.write_bytes(file.read_bytes()[:-6000])
    two = await Database.open(file, TABLES)
    assert list(tmp_path.glob("*.broken-*"))
    assert await two.read("SELECT count(*) FROM t") == [(0,)]
    await two.close()


async def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        await Database.open(tmp_path / "missing" / "d.sqlite3", TABLES)


def test_nothing_acknowledged_is_lost_by_sigkill(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from ocpp_addon.database import GROUP_LIMIT, Database
async def main():
    one = await Database.open(Path(sys.argv[1]), [sys.argv[2]])
    async def writer(start):
        for n in range(start, 10**9, 20):
            await one.write("INSERT INTO t VALUES (?, 'x')", n)
            print(n, flush=True)
    await asyncio.gather(*(writer(10**6 * round_ + k) for k in range(20)))
round_ = int(sys.argv[3])
asyncio.run(main())
"""
    file = tmp_path / "d.sqlite3"
    acknowledged = set()
    for number in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", program, file, TABLES[0], str(number + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(200 + 37 * number):
            acknowledged.add(int(process.stdout.readline()))
        process.kill()
        rest = process.stdout.read().splitlines()
        acknowledged.update(int(line) for line in rest[:-1])
        process.stdout.close()
        process.wait()
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    stored = {n for (n,) in connection.execute("SELECT n FROM t")}
    connection.close()
    assert acknowledged <= stored
