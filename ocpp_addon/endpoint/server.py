"""Where chargers connect: the listening sockets and the handshake."""

import asyncio
import logging
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from aiohttp import web

from ocpp_addon.endpoint import handshake, lobby
from ocpp_addon.endpoint.admission import (
    Admission,
    Admitted,
    Knock,
    Refusal,
)
from ocpp_addon.endpoint.attempts import Attempts
from ocpp_addon.endpoint.channel import Channel
from ocpp_addon.endpoint.connection import Connection, Peer
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.lines import Lines
from ocpp_addon.endpoint.liveness import Liveness
from ocpp_addon.endpoint.ports import Ports
from ocpp_addon.endpoint.roster import REMEMBERED_LIMIT, Roster
from ocpp_addon.endpoint.takeover import TakeOver
from ocpp_addon.endpoint.turnstile import Turnstile
from ocpp_addon.errors import GatewayError
from ocpp_addon.ocpp.session import Policy, Session, Validate
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

LARGEST_MESSAGE = 128 * 1024  # bytes
HANDSHAKE_TIMEOUT = 10.0  # seconds for the answer to a handshake to leave
SUBSCRIBE_PATIENCE = 2.0  # seconds that a handshake waits for the broker
STOP_PATIENCE = 1.0  # seconds in which a stop waits for what chargers have said before
TICK = 0.25  # seconds: how exact time-outs are
FROZEN_AFTER = 5.0  # seconds between ticks that tell of a host that stood still
CHARGER_LINES = 5  # lines of the log about one charger in a minute
REFUSAL_LINES = 15  # and about whoever is refused
STRANGER_LINES = 15  # and about all that wait for approval
LINES_WINDOW = 60.0


@dataclass(frozen=True)
class EndpointSettings:
    """The options of this room; intervals in seconds."""

    host: str | None
    port: int
    tls_port: int
    tls: ssl.SSLContext | None
    ping_interval: float
    heartbeat_interval: float
    trusted_proxies: tuple[handshake.Network, ...]
    policy: Policy


