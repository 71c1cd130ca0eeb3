"""One SQLite file, written by one thread in groups; knows nothing of what is in its tables."""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from ocpp_addon import origin
from ocpp_addon.aside import set_aside
from ocpp_addon.errors import StorageError

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
GROUP_LIMIT = 100  # statements in one commit: their writers all go on in one turn of the loop
BACKLOG_LIMIT = 20_000  # statements waiting for the disk; beyond it writers are refused
BUSY_TIMEOUT = 5.0  # seconds that a reader from outside (a backup) may hold the file
RESERVE = 128 * 1024  # bytes of the disk that growing tables leave, so that rows can still go
# Rarely: whoever copies the files of a running gateway must not meet a checkpoint between them.
CHECKPOINT_SIZE = 32 * 1024 * 1024  # bytes of the write-ahead log

Statement = tuple[str, tuple[object, ...]]
_Job = tuple[Sequence[Statement], "asyncio.Future[int]"]


class Database:
    """Store rows durably: what `write` returned from survives a power cut.

    WAL with full synchronisation costs one fsync per commit, so writes that wait at the same time
    share a commit: while one group is on its way to the disk, the next one gathers.

    `restored` tells that the file is a copy, such as one out of a backup, so that what it says may
    be old news.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, restored: bool) -> None:
        self.path = path
        self.restored = restored
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path, tables: Iterable[str]) -> Self:
        """Open `path`, creating file and tables; a file that is no sound database is set aside.

        Raises StorageError when not even a new file can be made.
        """
        loop = asyncio.get_running_loop()
        connection, restored = await loop.run_in_executor(None, _open, path, tuple(tables))
        return cls(path, connection, restored=restored)

    async def adopt(self) -> None:
        """Take the file for our own: once what a restored one needs is done."""

        def mark() -> None:
            if origin.is_copy(self.path):
                origin.mark(self.path)

        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, mark)
        except OSError as error:
            log.warning("At the next start %s will look restored: %s", self.path.name, error)

    async def write(self, sql: str, *parameters: object) -> int:
        """Run one statement and return its last row id once it is on disk; else StorageError."""
        return await self.submit([(sql, parameters)])

    async def write_all(self, statements: Sequence[Statement]) -> None:
        """Run `statements` in one transaction; return once it is on disk; else StorageError."""
        await self.submit(statements)

    def submit(self, statements: Sequence[Statement]) -> "asyncio.Future[int]":
        """Queue one transaction; the future gives its last row id once it is on disk."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._closed:
            done.set_exception(StorageError("The database is closed."))
        elif self._waiting >= BACKLOG_LIMIT:
            done.set_exception(StorageError("The disk is too slow: too much waits for it."))
        else:
            self._jobs.append((statements, done))
            self._waiting += len(statements)
            if self._flusher is None:
                self._flusher = asyncio.create_task(self._flush(), name="database flush")
        return done

    @property
    def nearly_full(self) -> bool:
        """Tell whether the disk has no room for more than deleting what is there."""
        return self._free() < RESERVE

    async def read(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query; what was written before is seen. Raises StorageError."""
        if self._closed:
            raise StorageError("The database is closed.")

        def query() -> list[tuple[Any, ...]]:
            return self._connection.execute(sql, parameters).fetchall()

        try:
            if self._flusher is not None:  # let what was written before go first
                await self.submit([])
            return await asyncio.get_running_loop().run_in_executor(self._thread, query)
        except sqlite3.Error as error:
            raise StorageError(f"The database cannot be read: {error}.") from error

    async def close(self) -> None:
        """Finish what is waiting and close the file."""
        while self._flusher is not None:
            await asyncio.wait({self._flusher})
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._jobs:
                group, size = [], 0
                while self._jobs and size < GROUP_LIMIT:
                    group.append(self._jobs.popleft())
                    size += len(group[-1][0])
                self._waiting -= size
                commit = loop.run_in_executor(self._thread, self._commit, [job[0] for job in group])
                for (_, done), outcome in zip(group, await asyncio.shield(commit), strict=True):
                    if done.done():
                        continue  # its writer was cancelled; the row is stored all the same
                    if isinstance(outcome, int):
                        done.set_result(outcome)
                    else:
                        text = f"The database cannot be written: {outcome}."
                        done.set_exception(StorageError(text))
        finally:
            self._flusher = None

    def _commit(self, group: Sequence[Sequence[Statement]]) -> list[int | Exception]:
        try:
            row_ids: list[int | Exception] = [*self._transaction(group)]
        except Exception as error:  # whatever it is, somebody waits for the outcome
            if _is_full(error) and self._checkpoint():  # which made room
                with contextlib.suppress(sqlite3.Error):
                    return [*self._transaction(group)]
            if len(group) == 1:
                return [error]
            # One bad statement must not take its neighbours along.
            return [self._commit([statements])[0] for statements in group]
        # A checkpoint may need as much room as the log takes.
        if self._log_size() > min(CHECKPOINT_SIZE, self._free()):
            self._checkpoint()
        return row_ids

    def _free(self) -> int:
        """Return how many bytes the disk has left."""
        try:
            disk = os.statvfs(self.path.parent)
        except OSError:
            return 0
        return disk.f_bavail * disk.f_frsize

    def _log_size(self) -> int:
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return 0

    def _checkpoint(self) -> bool:
        """Bring everything into the main file and empty the log; False if that did not work."""
        execute = self._connection.execute
        try:
            execute("PRAGMA busy_timeout = 0")  # while a backup reads, the log just grows
            busy = execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        except sqlite3.Error as error:
            log.debug("No checkpoint: %s", error)
            return False
        return not busy

    def _transaction(self, group: Sequence[Sequence[Statement]]) -> list[int]:
        execute = self._connection.execute
        row_ids = []
        execute("BEGIN IMMEDIATE")
        try:
            for statements in group:
                row_id = 0
                for sql, parameters in statements:
                    row_id = execute(sql, parameters).lastrowid or 0
                row_ids.append(row_id)
            execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled back already
                execute("ROLLBACK")
            raise
        return row_ids


def _open(path: Path, tables: tuple[str, ...]) -> tuple[sqlite3.Connection, bool]:
    """Return a connection, and whether the file is a copy."""
    try:
        restored = path.exists() and origin.is_copy(path)
        return _connect(path, tables, thorough=restored), restored
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error}.") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not _unreadable(error):
            raise StorageError(f"{path} cannot be opened: {error}.") from error
        reason = str(error)
    try:
        aside = set_aside(path, "-wal", "-shm")
        log.error("%s was broken (%s) and is set aside as %s", path.name, reason, aside.name)
        return _connect(path, tables, thorough=False), False
    except (OSError, sqlite3.DatabaseError) as error:
        raise StorageError(f"{path} cannot be created: {error}.") from error


def _unreadable(error: sqlite3.OperationalError) -> bool:
    """Tell whether the file's contents are at fault, not the disk, its rights or a lock."""
    return error.sqlite_errorname in {"SQLITE_ERROR", "SQLITE_CORRUPT", "SQLITE_NOTADB"}


def _is_full(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and error.sqlite_errorname == "SQLITE_FULL"


def _connect(path: Path, tables: tuple[str, ...], *, thorough: bool) -> sqlite3.Connection:
    if not path.exists():
        path.touch(mode=0o600)  # what is in it is nobody else's business: tags open chargers
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    execute = connection.execute
    try:
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA wal_autocheckpoint = 0")  # see CHECKPOINT_SIZE
        version = execute("PRAGMA user_version").fetchone()[0]
        found = execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != SCHEMA_VERSION and (version or found):
            raise sqlite3.DatabaseError(f"its format {version} is not ours ({SCHEMA_VERSION})")
        # A copy of a running gateway's files may be torn where the quick check does not look.
        check = "integrity_check" if thorough else "quick_check"
        sound = execute(f"PRAGMA {check}(1)").fetchone()[0]
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        execute("BEGIN IMMEDIATE")
        for table in tables:
            execute(table)
        _complete(connection, tables)
        execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _complete(connection: sqlite3.Connection, tables: tuple[str, ...]) -> None:
    """Add the columns that tables of an older file lack; what else changes needs a new version."""
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        for table in tables:
            model.execute(table)
        for (name,) in model.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            there = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            for _, column, kind, not_null, default, _ in model.execute(
                f"PRAGMA table_info({name})"
            ):
                if column not in there:
                    rule = f"NOT NULL DEFAULT {default}" if not_null else ""
                    connection.execute(f"ALTER TABLE {name} ADD COLUMN {column} {kind} {rule}")
