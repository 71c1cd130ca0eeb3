"""One SQLite file, written by one thread in groups; knows nothing of what is in its tables."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from ocpp_addon.errors import StorageError

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
GROUP_LIMIT = 500  # statements in one commit
BACKLOG_LIMIT = 20_000  # statements waiting for the disk; beyond it writers are refused
BUSY_TIMEOUT = 5.0  # seconds that a reader from outside (a backup) may hold the file

Statement = tuple[str, tuple[object, ...]]
_Job = tuple[Sequence[Statement], "asyncio.Future[int]"]


class Database:
    """Store rows durably: what `write` returned from survives a power cut.

    WAL with full synchronisation costs one fsync per commit, so writes that wait at the same time
    share a commit: while one group is on its way to the disk, the next one gathers.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, problem: str | None) -> None:
        self.path = path
        self.problem = problem
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._jobs: list[_Job] = []
        self._waiting = 0
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, path: Path, tables: Iterable[str]) -> Self:
        """Open `path`, creating file and tables; a file that is no sound database is set aside.

        Raises StorageError when not even a new file can be made.
        """
        loop = asyncio.get_running_loop()
        connection, problem = await loop.run_in_executor(None, _open, path, tuple(tables))
        return cls(path, connection, problem)

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
                    group.append(self._jobs.pop(0))
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
            return list(self._transaction(group))
        # Beside what the disk refuses: numbers beyond 64 bits and lone surrogates.
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            if len(group) == 1:
                return [error]
            # One bad statement must not take its neighbours along.
            return [self._commit([statements])[0] for statements in group]

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


def _open(path: Path, tables: tuple[str, ...]) -> tuple[sqlite3.Connection, str | None]:
    try:
        return _connect(path, tables), None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not _unreadable(error):
            raise StorageError(f"{path} cannot be opened: {error}.") from error
        reason = str(error)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.broken-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    problem = f"{path.name} was unusable ({reason}) and is set aside as {aside.name}."
    log.error("%s", problem)
    try:
        return _connect(path, tables), problem
    except sqlite3.DatabaseError as error:
        raise StorageError(f"{path} cannot be created: {error}.") from error


def _unreadable(error: sqlite3.OperationalError) -> bool:
    """Tell whether the file's contents are at fault, not the disk, its rights or a lock."""
    return error.sqlite_errorname in {"SQLITE_ERROR", "SQLITE_CORRUPT", "SQLITE_NOTADB"}


def _connect(path: Path, tables: tuple[str, ...]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"its format {version} is not ours ({SCHEMA_VERSION})")
        sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        for table in tables:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
