"""A bare WebSocket client: cheap enough for thousands, and free to misbehave."""

import asyncio
import base64
import socket
from collections.abc import Callable

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
DIAL_TIMEOUT = 30.0


class Refused(Exception):
    """Tell that the handshake was answered with something else than an upgrade."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


def masked(opcode: int, payload: bytes) -> bytes:
    """Return a frame of a client; the mask of zeros is legal and costs nothing."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


def handshake(
    path: str, *, user: str = "", password: str | None = None, subprotocol: str = "ocpp1.6"
) -> bytes:
    """Return the request of an upgrade."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: gateway",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        f"Sec-WebSocket-Protocol: {subprotocol}",
    ]
    if password is not None:
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        lines.append(f"Authorization: Basic {secret}")
    return "\r\n".join([*lines, "", ""]).encode()


class WebSocket(asyncio.Protocol):
    """One connection; `on_text` gets each message, `lost` ends with the connection."""

    def __init__(self, request: bytes, on_text: Callable[[str], None]) -> None:
        self.close_code: int | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._on_text = on_text
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = bytearray()
        self._transport: asyncio.Transport

    @classmethod
    async def dial(
        cls,
        port: int,
        request: bytes,
        on_text: Callable[[str], None],
        *,
        receive_buffer: int | None = None,
    ) -> "WebSocket":
        """Connect to a port of loopback; raises Refused, OSError or TimeoutError."""
        one = cls(request, on_text)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                loop = asyncio.get_running_loop()
                end = socket.socket()
                end.setblocking(False)
                if receive_buffer is not None:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                try:
                    await loop.sock_connect(end, ("127.0.0.1", port))
                    await loop.create_connection(lambda: one, sock=end)
                except BaseException:
                    end.close()
                    raise
                await one._opened
        except BaseException:
            one.abort()
            raise
        return one

    def send(self, text: str) -> None:
        """Send a text message."""
        self._transport.write(masked(TEXT, text.encode()))

    def send_bytes(self, frames: bytes) -> None:
        """Send whatever it is."""
        self._transport.write(frames)

    def pause(self) -> None:
        """Read nothing any more."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again, and so learn whether the connection still stands."""
        self._transport.resume_reading()

    @property
    def port(self) -> int:
        """Return our end's port."""
        return int(self._transport.get_extra_info("sockname")[1])

    def abort(self) -> None:
        """Drop the connection."""
        if hasattr(self, "_transport"):
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(ConnectionResetError("no answer to the handshake"))
            self._opened.exception()  # seen: the dialler may have given up
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._opened.done() and not self._read_head():
            return
        while self._read_frame():
            pass

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = int(self._received.split(b" ", 2)[1])
        del self._received[: end + 4]
        if status != 101:
            self._opened.set_exception(Refused(status))
            self._opened.exception()
            self.abort()
            return False
        self._opened.set_result(None)
        return True

    def _read_frame(self) -> bool:
        received = self._received
        if len(received) < 2:
            return False
        size, start = received[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(received) < start:
                return False
            size = int.from_bytes(received[2:start], "big")
        if len(received) < start + size:
            return False
        payload = bytes(received[start : start + size])
        opcode = received[0] & 0x0F
        del received[: start + size]
        if opcode == TEXT:
            self._on_text(payload.decode())
        elif opcode == PING:
            self._transport.write(masked(PONG, payload))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            self._transport.close()
        return True
