"""A bare MQTT 5 client for the judge, which must not share the gateway's library or its faults."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 0x30, 0x40, 0x90
USER_PROPERTY = 0x26
PATIENCE = 20.0

# The length of each property of a PUBLISH; None: a length goes ahead of it.
_SIZES = {0x01: 1, 0x02: 4, 0x03: None, 0x08: None, 0x09: None, 0x23: 2}


@dataclass(frozen=True, slots=True)
class Message:
    """What was published."""

    topic: str
    payload: bytes
    retain: bool
    properties: tuple[tuple[str, str], ...]

    def mark(self, name: str) -> str | None:
        """Return a user property."""
        return next((value for key, value in self.properties if key == name), None)


class Connection(asyncio.Protocol):
    """One connection to a broker; QoS 1 both ways, no keepalive."""

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_message = on_message
        self._received = bytearray()
        self._ids = itertools.cycle(range(1, 65536))
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, port: int, client_id: str, on_message: Callable[[Message], None]) -> Self:
        """Connect; the session outlives the connection. Raises OSError or TimeoutError."""
        one = cls(on_message)
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().create_connection(lambda: one, "127.0.0.1", port)
            expiry = b"\x05\x11" + (3600).to_bytes(4, "big")
            body = _text("MQTT") + b"\x05\x00\x00\x00" + expiry + _text(client_id)
            one._waiting[0] = connected = asyncio.get_running_loop().create_future()
            one._send(0x10, body)
            await connected
        return one

    async def subscribe(self, *filters: str) -> None:
        """Subscribe with QoS 1."""
        number = next(self._ids)
        done = self._expect(number)
        topics = b"".join(_text(one) + b"\x01" for one in filters)
        self._send(0x82, number.to_bytes(2, "big") + b"\0" + topics)
        async with asyncio.timeout(PATIENCE):
            await done

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False
    ) -> "asyncio.Future[None]":
        """Publish with QoS 1; the future ends with the broker's acknowledgement."""
        number = next(self._ids)
        body = _text(topic) + number.to_bytes(2, "big") + b"\0" + payload
        done = self._expect(number)
        self._send(0x32 | retain, body)
        return done

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        for done in self._waiting.values():
            if not done.done():
                done.set_exception(ConnectionResetError("the broker hung up"))
                done.exception()  # seen: perhaps nobody waits
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (packet := self._next_packet()) is not None:
            self._handle(*packet)

    def _next_packet(self) -> tuple[int, bytes] | None:
        size = shift = 0
        for at in range(1, min(5, len(self._received))):
            size |= (self._received[at] & 0x7F) << shift
            shift += 7
            if self._received[at] < 0x80:
                end = at + 1 + size
                if len(self._received) < end:
                    return None
                packet = self._received[0], bytes(self._received[at + 1 : end])
                del self._received[:end]
                return packet
        return None

    def _handle(self, kind: int, body: bytes) -> None:
        match kind & 0xF0:
            case 0x30:
                size = int.from_bytes(body[:2], "big")
                topic, at = body[2 : 2 + size].decode(), 2 + size
                if kind & 0x06:
                    self._send(PUBACK, body[at : at + 2])
                    at += 2
                properties, at = _properties(body, at)
                self._on_message(Message(topic, body[at:], bool(kind & 1), properties))
            case 0x20:
                if body[1]:
                    self._transport.abort()
                else:
                    self._done(0)
            case 0x40 | 0x90:
                self._done(int.from_bytes(body[:2], "big"))

    def _expect(self, number: int) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = done
        if self.lost.done():
            done.set_exception(ConnectionResetError("the broker hung up"))
            done.exception()
        return done

    def _done(self, number: int) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _send(self, kind: int, body: bytes) -> None:
        size = bytearray()
        rest = len(body)
        while rest > 127:
            size.append(rest & 0x7F | 0x80)
            rest >>= 7
        size.append(rest)
        self._transport.write(bytes((kind,)) + size + body)


class Listener:
    """Subscribe to everything, again and again, and hand on what comes."""

    def __init__(self, port: int, on_message: Callable[[Message], None]) -> None:
        self.subscribed = asyncio.Event()
        self._port = port
        self._on_message = on_message
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="listener")
        async with asyncio.timeout(PATIENCE):
            await self.subscribed.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        if self._connection is not None:
            self._connection.close()

    def publish(self, topic: str, payload: bytes) -> "asyncio.Future[None]":
        """Publish on the connection that there is now."""
        if self._connection is None:
            raise ConnectionResetError("the broker is away")
        return self._connection.publish(topic, payload)

    async def _run(self) -> None:
        while True:
            try:
                self._connection = await Connection.open(self._port, "judge", self._on_message)
                await self._connection.subscribe("#")
                self.subscribed.set()
                await self._connection.lost
            except (OSError, TimeoutError):
                pass
            self.subscribed.clear()
            await asyncio.sleep(0.01)


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _properties(body: bytes, at: int) -> tuple[tuple[tuple[str, str], ...], int]:
    size = shift = 0
    while True:
        byte = body[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    end = at + size
    found = []
    while at < end:
        kind = body[at]
        at += 1
        if kind == USER_PROPERTY:
            name, at = _read_text(body, at)
            value, at = _read_text(body, at)
            found.append((name, value))
            continue
        length = _SIZES[kind]
        at += 2 + int.from_bytes(body[at : at + 2], "big") if length is None else length
    return tuple(found), end


def _read_text(body: bytes, at: int) -> tuple[str, int]:
    size = int.from_bytes(body[at : at + 2], "big")
    return body[at + 2 : at + 2 + size].decode(), at + 2 + size
