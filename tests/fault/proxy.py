"""A TCP proxy that does what bad networks do."""

import asyncio
import socket
import struct
from typing import Literal, Self

Mode = Literal["pass", "hole", "refuse"]


class Proxy:
    """Stand between clients and a port of loopback.

    `pass` hands bytes on, `hole` keeps them until it passes again, `refuse` also lets nobody in.
    `trickle` > 0 hands on one byte in that many seconds.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.accepted = 0
        self.trickle = 0.0
        self.poison: bytes | None = None  # a client that sends these bytes is reset
        self._target = target
        self._mode: Mode = "pass"
        self._ends: set[_End] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        await asyncio.sleep(0)

    @property
    def mode(self) -> Mode:
        """Return what happens to bytes now."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "pass":
            for end in list(self._ends):
                end.flush()

    def reset(self) -> None:
        """Reset every connection."""
        for end in list(self._ends):
            end.reset()

    def enter(self, end: "_End") -> bool:
        """Take a new connection in, or not."""
        self._ends.add(end)
        if self._mode == "refuse":
            end.reset()
            return False
        self.accepted += 1
        return True

    def add(self, end: "_End") -> None:
        """Take the target's end of a connection in."""
        self._ends.add(end)

    def leave(self, end: "_End") -> None:
        """Forget a connection."""
        self._ends.discard(end)

    async def connect(self, other: "_End") -> None:
        """Connect a client's end to the target."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _End(self, other), "127.0.0.1", self._target)
        except OSError:
            other.reset()


class _End(asyncio.Protocol):
    """One end of a connection through the proxy."""

    def __init__(self, proxy: Proxy, other: "_End | None" = None) -> None:
        self._proxy = proxy
        self._other = other
        self._is_client = other is None
        self._transport: asyncio.Transport
        self._kept = bytearray()
        self._dialling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._is_client:
            if self._proxy.enter(self):
                self._dialling = asyncio.create_task(self._proxy.connect(self), name="proxy")
            return
        assert self._other is not None
        self._proxy.add(self)
        self._other.join(self)

    def join(self, target: "_End") -> None:
        """Learn who is at the other side."""
        self._other = target
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._other is not None:
            if exc is None and self._proxy.mode == "pass":
                self._other.finish()
            else:
                self._other.reset()

    def data_received(self, data: bytes) -> None:
        if self._is_client and self._proxy.poison is not None and self._proxy.poison in data:
            self.reset()
            return
        self._kept += data
        self.flush()

    def flush(self) -> None:
        """Hand on what is kept, if that may be."""
        if self._other is None or not self._kept or self._proxy.mode != "pass":
            return
        if self._proxy.trickle:
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self._proxy.trickle, self._drip)
            return
        self._other.write(bytes(self._kept))
        self._kept.clear()

    def write(self, data: bytes) -> None:
        """Hand bytes out."""
        self._transport.write(data)

    def finish(self) -> None:
        """End the connection once everything is handed out."""
        self._proxy.leave(self)
        self._transport.close()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self._proxy.leave(self)
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _drip(self) -> None:
        self._timer = None
        if self._other is not None and self._kept and self._proxy.mode == "pass":
            self._other.write(bytes(self._kept[:1]))
            del self._kept[:1]
        self.flush()