class Endpoint:
    """Accept chargers and serve each until its connection ends."""

    def __init__(
        self,
        settings: EndpointSettings,
        credentials: Credentials,
        admission: Admission,
        roster: Roster,
        validate: Validate,
        ports: Ports,
    ) -> None:
        self.attempts = Attempts()
        self.take_over = TakeOver(roster.connection)
        self._settings = settings
        self._credentials = credentials
        self._admission = admission
        self._roster = roster
        self._validate = validate
        self._ports = ports
        self._lines = Lines(log, CHARGER_LINES, LINES_WINDOW, REMEMBERED_LIMIT)
        self._stranger_lines = Lines(log, STRANGER_LINES, LINES_WINDOW, 1, "Strangers")
        self._refusal_lines = Lines(log, REFUSAL_LINES, LINES_WINDOW, 1)
        self._arrivals, self._farewells = Turnstile(), Turnstile()
        self._servers: list[asyncio.Server] = []
        self._waiting: list[lobby.Waiting] = []
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1024)
        # Any path at all, line breaks included: what an id may be is decided by `identity`.
        app.router.add_route("*", "/{tail:(?s:.*)}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=0.5
        )
        await self._runner.setup()
        await self._listen("port", self._settings.port, None)
        if self._settings.tls is not None:
            await self._listen("tls_port", self._settings.tls_port, self._settings.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and drop every charger, without Close frames."""
        for server in self._servers:
            server.close()
        for waiting in self._waiting:
            waiting.close()
        connections = list(self._roster.connections.values())
        for connection in connections:
            connection.abort("the gateway stops")
        await asyncio.gather(*(connection.finish(STOP_PATIENCE) for connection in connections))
        self._servers.clear()
        self._waiting.clear()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def ports(self) -> list[int]:
        """Return the port numbers that are listened on, plain first."""
        return [server.sockets[0].getsockname()[1] for server in self._servers]

    async def run(self) -> None:
        """Let time pass for every connection; until cancelled."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            frozen, last = now - last > FROZEN_AFTER, now
            self._tick(now, frozen)

    def _tick(self, now: float, frozen: bool) -> None:
        # Not in `run`, whose variable would hold the last connection of all.
        for connection in list(self._roster.connections.values()):
            if frozen:  # nobody listened meanwhile: silence proves nothing
                connection.liveness.heard(now)
            connection.tick(now)

    async def _listen(self, option: str, port: int, tls: ssl.SSLContext | None) -> None:
        assert self._runner is not None and self._runner.server is not None
        waiting = lobby.Waiting(lobby.MAX_WAITING_TLS if tls else lobby.MAX_WAITING)
        host = self._settings.host
        try:
            server = await lobby.listen(
                self._runner.server, self._refused_early, host, port, tls,
                waiting=waiting, turnstile=self._arrivals,
            )  # fmt: skip
        except OSError as error:
            raise GatewayError(
                f"{option}: {host or '*'}:{port} cannot be opened: {error.strerror or error}."
            ) from error
        self._waiting.append(waiting)
        self._servers.append(server)
        log.info("Chargers connect to port %d%s", self.ports[-1], " (TLS)" if tls else "")

    def _refused_early(self, address: str, code: str) -> None:
        self._note_attempt(address, None, code)

    def _note_attempt(
        self, address: str, charger_id: str | None, code: str, **facts: object
    ) -> None:
        attempt = self.attempts.add(datetime.now(UTC), address, charger_id, code, **facts)
        # The same failure again and again is one line, not a flood.
        if attempt.count in (1, 10, 100) or attempt.count % 1000 == 0:
            self._refusal_lines.add(
                "Refused connections",
                logging.WARNING,
                "Refused %s from %s: %s%s",
                printable(charger_id or "a connection"),
                printable(address),
                attempt.reason,
                f" ({attempt.count} times)" if attempt.count > 1 else "",
            )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        address = self._address(request)
        try:
            return await self._serve(request, address)
        except (ConnectionError, TimeoutError):  # it hung up before its handshake was answered
            return web.Response(status=400)
        except Refusal as refusal:
            self._note_attempt(address, refusal.charger_id, refusal.code, detail=str(refusal))
            return web.Response(status=refusal.status, text=f"{refusal}\n", headers=refusal.headers)

    async def _serve(self, request: web.Request, address: str) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket" or request.method != "GET":
            headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
            sentence = "This port is for chargers: a plain web request came."
            raise Refusal(426, "not_a_websocket", sentence, None, headers)
        admitted = await self._admission.decide(
            Knock(
                request.raw_path.partition("?")[0],
                address,
                tuple(request.headers.getall("Authorization", ())),
                request.headers.get("Origin"),
                lambda: request.transport is None or request.transport.is_closing(),
            )
        )
        if not admitted.pending:
            return await self._enter(request, address, admitted)
        try:
            with self._roster.entering(admitted.charger_id):
                return await self._enter(request, address, admitted)
        finally:
            if not self._roster.is_here(admitted.charger_id):
                await self._ports.left(admitted.charger_id)

    async def _enter(
        self, request: web.Request, address: str, admitted: Admitted
    ) -> web.StreamResponse:
        if request.headers.get("Sec-WebSocket-Version", "13").strip() != "13":
            headers = {"Sec-WebSocket-Version": "13"}
            sentence = "Only version 13 of the WebSocket protocol is spoken."
            raise Refusal(426, "not_a_websocket", sentence, admitted.charger_id, headers)
        choice = handshake.choose_subprotocol(request.headers.getall("Sec-WebSocket-Protocol", ()))
        websocket = web.WebSocketResponse(
            protocols=(choice.spelling,) if choice.spelling else (),
            autoping=False,
            heartbeat=None,
            compress=False,  # OCPP-J 1.6 5.1, and it costs 100 KiB a connection
            max_msg_size=LARGEST_MESSAGE + 1,
            timeout=1.0,
            writer_limit=0,  # look after each frame whether the charger reads
        )
        if choice.spelling is not None:
            # aiohttp looks at the first line of several only.
            websocket.headers["Sec-WebSocket-Protocol"] = choice.spelling
        if choice.version is None:
            return await self._dismiss(request, websocket, admitted, address, choice.offered)
        async with self.take_over.turn(admitted):
            connection = await self._open(request, websocket, choice, admitted, address)
        if connection is not None:
            await self._converse(connection)
        return websocket

    async def _open(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        choice: handshake.Choice,
        admitted: Admitted,
        address: str,
    ) -> Connection | None:
        """Complete a handshake; None when the charger is gone or may no longer come in."""
        charger_id, version = admitted.charger_id, choice.version
        assert version is not None
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            try:
                async with asyncio.timeout(SUBSCRIBE_PATIENCE):
                    await self._ports.admit(charger_id, version, admitted.pending)
            except TimeoutError:
                log.debug("%s: the broker is slow to subscribe", printable(charger_id))
            await _prepare(websocket, request)
        transport = request.transport
        if transport is None:
            return None
        pending = charger_id not in self._credentials
        forgotten = pending and not admitted.pending
        # Approved, or given a password, while it connected: it has to log in.
        locked_out = self._credentials.protected(charger_id) and not admitted.authenticated
        if forgotten or locked_out:
            transport.abort()
            return None
        settings = self._settings
        connection = Connection(
            Peer(charger_id, address, choice.offered, admitted.secret, admitted.authenticated),
            Channel(websocket, transport),
            Session(version, settings.policy, self._validate, pending=pending),
            Liveness(
                settings.ping_interval,
                self._roster.heartbeat_interval(charger_id) or settings.heartbeat_interval,
                asyncio.get_running_loop().time(),
            ),
            self._roster.history_for(charger_id),
            self._stranger_lines if pending else self._lines,
            self._ports,
            self._farewells,
        )
        self._roster.enter(connection)
        return connection

    async def _converse(self, connection: Connection) -> None:
        whom = connection.charger_id
        lines = self._stranger_lines if connection.session.pending else self._lines
        lines.add(
            whom,
            logging.INFO,
            "%s connected from %s with OCPP %s%s",
            printable(whom),
            printable(connection.peer.address),
            connection.session.version.number,
            ", waits for approval" if connection.session.pending else "",
        )
        try:
            await connection.run()
        finally:
            self._roster.leave(connection)
            text = "%s disconnected: %s"
            lines.add(whom, logging.INFO, text, printable(whom), connection.end_reason)

    async def _dismiss(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        admitted: Admitted,
        address: str,
        offered: Iterable[str],
    ) -> web.StreamResponse:
        """Complete the handshake without a sub-protocol, then close (OCPP-J 3.2)."""
        self._note_attempt(
            address, admitted.charger_id, "no_common_subprotocol", offered=", ".join(offered)
        )
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            await _prepare(websocket, request)
            await websocket.close(code=1002, message=b"no common sub-protocol", drain=False)
        return websocket

    def _address(self, request: web.Request) -> str:
        forwarded = request.headers.getall("X-Forwarded-For", ())
        trusted = self._settings.trusted_proxies
        return handshake.client_address(request.remote or "", forwarded, trusted)


async def _prepare(websocket: web.WebSocketResponse, request: web.Request) -> None:
    try:
        await websocket.prepare(request)
    except web.HTTPException as error:
        sentence = "The WebSocket handshake is incomplete."
        raise Refusal(error.status, "bad_http", sentence) from None
