"""Raw sockets to the port for chargers: requests and WebSocket frames exactly as a test wants."""

import asyncio
import base64
import contextlib
import os
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.support.patience import PATIENCE

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Reply:
    """What the gateway answered to a request."""

    status: int
    headers: dict[str, str]
    body: str


class Wire:
    """A connection after its handshake; answers no ping by itself."""

    def __init__(
        self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reply = reply
        self.status = reply.status
        self._reader = reader
        self._writer = writer

    async def send(self, payload: bytes | str, kind: int = TEXT, *, first: int = 0x80) -> None:
        """Send one masked frame; `first` are the bits FIN and RSV1 to 3."""
        data = payload.encode() if isinstance(payload, str) else payload
        if len(data) < 126:
            length = bytes([0x80 | len(data)])
        elif len(data) < 1 << 16:
            length = bytes([0x80 | 126]) + struct.pack("!H", len(data))
        else:
            length = bytes([0x80 | 127]) + struct.pack("!Q", len(data))
        # A mask of zeros leaves the payload as it is.
        await self.send_bytes(bytes([first | kind]) + length + bytes(4) + data)

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self._writer.drain(), PATIENCE)

    async def receive(self) -> tuple[int, bytes]:
        """Return the next frame: its kind and payload; EOFError when the connection is over."""
        try:
            async with asyncio.timeout(PATIENCE):
                first, length = await self._reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self._reader.readexactly(8))
                return first & 0x0F, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise EOFError from None

    async def expect_text(self) -> str:
        """Return the next text message."""
        while True:
            kind, payload = await self.receive()
            if kind == TEXT:
                return payload.decode()

    async def expect_close(self) -> int | None:
        """Return the code of the Close frame that ends the connection; None if none came."""
        try:
            while True:
                kind, payload = await self.receive()
                if kind == CLOSE:
                    return int.from_bytes(payload[:2], "big")
        except EOFError:
            return None


@contextlib.asynccontextmanager
async def wire(
    port: int,
    path: str = "/ocpp/CP1",
    *headers: str,
    subprotocol: str | None = "ocpp1.6",
    connection: str | None = "Connection: Upgrade",
    method: str = "GET",
    upgrade: bool = True,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Wire]:
    """Send a handshake with more header lines, and yield what comes of it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *headers]
    if upgrade:
        key = base64.b64encode(os.urandom(16)).decode()
        lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        lines += [connection] if connection else []
        lines += [f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        yield Wire(await _reply(reader), reader, writer)
    finally:
        writer.transport.abort()


async def knock(port: int, path: str = "/ocpp/CP1", *headers: str, **options: object) -> Reply:
    """Return what the gateway answers to a handshake, and hang up."""
    async with wire(port, path, *headers, **options) as one:  # type: ignore[arg-type]
        return one.reply


async def _reply(reader: asyncio.StreamReader) -> Reply:
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"{name} came twice"
            headers[name.lower()] = value.strip()
        status = int(first.split()[1])
        body = b""
        if status != 101:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(status, headers, body.decode())
