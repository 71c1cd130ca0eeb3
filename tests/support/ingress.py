"""The way from a browser to the app's page: Home Assistant's proxy and the Supervisor's at once."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

USER = {"Id": "5f2c", "Name": "anna", "Display-Name": "Anna"}
MESSAGE_LIMIT = 16 * 1024 * 1024  # of a WebSocket message

# What looks like an attack to the Supervisor, wherever it stands in a path or a query.
_ATTACK = re.compile(
    r"proc/self/environ|<.*script.*>|\.\./|\w=/[\w.]{1,2}/|union.*select.*\(|concat.*\(",
    re.IGNORECASE,
)
# Headers that neither way gets across, and what only one way loses.
_LOST = {"Content-Encoding", "Content-Length", "Transfer-Encoding"}
_LOST_OF_REQUEST = _LOST | {
    "Accept-Encoding",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "X-Hassio-Key",
    "X-Supervisor-Token",
    *(f"X-Remote-User-{name}" for name in USER),
}
_LOST_OF_ANSWER = _LOST | {"Content-Type"}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class Ingress:
    """Lead to the app that listens on `app`, `host:port`.

    `peer` is the address of this machine from which the app is asked.
    """

    def __init__(self, app: str, *, peer: str = "172.30.32.2") -> None:
        self.prefix = f"/api/hassio_ingress/{secrets.token_urlsafe(24)}"
        self._app = app
        self._peer = peer
        self._client: aiohttp.ClientSession

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Listen, and yield the URL under which a browser finds the page, `/` at its end."""
        async with AsyncExitStack() as resources:
            connector = aiohttp.TCPConnector(local_addr=(self._peer, 0), force_close=True)
            self._client = await resources.enter_async_context(
                aiohttp.ClientSession(connector=connector, auto_decompress=False)
            )
            app = web.Application(middlewares=[_filter_attacks])
            app.router.add_route("*", f"{self.prefix}/{{path:.*}}", self._forward)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            resources.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, host, port).start()
            yield f"http://{host}:{runner.addresses[0][1]}{self.prefix}/"

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        # The path arrives decoded once, the query as it was sent.
        query = f"?{request.query_string}" if request.query_string else ""
        url = f"http://{self._app}/{request.match_info['path']}{query}"
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._forward_websocket(request, url)
            async with self._client.request(
                request.method,
                url,
                headers=self._headers(request),
                data=await request.read(),
                allow_redirects=False,
                skip_auto_headers={"Accept-Encoding", "Content-Type"},
            ) as answer:
                headers = _without(answer.headers, _LOST_OF_ANSWER)
                headers["Content-Type"] = answer.content_type  # without the charset
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
        except aiohttp.ClientError:
            raise web.HTTPBadGateway from None

    async def _forward_websocket(self, request: web.Request, url: str) -> web.WebSocketResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        protocols = [name.strip() for name in offered.split(",") if name.strip()]
        browser = web.WebSocketResponse(
            autoping=False, protocols=protocols, max_msg_size=MESSAGE_LIMIT, compress=False
        )
        await browser.prepare(request)
        async with self._client.ws_connect(
            url,
            headers=self._headers(request),
            autoping=False,
            protocols=protocols,
            max_msg_size=MESSAGE_LIMIT,
        ) as app:
            ways = {
                asyncio.create_task(_pass_on(browser, app), name="browser to app"),
                asyncio.create_task(_pass_on(app, browser), name="app to browser"),
            }
            _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.wait(ways)
        return browser

    def _headers(self, request: web.Request) -> CIMultiDict[str]:
        headers = _without(request.headers, _LOST_OF_REQUEST)
        for name, value in USER.items():
            headers[f"X-Remote-User-{name}"] = value
        headers["X-Ingress-Path"] = self.prefix
        headers["X-Hass-Source"] = "core.ingress"
        client = ", ".join(filter(None, (headers.get("X-Forwarded-For"), request.remote)))
        headers["X-Forwarded-For"] = f"{client}, 172.30.32.1"
        headers.setdefault("X-Forwarded-Host", request.host)
        headers.setdefault("X-Forwarded-Proto", request.scheme)
        return headers


def _without(headers: "aiohttp.typedefs.LooseHeaders", lost: set[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in lost:
        kept.popall(name, None)
    return kept


async def _pass_on(source: _Socket, target: _Socket) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.PING:
            await target.ping(message.data)
        elif message.type is aiohttp.WSMsgType.PONG:
            await target.pong(message.data)
    await target.close()


@web.middleware
async def _filter_attacks(request: web.Request, handler: _Handler) -> web.StreamResponse:
    for text in (request.path, request.query_string):
        while (decoded := unquote(text)) != text:
            text = decoded
        if _ATTACK.search(text):
            raise web.HTTPBadRequest
    return await handler(request)
