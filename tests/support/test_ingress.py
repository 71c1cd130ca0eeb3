"""The stand-in for Home Assistant's ingress keeps its rules, seen from the app behind it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.support.ingress import Ingress

PEER = "127.0.0.2"


@pytest.fixture
async def page() -> AsyncIterator[str]:
    """The URL of an app that answers with what it was asked, in two shapes."""
    app = web.Application()
    app.router.add_get("/live", echo)
    app.router.add_route("*", "/{path:.*}", mirror)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with Ingress(f"{host}:{port}", peer=PEER).serve() as url:
        yield url
    await runner.cleanup()


async def mirror(request: web.Request) -> web.Response:
    seen = {
        "path": request.rel_url.raw_path,
        "query": request.query_string,
        "body": await request.text(),
        "peer": request.remote,
        "headers": dict(request.headers),
    }
    return web.Response(
        text=json.dumps(seen),
        content_type="text/html",
        charset="utf-8",
        headers={"Set-Cookie": "a=b", "ETag": "x"},
    )


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("second",))
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def ask(url: str, **options: Any) -> tuple[aiohttp.ClientResponse, dict[str, Any]]:
    async with aiohttp.ClientSession() as browser, browser.request(**options, url=url) as answer:
        return answer, json.loads(await answer.text())


async def test_strips_the_prefix_and_names_it(page: str) -> None:
    answer, seen = await ask(page + "api/chargers?a=1", method="POST", data="text")
    assert (seen["path"], seen["query"], seen["body"]) == ("/api/chargers", "a=1", "text")
    assert seen["headers"]["X-Ingress-Path"] == URL(page).path.rstrip("/")
    assert answer.headers["Content-Type"] == "text/html", "the charset gets lost"
    assert (answer.headers["Set-Cookie"], answer.headers["ETag"]) == ("a=b", "x")


async def test_tells_who_asks_and_believes_nobody_else(page: str) -> None:
    forged = {"X-Remote-User-Name": "root", "X-Remote-User-Id": "1", "X-Ingress-Path": "/x"}
    _, seen = await ask(page, method="GET", headers={**forged, "X-Supervisor-Token": "t"})
    headers = seen["headers"]
    assert headers["X-Remote-User-Name"] == "anna"
    assert headers["X-Remote-User-Id"] == "5f2c"
    assert headers["X-Ingress-Path"] == URL(page).path.rstrip("/")
    assert headers["X-Hass-Source"] == "core.ingress"
    assert headers["X-Forwarded-For"].startswith("127.0.0.1, ")
    assert headers["X-Forwarded-Host"] == headers["Host"] == URL(page).authority
    assert headers["X-Forwarded-Proto"] == "http"
    assert "X-Supervisor-Token" not in headers
    assert seen["peer"] == PEER


async def test_decodes_the_path_on_its_way(page: str) -> None:
    _, seen = await ask(URL(page + "RDAM%20123/50%2525", encoded=True), method="GET")  # type: ignore[arg-type]
    assert seen["path"] == "/RDAM%20123/50%25"


@pytest.mark.parametrize(
    "attack", ["?x=../y", "?x=%253Cscript%253E", "?q=union+select+(", "?x=/a.//"]
)
async def test_refuses_what_looks_like_an_attack(page: str, attack: str) -> None:
    async with (
        aiohttp.ClientSession() as browser,
        browser.get(URL(page + attack, encoded=True)) as answer,
    ):
        assert answer.status == 400


async def test_says_so_when_the_app_is_away() -> None:
    async with (
        Ingress("127.0.0.1:9", peer=PEER).serve() as url,
        aiohttp.ClientSession() as browser,
        browser.get(url) as answer,
    ):
        assert answer.status == 502


async def test_passes_websockets_with_their_protocol(page: str) -> None:
    async with (
        aiohttp.ClientSession() as browser,
        browser.ws_connect(page + "live", protocols=("first", "second")) as socket,
    ):
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
