"""The room before the HTTP server: holds a connection until its request is there, and mends it.

Knows TCP, TLS and the time a request may take; what a request looks like is known to `head`. An
inner protocol, such as aiohttp's, takes over with the first whole request.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus

from ocpp_addon.endpoint import head
from ocpp_addon.endpoint.turnstile import Turnstile

HEADER_TIMEOUT = 10.0  # seconds from the first packet to the end of the request, TLS included
LINGER = 1.0  # seconds for a refused client to read the answer
TLS_SHUTDOWN = 2.0  # seconds for a TLS client to say goodbye
MAX_WAITING_PER_ADDRESS = 64
MAX_WAITING = 2048
MAX_WAITING_TLS = 256  # each takes 280 KiB
BACKLOG = 2048  # connections that the kernel keeps until they are accepted
ACCEPT_AT_ONCE = 4  # then those who are in get their turn, even when all come at once
PATIENCE = 2.0  # seconds after which a waiting connection gives its place to a new one

Refused = Callable[[str, str], None]  # address, code of `attempts`

_TLS_CODES = {
    "HTTP_REQUEST": "plain_on_tls_port",
    "HTTPS_PROXY_REQUEST": "plain_on_tls_port",
    "TLSV1_ALERT_UNKNOWN_CA": "tls_untrusted",
    "SSLV3_ALERT_BAD_CERTIFICATE": "tls_untrusted",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "tls_untrusted",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "tls_untrusted",
    "NO_SHARED_CIPHER": "tls_too_old",
    "UNSUPPORTED_PROTOCOL": "tls_too_old",
    "TLSV1_ALERT_PROTOCOL_VERSION": "tls_too_old",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "tls_too_old",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "tls_no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "tls_no_certificate",
}


class Waiting:
    """Count the connections in the lobby and bound them: `limit` in all, fewer per address.

    Whoever stalls loses to whoever comes: at a bound the connection that has waited longest is
    dropped, so that slow clients never keep a charger out. Newcomers are turned away only while
    all places are taken by fresh ones; a burst from one address (a proxy) is let in.
    """

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._lobbies: dict[Lobby, None] = {}  # in the order of arrival
        self._by_address: dict[str, dict[Lobby, None]] = {}

    def __len__(self) -> int:
        return len(self._lobbies)

    def enter(self, lobby: "Lobby") -> bool:
        """Give `lobby` a place; False when there is none."""
        neighbours = self._by_address.get(lobby.address, {})
        if len(neighbours) >= MAX_WAITING_PER_ADDRESS:
            next(iter(neighbours)).make_room()
        if len(self._lobbies) >= self._limit:
            next(iter(self._lobbies)).make_room()
            if len(self._lobbies) >= self._limit:
                return False
        self._lobbies[lobby] = None
        self._by_address.setdefault(lobby.address, {})[lobby] = None
        return True

    def leave(self, lobby: "Lobby") -> None:
        """Free the place of `lobby`, if it has one."""
        if lobby not in self._lobbies:
            return
        del self._lobbies[lobby]
        neighbours = self._by_address[lobby.address]
        del neighbours[lobby]
        if not neighbours:
            del self._by_address[lobby.address]

    def close(self) -> None:
        """Drop everybody, without a word."""
        for lobby in list(self._lobbies):
            lobby.drop()


class Lobby(asyncio.Protocol):
    """Hold one connection until its request head is complete; then hand it over, mended.

    `refused` hears of every refusal. A client that leaves early is nobody's business.
    """

    def __init__(
        self,
        inner_factory: Callable[[], asyncio.Protocol],
        refused: Refused,
        waiting: Waiting,
        turnstile: Turnstile,
        ssl_context: ssl.SSLContext | None = None,
        deadline: float = HEADER_TIMEOUT,
    ) -> None:
        self.address = ""
        self._inner_factory = inner_factory
        self._refused = refused
        self._waiting = waiting
        self._turnstile = turnstile
        self._ssl_context = ssl_context
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._arrived = self._loop.time()
        self._received = bytearray()
        self._searched = 0
        self._complete = False
        self._settled = False
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, start the clock, and TLS where it is wanted."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        if not self._waiting.enter(self):
            self._refuse("crowded")
            return
        self._timer = self._loop.call_later(self._deadline, self._expire)
        if self._ssl_context is not None:
            transport.pause_reading()
            self._handshake = self._loop.create_task(
                self._start_tls(self._ssl_context), name=f"TLS handshake with {self.address}"
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Gather the head of the request."""
        if self._settled:
            return
        # Empty lines before a request are ignored (RFC 9112 2.2).
        self._received += data if self._received else data.lstrip(b"\r\n")
        if self._handshake is None:
            self._read()

    def make_room(self) -> None:
        """Drop the connection if it has been waiting for long."""
        if not self._complete and self._loop.time() - self._arrived >= PATIENCE:
            self._expire()

    def drop(self) -> None:
        """End the connection at once."""
        self._settled = True
        self._transport.abort()
        self._leave()

    def _read(self) -> None:
        try:
            span = head.find_end(self._received, self._searched)
        except head.BadHead as error:
            self._refuse(error.code, error.status)
            return
        self._searched = len(self._received)
        if span is None:
            return
        # From here on it waits for us, and not we for it.
        self._complete = True
        self._stop_clock()
        self._transport.pause_reading()
        self._turnstile.enter(lambda: self._hand_over(*span))

    def _hand_over(self, end: int, start_of_rest: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        try:
            request, upgrades = head.mended(bytes(self._received[:end]))
        except head.BadHead as error:
            self._refuse(error.code, error.status)
            return
        rest = bytes(self._received[start_of_rest:]) if upgrades else b""
        self._settled = True
        self._leave()
        inner = self._inner_factory()
        self._transport.set_protocol(inner)
        inner.connection_made(self._transport)
        inner.data_received(request + rest)

    def _refuse(self, code: str, status: int = 0) -> None:
        if self._settled:
            return
        self._settled = True
        self._received.clear()
        self._refused(self.address, code)
        if not status:
            self.drop()
            return
        self._transport.write(_answer(HTTPStatus(status)))
        # Closing with unread data resets the connection and destroys the answer: let the client
        # read it and close first.
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # the client is gone already
                self._transport.write_eof()
        else:
            self._transport.close()
        self._stop_clock()
        self._timer = self._loop.call_later(LINGER, self._transport.abort)

    def _expire(self) -> None:
        self._refuse("header_timeout" if self._handshake is None else "tls_failed")
        self.drop()

    def _leave(self) -> None:
        self._waiting.leave(self)
        self._stop_clock()
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        reason = ""
        transport = None
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._deadline,
                ssl_shutdown_timeout=TLS_SHUTDOWN,
            )
        except ssl.SSLError as error:
            reason = error.reason or ""
        except OSError:
            pass  # time is up, or the client hung up
        self._handshake = None
        if transport is None:
            self._refuse(_TLS_CODES.get(reason, "tls_failed"))
            return
        self._transport = transport
        if not transport.is_closing():
            self._read()


