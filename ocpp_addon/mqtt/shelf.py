"""The messages on disk that the broker has yet to take; knows no connection."""

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.mqtt.inventory import Inventory, State
from ocpp_addon.mqtt.outgoing import Outgoing
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

BYTES_LIMIT = 256 * 1024 * 1024  # of stored payloads
EVICT_AT_ONCE = 100  # rows that make room together
HELD_CHARGERS_LIMIT = 20  # chargers that wait for approval; the messages of the first go
HELD_LIMIT = 200  # messages of each; for begins and ends others go, the rest is refused
ASIDE_LIMIT = 1000  # messages kept aside; the oldest go
DELETE_AT_ONCE = 500
PROBE_SIZE = 32 * 1024  # bytes that a disk must take to be well again
SAY_EVERY = 60.0  # seconds between log lines about the same trouble

NO_ROOM = "The disk is full."

Done = Callable[[StorageError | None], None]

_INSERT = "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Shelf:
    """Keep messages in the order of their numbers, within limits."""

    TABLES: ClassVar[tuple[str, ...]] = (
        """CREATE TABLE IF NOT EXISTS outbox (
            seq INTEGER PRIMARY KEY,
            charger TEXT NOT NULL,
            topic TEXT NOT NULL,
            replay_topic TEXT,
            payload BLOB NOT NULL,
            properties TEXT NOT NULL,
            correlation BLOB,
            rank INTEGER NOT NULL,
            state TEXT NOT NULL
        )""",
    )

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit
        self._stored = Inventory()
        self._gone: set[int] = set()  # no longer wanted, but still on disk
        self._said: dict[str, float] = {}
        self.first_free = 1
        self.set_aside = 0
        self.dropped = 0
        self.refusal: str | None = None  # what the disk said last, if it refused
        self.last_aside: str | None = None

    @classmethod
    async def open(cls, database: Database, limit: int) -> Self:
        """Return the shelf with what an earlier run left behind.

        What a backup brought back may have been published long ago: it is set aside.
        """
        shelf = cls(database, limit)
        if database.restored:
            await shelf._put_all_aside()
        rows = await database.read(
            "SELECT seq, charger, rank, length(payload), state FROM outbox ORDER BY seq"
        )
        for seq, charger_id, rank, size, state in rows:
            shelf.first_free = seq + 1
            if state == "aside":
                shelf.set_aside += 1
            else:
                shelf._stored.add(seq, charger_id, rank, size, state)
        if len(shelf):
            log.info("%d messages of an earlier run wait for the broker", len(shelf))
        return shelf

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, seq: object) -> bool:
        return seq in self._stored

    @property
    def due(self) -> Mapping[str, int]:
        """How many messages of each charger wait and are not on the wire."""
        return self._stored.due

    @property
    def problems(self) -> list[str]:
        """Return what a person should know, in sentences."""
        found = []
        if self.refusal is not None:
            found.append(self.refusal)
        if len(self) >= self._limit or self._stored.size >= BYTES_LIMIT:
            found.append("The outbox is full: messages of chargers are dropped or refused.")
        if self.last_aside is not None:
            found.append(self.last_aside)
        return found

    def put(self, seq: int, message: Outgoing, state: State, done: Done) -> None:
        """Write a message; `done` learns when it is on disk, or why it is not."""
        size = len(message.payload)
        fault = self._fault(message, size, state)
        if fault is None and self._database.nearly_full:
            fault = self.refusal = NO_ROOM
        if fault is not None:
            self.dropped += 1
            self._say(fault)
            done(StorageError(fault))
            return
        self._stored.add(seq, message.charger_id, message.rank, size, state)

        def written(future: "asyncio.Future[int]") -> None:
            error = future.exception()
            if error is None:
                self.refusal = None
                done(None)
                return
            self.refusal = str(error)
            self.dropped += 1
            self._say(self.refusal)
            self._stored.remove(seq)
            done(StorageError(self.refusal))

        stored = "held" if state == "held" else "waiting"
        self._database.submit([(_INSERT, _values(seq, message, stored))]).add_done_callback(written)

    def fly(self, seq: int) -> None:
        """Note that a message is on the wire."""
        self._stored.change(seq, "flying")

    def ground(self, seq: int) -> None:
        """Note that a message came back unacknowledged."""
        self._stored.change(seq, "waiting")

    def remove(self, seq: int) -> None:
        """Let go of a message; it leaves the disk at the next `clear`."""
        if self._stored.remove(seq):
            self._gone.add(seq)

    def put_aside(self, seq: int, message: Outgoing, reason: str, done: Done) -> None:
        """Keep a message that can never be published, for people to look at."""
        self._stored.remove(seq)
        self.set_aside += 1
        self.last_aside = (
            f"A message of {printable(message.charger_id)} to {printable(message.topic)} cannot be"
            f" published and is set aside: {printable(reason, 120)}."
        )
        log.error("%s", self.last_aside)
        trim = (
            "DELETE FROM outbox WHERE state = 'aside' AND seq NOT IN (SELECT seq FROM outbox"
            " WHERE state = 'aside' ORDER BY seq DESC LIMIT ?)"
        )
        writing = self._database.submit(
            [(_INSERT, _values(seq, message, "aside")), (trim, (ASIDE_LIMIT,))]
        )

        def written(future: "asyncio.Future[int]") -> None:
            if future.exception() is not None:
                self._say(str(future.exception()))
            done(None)  # kept or not: nobody can wait for its publication

        writing.add_done_callback(written)

    async def oldest(self, count: int) -> list[tuple[int, Outgoing]]:
        """Return the oldest messages that are due. Raises StorageError."""
        found = await self._database.read(
            "SELECT seq, charger, topic, payload, properties, rank, replay_topic, correlation"
            " FROM outbox WHERE state = 'waiting' ORDER BY seq LIMIT ?",
            count + len(self._gone) + self._stored.flying,
        )
        due = (row for row in found if self._stored.is_due(row[0]))
        return [(row[0], _outgoing(row[1:])) for row in itertools.islice(due, count)]

    async def clear(self) -> None:
        """Delete what is no longer wanted. Raises StorageError; nothing is forgotten then."""
        count = DELETE_AT_ONCE
        while self._gone:
            some = list(itertools.islice(self._gone, count))
            marks = ",".join("?" * len(some))
            try:
                await self._database.write(f"DELETE FROM outbox WHERE seq IN ({marks})", *some)
            except StorageError:
                if count == 1:
                    raise
                count = 1  # on a full disk a little may go where much does not
                continue
            self._gone.difference_update(some)

    async def probe(self) -> None:
        """Find out whether a disk that refused takes something again. Raises StorageError."""
        if self._database.nearly_full:
            raise StorageError(NO_ROOM)
        probe = Outgoing("", "", bytes(PROBE_SIZE))
        await self._database.write_all(
            [(_INSERT, _values(0, probe, "aside")), ("DELETE FROM outbox WHERE seq = 0", ())]
        )
        self.refusal = None

    async def release(self, charger_id: str) -> None:
        """Make what was held of a charger due. Raises StorageError; it is held on then."""
        held = self._stored.held_of(charger_id)
        if not held:
            return
        for seq in held:  # at once, so that nothing newer overtakes it
            self._stored.change(seq, "waiting")
        try:
            await self._database.write(
                "UPDATE outbox SET state = 'waiting' WHERE charger = ? AND state = 'held'",
                charger_id,
            )
        except StorageError:
            for seq in held:
                self._stored.change(seq, "held")
            raise

    def discard(self, charger_id: str) -> None:
        """Let go of what was held of a charger."""
        for seq in self._stored.held_of(charger_id):
            self.remove(seq)

    async def _put_all_aside(self) -> None:
        waiting = "FROM outbox WHERE state != 'aside'"
        [(count,)] = await self._database.read(f"SELECT count(*) {waiting}")
        if count:
            await self._database.write("UPDATE outbox SET state = 'aside' WHERE state != 'aside'")
            self.last_aside = (
                f"{count} messages of a restored backup are set aside: they are old news, and most"
                " of them were published before."
            )
            log.warning("%s", self.last_aside)

    def _fault(self, message: Outgoing, size: int, state: State) -> str | None:
        if state == "held" and not self._make_room_to_hold(message):
            return f"Too much waits for approval: {printable(message.charger_id)} has to keep more."
        if not self._make_room(message.rank, size):
            return "The outbox is full: messages of chargers are dropped or refused."
        return None

    def _make_room_to_hold(self, message: Outgoing) -> bool:
        """Let go of what was held and counts less than the newcomer; False if that must go."""
        charger_id = message.charger_id
        if self._stored.held.get(charger_id, 0) >= HELD_LIMIT:
            lesser = self._stored.held_of(charger_id, below=message.rank)[:1]
            self._drop_held(charger_id, lesser)
            return bool(lesser)
        if charger_id not in self._stored.held and len(self._stored.held) >= HELD_CHARGERS_LIMIT:
            first = next(iter(self._stored.held))
            self._drop_held(first, self._stored.held_of(first))
        return True

    def _drop_held(self, charger_id: str, seqs: list[int]) -> None:
        for seq in seqs:
            self.remove(seq)
        self.dropped += len(seqs)
        if seqs:
            whose = printable(charger_id)
            self._say(f"Too much waits for approval: the oldest messages of {whose} are dropped.")

    def _make_room(self, rank: int, size: int) -> bool:
        """Let go of what counts least, up to the rank of the newcomer; False if it must go."""
        while len(self) >= self._limit or self._stored.size + size > BYTES_LIMIT:
            evicted = self._stored.least(rank, EVICT_AT_ONCE)
            if not evicted:
                return False
            for seq in evicted:
                self.remove(seq)
            self.dropped += len(evicted)
            self._say("The outbox is full: the messages that count least are dropped.")
        return True

    def _say(self, trouble: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._said.get(trouble[:40], 0.0):
            self._said[trouble[:40]] = now + SAY_EVERY
            log.error("%s", trouble)


def _values(seq: int, message: Outgoing, state: str) -> tuple[object, ...]:
    return (
        seq,
        message.charger_id,
        message.topic,
        message.replay_topic,
        message.payload,
        json.dumps(message.properties),
        message.correlation,
        message.rank,
        state,
    )


def _outgoing(row: Iterable[Any]) -> Outgoing:
    charger_id, topic, payload, properties, rank, replay_topic, correlation = row
    pairs = tuple((name, value) for name, value in json.loads(properties))
    return Outgoing(charger_id, topic, payload, pairs, rank, replay_topic, correlation)
