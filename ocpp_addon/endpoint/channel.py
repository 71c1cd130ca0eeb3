"""One charger's WebSocket: aiohttp's with its sharp edges taken off."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from ocpp_addon.text import printable

SEND_TIMEOUT = 10.0  # seconds that a charger may leave a frame unread; then it is cut
# Bytes that the process holds back for a charger; beyond it the next frame waits for it to read.
UNREAD_LIMIT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Pinged:
    """Tell that the charger sent a ping, which is to be answered."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ponged:
    """Tell that the charger answered a ping."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Tell that nothing more will come; `reason` in words, where there is one to tell."""

    hung_up: bool  # without a Close frame
    reason: str | None


class Channel:
    """Pass frames on, and cut a charger that does not read them.

    Of the writing methods only one may be awaited at a time.
    """

    def __init__(self, websocket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._websocket = websocket
        self._transport = transport
        self._unread = False
        transport.set_write_buffer_limits(UNREAD_LIMIT)

    async def receive(self) -> str | Pinged | Ponged | Ended:
        """Return the next frame; aiohttp handles pings only while this is awaited."""
        message = await self._websocket.receive()
        match message.type:
            case WSMsgType.TEXT:
                return str(message.data)
            case WSMsgType.BINARY:
                # Against the specification, but some chargers send text so.
                return bytes(message.data).decode("utf-8", "replace")
            case WSMsgType.PING:
                return Pinged(bytes(message.data))
            case WSMsgType.PONG:
                return Ponged()
        reason = None
        if self._unread:
            reason = "the charger does not read"
        elif message.type is WSMsgType.ERROR:
            reason = f"a WebSocket error: {printable(message.data, 120)}"
        return Ended(message.type is WSMsgType.CLOSED and not self._unread, reason)

    async def send(self, frame: bytes) -> None:
        """Send a text message."""
        await self._write(self._websocket.send_frame(frame, WSMsgType.TEXT))

    async def ping(self) -> None:
        """Send a ping."""
        await self._write(self._websocket.ping())

    async def pong(self, data: bytes) -> None:
        """Answer a ping."""
        await self._write(self._websocket.pong(data))

    async def close(self, code: int, reason: str) -> None:
        """Send a Close frame and wait a little for the other one."""
        closing = self._websocket.close(code=code, message=reason.encode()[:120], drain=False)
        await self._write(closing)

    def abort(self) -> None:
        """Drop the connection without a Close frame."""
        self._transport.abort()

    def cut(self) -> None:
        """Drop the connection to a charger that takes nothing, and what the kernel has for it."""
        end = self._transport.get_extra_info("socket")
        if end is not None:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def untie(self) -> None:
        """Free what the end of a WebSocket holds: frames that hold it, which holds the error.

        Only the garbage collector would undo such a ring, and everything stops while it looks
        for it.
        """
        error = self._websocket.exception()
        while error is not None:
            error.__traceback__ = None
            error = error.__context__

    def _give_up(self) -> None:
        self._unread = True
        self.cut()

    async def _write(self, writing: Awaitable[object]) -> None:
        """Write to the socket.

        The write itself is never cancelled: aiohttp would cancel others that wait with it.
        """
        cut = asyncio.get_running_loop().call_later(SEND_TIMEOUT, self._give_up)
        try:
            await writing
        except (ConnectionError, RuntimeError):
            pass  # the connection has ended: who receives sees it too
        finally:
            cut.cancel()