async def listen(
    inner_factory: Callable[[], asyncio.Protocol],
    refused: Refused,
    host: str | None,
    port: int,
    ssl_context: ssl.SSLContext | None = None,
    waiting: Waiting | None = None,
    turnstile: Turnstile | None = None,
    deadline: float = HEADER_TIMEOUT,
) -> asyncio.Server:
    """Listen with a lobby before `inner_factory`; `host` None = all addresses.

    Closing the server leaves those in the lobby to their deadline: `waiting.close()` drops them.
    """
    if waiting is None:
        waiting = Waiting(MAX_WAITING_TLS if ssl_context else MAX_WAITING)
    line = turnstile or Turnstile()
    server = await asyncio.get_running_loop().create_server(
        lambda: Lobby(inner_factory, refused, waiting, line, ssl_context, deadline),
        host,
        port,
        backlog=ACCEPT_AT_ONCE,
    )
    for end in server.sockets:
        # asyncio takes one number for both: how many may queue, and how many it accepts in a turn.
        with socket.socket(fileno=os.dup(end.fileno())) as same:
            same.listen(BACKLOG)
    return server


def _answer(status: HTTPStatus) -> bytes:
    text = "This port is for EV chargers: OCPP-J over WebSocket.\n"
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        f"Connection: close\r\n\r\n{text}"
    ).encode()
