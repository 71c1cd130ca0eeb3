"""What goes upstream and must not get lost: acknowledged by the broker, or on disk until it is."""

import asyncio
import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.mqtt.broker import Broker, is_refusal
from ocpp_addon.mqtt.link import IN_FLIGHT, LinkLost, PublishRefused
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

PATIENCE = 0.15  # seconds for the broker's acknowledgement; then the message goes to disk
SWEEP = 0.05  # seconds between looks at what waits for an acknowledgement
REPLAY_AFTER = 2.0  # seconds after the broker is back: subscribers need a moment too
BYTES_LIMIT = 256 * 1024 * 1024  # of stored payloads
EVICT_AT_ONCE = 100  # rows that make room together
SUSPECT_LOSSES = 2  # connections that a message may end, alone on the wire, before it is set aside
SUSPECT_WITHIN = 1.0  # seconds from sending a message to the loss that it may have caused
ASIDE_LIMIT = 1000  # messages kept aside; the oldest go
SAY_EVERY = 60.0  # seconds between log lines about the same trouble

HEARTBEAT, ORDINARY, TRANSACTION = range(3)  # ranks: the lowest goes first when room is short


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way upstream."""

    charger_id: str
    topic: str
    payload: bytes
    properties: tuple[tuple[str, str], ...] = ()
    rank: int = ORDINARY
    replay_topic: str | None = None
    correlation: bytes | None = None


@dataclass(slots=True)
class _Flight:
    """A message on the wire; `safe` ends by its acknowledgement or by the disk."""

    seq: int
    message: Outgoing
    since: float
    safe: "asyncio.Future[None] | None" = None
    stored: bool = False
    storable: bool = True
    acknowledged: "asyncio.Future[int] | None" = None


@dataclass(slots=True)
class _Stored:
    """What is on disk, or on its way there: charger and size by seq, for each rank."""

    ranks: tuple[dict[int, tuple[str, int]], ...] = field(default_factory=lambda: ({}, {}, {}))
    size: int = 0

    def __len__(self) -> int:
        return sum(map(len, self.ranks))

    def add(self, seq: int, rank: int, charger_id: str, size: int) -> None:
        self.ranks[rank][seq] = (charger_id, size)
        self.size += size

    def remove(self, seq: int) -> str | None:
        for rank in self.ranks:
            if seq in rank:
                charger_id, size = rank.pop(seq)
                self.size -= size
                return charger_id
        return None


class Outbox:
    """Publish in order per charger; keep on disk what the broker cannot take.

    A message is *safe* once the broker has acknowledged it or it is on disk. A charger with
    messages waiting on disk gets new ones appended there, so that none overtakes another; the
    rest is published at once, and touches the disk only if the acknowledgement takes long.
    A row leaves the disk when the broker has acknowledged its message: at least once, with the
    same `message-id` on a duplicate.
    """

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

    def __init__(self, broker: Broker, database: Database, limit: int) -> None:
        self._broker = broker
        self._database = database
        self._limit = limit
        self._seq = itertools.count(1)
        self._flights: dict[int, _Flight] = {}
        self._stored = _Stored()
        self._held: set[int] = set()  # rows of chargers that wait for approval
        self._waiting: dict[str, int] = {}  # rows of a charger that are due and not on the wire
        self._suspects: dict[int, int] = {}  # seq -> connections that it may have ended
        self._undeleted: set[int] = set()  # acknowledged, but the disk refused to let go
        self._replay_from = 0.0
        self._wake = asyncio.Event()
        self._said: dict[str, float] = {}
        self.set_aside = 0
        self.dropped = 0
        self.problem: str | None = None
        broker.on_connected.append(self._on_connected)
        broker.on_lost.append(self._on_lost)

    @classmethod
    async def open(cls, broker: Broker, database: Database, limit: int) -> Self:
        """Return the outbox with what an earlier run left behind."""
        outbox = cls(broker, database, limit)
        rows = await database.read(
            "SELECT seq, charger, rank, length(payload), state FROM outbox ORDER BY seq"
        )
        for seq, charger_id, rank, size, state in rows:
            if state == "aside":
                outbox.set_aside += 1
                continue
            outbox._stored.add(seq, rank, charger_id, size)
            if state == "waiting":
                outbox._wait(charger_id, 1)
            else:
                outbox._held.add(seq)
        outbox._seq = itertools.count(max((row[0] for row in rows), default=0) + 1)
        if outbox._stored:
            log.info("%d messages of an earlier run wait for the broker", len(outbox._stored))
        return outbox

    def __len__(self) -> int:
        """Return how many messages are on disk and not yet published."""
        return len(self._stored)

    def post(self, message: Outgoing) -> "asyncio.Future[None]":
        """Send a message; the future ends when it is safe, or fails with StorageError."""
        loop = asyncio.get_running_loop()
        seq, safe = next(self._seq), loop.create_future()
        safe.add_done_callback(_seen)
        flight = _Flight(seq, message, loop.time(), safe)
        if message.charger_id in self._waiting or not self._take_off(flight, message.topic):
            self._keep(seq, message, "waiting", safe)
        return safe

    def hold(self, message: Outgoing) -> "asyncio.Future[None]":
        """Keep a message on disk until `release`; the future ends when it is there."""
        safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        safe.add_done_callback(_seen)
        self._keep(next(self._seq), message, "held", safe)
        return safe

    async def release(self, charger_id: str) -> None:
        """Publish what was held of a charger."""
        held = await self._held_of(charger_id)
        await self._database.write(
            "UPDATE outbox SET state = 'waiting' WHERE charger = ? AND state = 'held'", charger_id
        )
        due = self._held.intersection(held)
        self._held -= due
        self._wait(charger_id, len(due))

    async def discard(self, charger_id: str) -> None:
        """Drop what was held of a charger."""
        for seq in await self._held_of(charger_id):
            self._held.discard(seq)
            self._stored.remove(seq)
            self._undeleted.add(seq)
        self._wake.set()

    async def _held_of(self, charger_id: str) -> list[int]:
        sql = "SELECT seq FROM outbox WHERE charger = ? AND state = 'held'"
        return [seq for (seq,) in await self._database.read(sql, charger_id)]

    async def run(self) -> None:
        """Watch over what is on the wire, and replay what is on disk; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep_for_ever(), name="outbox sweep")
            tasks.create_task(self._replay_for_ever(), name="outbox replay")

    async def close(self, patience: float) -> None:
        """Wait for acknowledgements for `patience` seconds, and store what has none."""
        pending = [flight.acknowledged for flight in self._flights.values() if flight.acknowledged]
        if pending:
            await asyncio.wait(pending, timeout=patience)
        self._on_lost()

    # On the wire.

    def _take_off(
        self, flight: _Flight, topic: str, more: tuple[tuple[str, str], ...] = ()
    ) -> bool:
        """Publish; False if there is no connection. What cannot be published is set aside."""
        message = flight.message
        try:
            acknowledged = self._broker.publish(
                topic,
                message.payload,
                user_properties=message.properties + more,
                correlation_data=message.correlation,
            )
        except LinkLost:
            return False
        except PublishRefused as refused:
            self._put_aside(flight, str(refused))
            return True
        flight.acknowledged = acknowledged
        self._flights[flight.seq] = flight
        acknowledged.add_done_callback(lambda future: self._landed(flight, future))
        return True

    def _landed(self, flight: _Flight, acknowledged: "asyncio.Future[int]") -> None:
        if acknowledged.cancelled() or acknowledged.exception() is not None:
            return  # the connection was lost: _on_lost has taken care of it
        self._flights.pop(flight.seq, None)
        self._suspects.pop(flight.seq, None)
        if is_refusal(acknowledged.result()):
            topic = printable(flight.message.topic)
            self._say(f"The broker does not let us publish to {topic}: check its access rules.")
        if flight.safe is not None and not flight.safe.done():
            flight.safe.set_result(None)
        if flight.stored:
            self._stored.remove(flight.seq)
            self._undeleted.add(flight.seq)
            self._wake.set()

    def _on_connected(self) -> None:
        self._replay_from = asyncio.get_running_loop().time() + REPLAY_AFTER
        self._wake.set()

    def _on_lost(self) -> None:
        now = asyncio.get_running_loop().time()
        flights, self._flights = sorted(self._flights.values(), key=lambda one: one.seq), {}
        for flight in flights:
            losses = self._suspects.setdefault(flight.seq, 0)
            if len(flights) == 1 and now - flight.since < SUSPECT_WITHIN:
                losses = self._suspects[flight.seq] = losses + 1
            if losses >= SUSPECT_LOSSES:
                self._put_aside(flight, "the broker ends the connection each time it gets it")
            elif flight.stored:
                self._wait(flight.message.charger_id, 1)
            else:
                self._keep(flight.seq, flight.message, "waiting", flight.safe)

    # On disk.

    def _keep(
        self,
        seq: int,
        message: Outgoing,
        state: str,
        safe: "asyncio.Future[None] | None",
        flight: _Flight | None = None,
    ) -> bool:
        """Write a row; `flight` if it is on the wire meanwhile, and so not waiting.

        Return whether there was room.
        """
        size = len(message.payload)
        if not self._make_room(message.rank, size):
            self.dropped += 1
            self._say("The outbox is full: new messages of chargers are refused.")
            if message.rank == HEARTBEAT:  # it carries nothing that could be lost
                _end(safe, None)
            elif flight is None:
                _end(safe, StorageError("The outbox is full."))
            return False
        self._stored.add(seq, message.rank, message.charger_id, size)
        if state == "held":
            self._held.add(seq)
        elif flight is None:
            self._wait(message.charger_id, 1)
        values = (
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
        sql = "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

        def written(future: "asyncio.Future[int]") -> None:
            error = future.exception()
            if error is None:
                _end(safe, None)
                return
            self.dropped += 1
            self._say(str(error))
            self._stored.remove(seq)
            if flight is not None and seq in self._flights:  # it may still be acknowledged
                flight.stored, flight.storable = False, False
                return
            if seq in self._held:
                self._held.remove(seq)
            else:
                self._wait(message.charger_id, -1)
            # A heartbeat carries nothing that could be lost.
            _end(safe, None if message.rank == HEARTBEAT else error)

        self._database.submit([(sql, values)]).add_done_callback(written)
        return True

    def _make_room(self, rank: int, size: int) -> bool:
        """Let go of what counts least, up to the rank of the newcomer; False if it must go."""
        while len(self._stored) >= self._limit or self._stored.size + size > BYTES_LIMIT:
            lowest = next((one for one in self._stored.ranks if one), None)
            if lowest is None or lowest is self._stored.ranks[TRANSACTION]:
                return False
            if lowest is not self._stored.ranks[HEARTBEAT] and rank == HEARTBEAT:
                return False
            idle = (seq for seq in lowest if seq not in self._flights)
            gone = list(itertools.islice(idle, EVICT_AT_ONCE))
            if not gone:
                return False
            for seq in gone:
                charger_id = self._stored.remove(seq)
                if seq in self._held:
                    self._held.remove(seq)
                elif charger_id is not None:
                    self._wait(charger_id, -1)
            self.dropped += len(gone)
            self._undeleted.update(gone)
            self._wake.set()
            self._say("The outbox is full: messages that count least are dropped.")
        return True

    def _put_aside(self, flight: _Flight, reason: str) -> None:
        message = flight.message
        self._suspects.pop(flight.seq, None)
        self._stored.remove(flight.seq)
        self.set_aside += 1
        self.problem = (
            f"A message of {printable(message.charger_id)} to {printable(message.topic)} cannot be"
            f" published and is set aside: {printable(reason, 120)}."
        )
        log.error("%s", self.problem)
        values = (
            flight.seq,
            message.charger_id,
            message.topic,
            message.replay_topic,
            message.payload,
            json.dumps(message.properties),
            message.correlation,
            message.rank,
            "aside",
        )

        def written(future: "asyncio.Future[int]") -> None:
            if future.exception() is not None:
                self._say(str(future.exception()))
            _end(flight.safe, None)

        self._database.submit(
            [
                ("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values),
                (
                    "DELETE FROM outbox WHERE state = 'aside' AND seq NOT IN (SELECT seq FROM"
                    " outbox WHERE state = 'aside' ORDER BY seq DESC LIMIT ?)",
                    (ASIDE_LIMIT,),
                ),
            ]
        ).add_done_callback(written)

    async def _delete(self, seqs: Sequence[int]) -> None:
        marks = ",".join("?" * len(seqs))
        await self._database.write(f"DELETE FROM outbox WHERE seq IN ({marks})", *seqs)

    def _wait(self, charger_id: str, change: int) -> None:
        count = self._waiting.pop(charger_id, 0) + change
        if count > 0:
            self._waiting[charger_id] = count
            self._wake.set()

    # For ever.

    async def _sweep_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP)
            due = loop.time() - PATIENCE
            late = [flight for flight in self._flights.values() if flight.since <= due]
            for flight in late:
                if flight.storable and not flight.stored:
                    flight.stored = flight.storable = self._keep(
                        flight.seq, flight.message, "waiting", flight.safe, flight
                    )

    async def _replay_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._let_go()
                while self._waiting and self._broker.connected:
                    await asyncio.sleep(max(0.0, self._replay_from - loop.time()))
                    if not await self._replay_some():
                        break
            except StorageError as error:
                self._say(str(error))
                await asyncio.sleep(1)  # the disk may recover
                self._wake.set()

    async def _replay_some(self) -> bool:
        """Publish the oldest rows and wait for their acknowledgements; False if none is there."""
        busy = {*self._flights, *self._undeleted}
        rows = await self._database.read(
            "SELECT seq, charger, topic, replay_topic, payload, properties, correlation, rank"
            " FROM outbox WHERE state = 'waiting' ORDER BY seq LIMIT ?",
            IN_FLIGHT + len(busy),
        )
        due = [row for row in rows if row[0] not in busy][:IN_FLIGHT]
        # What may have ended the last connection goes alone, so that it shows itself.
        alone = next((index for index, row in enumerate(due) if row[0] in self._suspects), None)
        if alone is not None:
            due = due[: alone or 1]
        flights = []
        for row in due:
            flight = self._flight(row)
            topic = flight.message.replay_topic or flight.message.topic
            self._wait(flight.message.charger_id, -1)
            if not self._take_off(flight, topic, (("replayed", "true"),)):
                self._wait(flight.message.charger_id, 1)
                return False
            flights.append(flight)
        # The connection's keepalive bounds this: in the end all are acknowledged or lost.
        pending = [flight.acknowledged for flight in flights if flight.acknowledged]
        if pending:
            await asyncio.wait(pending)
        await self._let_go()
        return bool(flights)

    async def _let_go(self) -> None:
        """Delete the rows of what the broker has acknowledged."""
        while self._undeleted:
            some = list(itertools.islice(self._undeleted, 500))
            await self._delete(some)
            self._undeleted.difference_update(some)

    def _flight(self, row: tuple[Any, ...]) -> _Flight:
        seq, charger_id, topic, replay_topic, payload, properties, correlation, rank = row
        message = Outgoing(
            charger_id,
            topic,
            payload,
            tuple((name, value) for name, value in json.loads(properties)),
            rank,
            replay_topic,
            correlation,
        )
        return _Flight(seq, message, asyncio.get_running_loop().time(), stored=True)

    def _say(self, problem: str) -> None:
        """Keep a problem for the health report, and log it now and then."""
        self.problem = problem
        now = asyncio.get_running_loop().time()
        if now >= self._said.get(problem[:40], 0.0):
            self._said[problem[:40]] = now + SAY_EVERY
            log.error("%s", problem)


def _end(future: "asyncio.Future[None] | None", error: BaseException | None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _seen(future: "asyncio.Future[None]") -> None:
    """Look at a failure, as nobody may wait for this future."""
    if not future.cancelled():
        future.exception()
