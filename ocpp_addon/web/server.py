"""The HTTP server: it listens, lets the guard judge, and turns every error into JSON or a page."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NoReturn, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ocpp_addon.errors import GatewayError, StorageError
from ocpp_addon.text import printable
from ocpp_addon.web.actions import Actions
from ocpp_addon.web.api import BODY_LIMIT, Api, answer
from ocpp_addon.web.backend import Backend, Refused
from ocpp_addon.web.charger_pages import ChargerPages
from ocpp_addon.web.configuration import Configurations
from ocpp_addon.web.guard import INGRESS_PEER, READS, VISITOR, Guard, is_form
from ocpp_addon.web.live import Live
from ocpp_addon.web.logins import Logins
from ocpp_addon.web.pages import Pages
from ocpp_addon.web.plots import Plots
from ocpp_addon.web.renderer import Renderer
from ocpp_addon.web.sign_in import SignIn
from ocpp_addon.web.site import Site, is_page
from ocpp_addon.web.views import views

log = logging.getLogger(__name__)
http_log = logging.getLogger(f"{__name__}.http")

INGRESS_HOST = "0.0.0.0"  # the ingress proxy is another container; the guard knows its address
REQUEST_TIMEOUT = 10.0  # seconds until a new connection has sent its first request's headers
SHUTDOWN_TIMEOUT = 1.0
KEEPALIVE_TIMEOUT = 75.0
LINGERING_TIME = 2.0  # seconds that an unwanted body is read on after its answer
CONNECTION_LIMIT = 256

_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: f"The body is larger than {BODY_LIMIT // 1024} KiB.",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebServer:
    """Serve the pages and the API while entered; `port` is the one that it got."""

    def __init__(
        self,
        backend: Backend,
        *,
        host: str,
        port: int,
        token: str | None = None,
        ingress: bool = False,
        ingress_peer: str = INGRESS_PEER,
    ) -> None:
        self.port = port
        self._host = INGRESS_HOST if ingress else host
        logins, renderer, configurations = Logins(token), Renderer(), Configurations()
        self._guard = Guard(ingress, logins, ingress_peer, host)
        self._live = Live(backend, views(renderer, backend), configurations.heed)
        self._site = Site(backend, logins, self._live, renderer)
        plots = Plots(self._site)
        self._parts = (
            Api(backend),
            Pages(self._site),
            ChargerPages(self._site, plots, configurations),
            plots,
            Actions(self._site, configurations),
            SignIn(self._site),
        )
        backend.listen(self._live)
        self._waiting: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> Self:
        http_log.addFilter(_is_ours)
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[self._told, self._guarded])
        for part in (*self._parts, self._live):
            app.add_routes(part.routes())
        app.on_response_prepare.append(_harden)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=http_log,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
            lingering_time=LINGERING_TIME,
            shutdown_timeout=SHUTDOWN_TIMEOUT,
        )
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol, self._host, self.port
            )
        except OSError as error:
            await self._runner.cleanup()
            raise GatewayError(
                f"web_port: {self._host}:{self.port} cannot be opened: {error.strerror or error}."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._live.close()
        await self._runner.cleanup()
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    async def run(self) -> NoReturn:
        """Tell viewers what changes; until cancelled."""
        await self._live.run()

    def _protocol(self) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection; aiohttp itself waits for ever for headers."""
        server = self._runner.server
        if server is None:
            return _Refusal()
        connected = set(server.connections)
        if len(connected) >= CONNECTION_LIMIT:
            # Who only connects keeps nobody out: the oldest of them makes room.
            silent = next((one for one in self._waiting if one in connected), None)
            if silent is None:
                return _Refusal()
            self._give_up(silent)
        if len(self._waiting) >= CONNECTION_LIMIT:  # most of them have left without a request
            self._give_up(next(iter(self._waiting)))
        protocol = server()
        timer = asyncio.get_running_loop().call_later(REQUEST_TIMEOUT, self._give_up, protocol)
        self._waiting[protocol] = timer
        return protocol

    def _give_up(self, protocol: web.RequestHandler) -> None:
        self._waiting.pop(protocol).cancel()
        protocol.force_close()

    @web.middleware
    async def _told(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Tell of every error, a person on a page and a program in JSON."""
        timer = self._waiting.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        response = await self._answered(request, handler)
        visitor = request.get(VISITOR)
        if visitor is None or visitor.stranger:
            response.force_close()  # a connection that idles takes the place of somebody else's
        return response

    async def _answered(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (GatewayError, web.HTTPException) as error:
            status, code, sentence = _explained(error)
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            if isinstance(error, web.HTTPException) and "Allow" in error.headers:
                headers["Allow"] = error.headers["Allow"]
        except Exception:
            log.exception("%s %s has failed", request.method, printable(request.path))
            status, code, headers = 500, "internal", {}
            sentence = "The gateway made a mistake: see its log."
        if is_page(request):
            return self._site.error(request, status, sentence)
        return answer({"error": {"code": code, "description": sentence}}, status, headers)

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        visitor = request[VISITOR] = self._guard.check(request)
        if is_form(request):  # it says itself in the log what came of it
            await self._guard.check_form(request, visitor)
            return await handler(request)
        if request.method in READS:
            return await handler(request)
        outcome = "has failed"
        try:
            response = await handler(request)
            outcome = str(response.status)
            return response
        except (GatewayError, web.HTTPException) as error:
            outcome = f"refused, {printable(error, 200)}"
            raise
        finally:
            who, what = visitor.name, printable(request.path, 200)
            log.info("%s %s by %s: %s", request.method, what, who, outcome)


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell a mistake of the gateway from a malformed request, which is worth no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class _Refusal(asyncio.Protocol):
    """Drop a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"


def _explained(error: GatewayError | web.HTTPException) -> tuple[int, str, str]:
    """Return status, code and sentence for an error."""
    match error:
        case Refused():
            return error.status, error.code, str(error)
        case web.HTTPException():
            phrase = HTTPStatus(error.status).phrase
            sentence = _SENTENCES.get(error.status, phrase)
            return error.status, phrase.lower().replace(" ", "_"), sentence
        case StorageError():
            return 503, "unavailable", str(error)
    return 409, "refused", str(error)
