"""What goes upstream and must not get lost: acknowledged by the broker, or on disk until it is."""

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from dataclasses import dataclass
from typing import Self

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.mqtt.broker import Broker, is_refusal
from ocpp_addon.mqtt.link import IN_FLIGHT, LinkLost, PublishRefused
from ocpp_addon.mqtt.outgoing import HEARTBEAT, Outgoing
from ocpp_addon.mqtt.shelf import Shelf
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

PATIENCE = 0.15  # seconds for the broker's acknowledgement; then the message goes to disk
SWEEP = 0.05  # seconds between looks at what waits for an acknowledgement
REPLAY_AFTER = 2.0  # seconds after the broker is back: subscribers need a moment too
REPLAY_AHEAD = 100  # stored messages handed to the connection before their acknowledgements
RETRY_DISK = 1.0  # seconds until a disk that refused is asked again
SUSPECT_LOSSES = 2  # connections that a message may end, alone on the wire, before it is set aside
SUSPECT_WITHIN = 1.0  # seconds from sending a message to the loss that it may have caused
# Seconds that a connection must have lasted before, or the network is at fault.
SUSPECT_AFTER = 0.5

Safe = asyncio.Future[None]


@dataclass(slots=True)
class _Flight:
    """A message on the wire; `safe` ends by its acknowledgement or by the disk."""

    seq: int
    message: Outgoing
    since: float
    safe: Safe | None = None
    acknowledged: "asyncio.Future[int] | None" = None


class Outbox:
    """Publish in order per charger; keep on disk what the broker cannot take.

    A message is *safe* once the broker has acknowledged it or it is on disk. A charger with
    messages waiting on disk gets new ones appended there, so that none overtakes another; the
    rest is published at once, and touches the disk only if the acknowledgement takes long: its own,
    or that of an older one, as the broker acknowledges in order.
    A row leaves the disk when the broker has acknowledged its message: at least once, with the
    same `message-id` on a duplicate.
    """

    TABLES = Shelf.TABLES

    def __init__(self, broker: Broker, shelf: Shelf) -> None:
        self.shelf = shelf
        self._broker = broker
        self._seq = itertools.count(shelf.first_free)
        self._flights: dict[int, _Flight] = {}  # in the order of their departure
        self._hoping: dict[int, _Flight] = {}  # those of them that are not on disk; so ordered, too
        self._suspects: dict[int, int] = {}  # seq -> connections that it may have ended
        self._testing = False  # a suspect is alone on the wire
        self._connected_at = 0.0
        self._lost_at = 0.0
        self._replays: deque[asyncio.Future[int]] = deque()
        self._wake = asyncio.Event()
        self._gone = asyncio.Event()
        self._refused: str | None = None
        broker.on_connected.append(self._on_connected)
        broker.on_lost.append(self._on_lost)

    @classmethod
    async def open(cls, broker: Broker, database: Database, limit: int) -> Self:
        """Return the outbox with what an earlier run left behind."""
        return cls(broker, await Shelf.open(database, limit))

    def __len__(self) -> int:
        """Return how many messages are on disk and not yet published."""
        return len(self.shelf)

    @property
    def problems(self) -> list[str]:
        """Return what a person should know, in sentences."""
        return [*self.shelf.problems, *([self._refused] if self._refused else [])]

    @property
    def helpless(self) -> bool:
        """Tell whether nothing can be made safe: the broker is away and the disk refuses."""
        return not self._broker.connected and self.shelf.refusal is not None

    def post(self, message: Outgoing) -> Safe:
        """Send a message; the future ends when it is safe, or fails with StorageError."""
        loop = asyncio.get_running_loop()
        flight = _Flight(next(self._seq), message, loop.time(), _new_safe())
        assert flight.safe is not None
        waits = self._testing or message.charger_id in self.shelf.due
        if waits or not self._take_off(flight, message.topic):
            self._store(flight)
        elif flight.seq in self._flights:
            if next(iter(self._flights.values())).since <= flight.since - PATIENCE:
                self._store(flight)  # why should it fare better
            else:
                self._hoping[flight.seq] = flight
        return flight.safe

    def hold(self, message: Outgoing) -> Safe:
        """Keep a message on disk until `release`; the future ends when it is there."""
        safe = _new_safe()
        self.shelf.put(next(self._seq), message, "held", lambda error: _end(safe, error))
        self._gone.set()  # perhaps it made others go
        return safe

    async def release(self, charger_id: str) -> None:
        """Publish what was held of a charger. Raises StorageError."""
        await self.shelf.release(charger_id)
        self._wake.set()

    def discard(self, charger_id: str) -> None:
        """Drop what was held of a charger."""
        self.shelf.discard(charger_id)
        self._gone.set()

    async def run(self) -> None:
        """Watch over what is on the wire, and replay what is on disk; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep_for_ever(), name="outbox sweep")
            tasks.create_task(self._replay_for_ever(), name="outbox replay")
            tasks.create_task(self._clear_for_ever(), name="outbox clearance")
            tasks.create_task(self._probe_for_ever(), name="outbox disk")

    async def close(self, patience: float) -> None:
        """Wait for acknowledgements for `patience` seconds, and store what has none."""
        await self._all_landed(patience)
        self._on_lost()

    def _take_off(
        self, flight: _Flight, topic: str, more: tuple[tuple[str, str], ...] = ()
    ) -> bool:
        """Publish; False if there is no connection. What cannot be published is set aside."""
        message = flight.message
        try:
            flight.acknowledged = self._broker.publish(
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
        self._flights[flight.seq] = flight
        flight.acknowledged.add_done_callback(lambda future: self._landed(flight, future))
        return True

    def _landed(self, flight: _Flight, acknowledged: "asyncio.Future[int]") -> None:
        if acknowledged.cancelled() or acknowledged.exception() is not None:
            return  # the connection was lost: _on_lost has taken care of it
        self._flights.pop(flight.seq, None)
        self._hoping.pop(flight.seq, None)
        self._suspects.pop(flight.seq, None)
        if is_refusal(acknowledged.result()):
            topic = printable(flight.message.topic)
            trouble = f"The broker does not let us publish to {topic}: check its access rules."
            if self._refused is None:
                log.error("%s", trouble)
            self._refused = trouble
        _end(flight.safe, None)
        if flight.seq in self.shelf:
            self.shelf.remove(flight.seq)
            self._gone.set()

    def _store(self, flight: _Flight) -> None:
        """Bring a message to disk; it may be on the wire meanwhile."""

        def done(error: StorageError | None) -> None:
            if error is not None and flight.seq in self._flights:
                return  # it may still be acknowledged
            # A heartbeat carries nothing that could be lost: answer it all the same.
            _end(flight.safe, None if flight.message.rank == HEARTBEAT else error)

        flying = flight.seq in self._flights
        self.shelf.put(flight.seq, flight.message, "flying" if flying else "waiting", done)
        self._wake.set()
        self._gone.set()  # perhaps it made others go

    def _put_aside(self, flight: _Flight, reason: str) -> None:
        self._suspects.pop(flight.seq, None)
        self.shelf.put_aside(
            flight.seq, flight.message, reason, lambda error: _end(flight.safe, error)
        )

    def _on_connected(self) -> None:
        self._connected_at = asyncio.get_running_loop().time()
        self._refused = None
        self._wake.set()

    def _on_lost(self) -> None:
        now = self._lost_at = asyncio.get_running_loop().time()
        flights, self._flights = list(self._flights.values()), {}
        self._hoping.clear()
        # The library keeps what is more than it may send.
        for flight in flights[:IN_FLIGHT]:
            if now - flight.since < SUSPECT_WITHIN:
                self._suspects.setdefault(flight.seq, 0)
        flights.sort(key=lambda one: one.seq)
        for flight in flights:
            losses = self._suspects.get(flight.seq, 0)
            stood = flight.since - self._connected_at >= SUSPECT_AFTER
            if len(flights) == 1 and stood and flight.seq in self._suspects:
                losses = self._suspects[flight.seq] = losses + 1
            if losses >= SUSPECT_LOSSES:
                self._put_aside(flight, "the broker ends the connection each time it gets it")
                self._broker.excuse_losses()
            elif flight.seq in self.shelf:
                self.shelf.ground(flight.seq)
            else:
                self._store(flight)
        self._suspects = {seq: n for seq, n in self._suspects.items() if seq in self.shelf}
        self._wake.set()

    async def _sweep_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP)
            due = loop.time() - PATIENCE
            while self._hoping and (one := next(iter(self._hoping.values()))).since <= due:
                del self._hoping[one.seq]
                self._store(one)

    async def _replay_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self.shelf.due and self._broker.connected:
                    await asyncio.sleep(max(0.0, self._replay_from() - loop.time()))
                    if not await self._replay_some():
                        break
            except StorageError as error:
                log.debug("The outbox waits for the disk: %s", error)
                await asyncio.sleep(RETRY_DISK)
                self._wake.set()

    async def _clear_for_ever(self) -> None:
        """Delete what is published; a disk that refuses must not hold up what is left."""
        while True:
            await self._gone.wait()
            self._gone.clear()
            try:
                await self.shelf.clear()
            except StorageError as error:
                log.debug("Published messages stay on disk: %s", error)
                await asyncio.sleep(RETRY_DISK)
                self._gone.set()

    async def _probe_for_ever(self) -> None:
        """Notice that the disk is well again, though perhaps nothing needs it any more."""
        while True:
            await asyncio.sleep(RETRY_DISK)
            if self.shelf.refusal is not None:
                with contextlib.suppress(StorageError):
                    await self.shelf.probe()

    def _replay_from(self) -> float:
        # A connection that a message seems to have ended is no broker that was away.
        brief = self._connected_at - self._lost_at < REPLAY_AFTER
        hurry = brief and any(self._suspects.values())
        return self._connected_at + (SUSPECT_AFTER if hurry else REPLAY_AFTER)

    async def _replay_some(self) -> bool:
        """Publish the oldest rows; False if none is there.

        While acknowledgements are on their way, the next rows are read.
        """
        due = await self.shelf.oldest(REPLAY_AHEAD // 2)
        # What may have ended the last connection goes alone, so that it shows itself.
        first = next((index for index, (seq, _) in enumerate(due) if seq in self._suspects), None)
        if first == 0:
            self._testing = True
            try:
                await self._all_landed()
                self._replay(due[:1])
                await self._all_landed()
            finally:
                self._testing = False
        else:
            self._replay(due[:first])
            while len(self._replays) > REPLAY_AHEAD // 2:
                # The connection's keepalive bounds this: it is acknowledged or lost.
                await asyncio.wait([self._replays.popleft()])
        return bool(due)

    def _replay(self, due: list[tuple[int, Outgoing]]) -> None:
        while self._replays and self._replays[0].done():
            self._replays.popleft()
        for seq, message in due:
            flight = _Flight(seq, message, asyncio.get_running_loop().time())
            self.shelf.fly(seq)
            topic = message.replay_topic or message.topic
            if not self._take_off(flight, topic, (("replayed", "true"),)):
                self.shelf.ground(seq)
                return
            if flight.acknowledged is not None:
                self._replays.append(flight.acknowledged)

    async def _all_landed(self, patience: float | None = None) -> None:
        """Wait for what is on the wire; without patience the connection's keepalive bounds it."""
        pending = [flight.acknowledged for flight in self._flights.values() if flight.acknowledged]
        if pending:
            await asyncio.wait(pending, timeout=patience)


def _new_safe() -> Safe:
    safe: Safe = asyncio.get_running_loop().create_future()
    safe.add_done_callback(_seen)
    return safe


def _end(safe: Safe | None, error: BaseException | None) -> None:
    if safe is None or safe.done():
        return
    if error is None:
        safe.set_result(None)
    else:
        safe.set_exception(error)


def _seen(safe: Safe) -> None:
    """Look at a failure, as nobody may wait for this future."""
    if not safe.cancelled():
        safe.exception()
