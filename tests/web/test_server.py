"""The server itself: what it does with sockets that misbehave."""

import asyncio
import random
from contextlib import suppress

import pytest

from ocpp_addon.errors import GatewayError
from ocpp_addon.web import server as module
from ocpp_addon.web.server import WebServer
from tests.web.conftest import Browse, FakeBackend, Serve


async def raw(server: WebServer, request: bytes, size: int = -1) -> bytes:
    """Send bytes and return what comes back: all until the server closes, or the first part."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        with suppress(ConnectionError):
            writer.write(request)
            async with asyncio.timeout(30):
                return await reader.read(size)
        return b""
    finally:
        writer.close()


async def test_it_tells_its_port_and_leaves_it_quickly(backend: FakeBackend) -> None:
    async with WebServer(backend, host="127.0.0.1", port=0) as server:
        _, idle = await asyncio.open_connection("127.0.0.1", server.port)
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_taken_port_is_one_sentence(serve: Serve, backend: FakeBackend) -> None:
    taken = await serve()
    with pytest.raises(GatewayError, match=f"^web_port: 127.0.0.1:{taken.port} "):
        await WebServer(backend, host="127.0.0.1", port=taken.port).__aenter__()


@pytest.mark.parametrize(
    "request_",
    [
        b"garbage\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PUT /api/tags/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: nine\r\n\r\n",
    ],
)
async def test_malformed_requests_are_400_and_worth_no_traceback(
    serve: Serve, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw(await serve(), request_)
    assert answer.split(b" ")[1] == b"400"
    assert caplog.records == []


async def test_a_storm_of_garbage(
    serve: Serve,
    browse: Browse,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "REQUEST_TIMEOUT", 0.2)
    server = await serve()
    dice = random.Random(7)
    head = b"PUT /api/tags/a%20b HTTP/1.1\r\nHost: localhost\r\nX-Requested-With: ocpp-gateway\r\n"
    seed = head + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    for _ in range(30):
        requests = [bytearray(seed) for _ in range(10)]
        for request in requests:
            for _ in range(dice.randrange(1, 6)):
                request[dice.randrange(len(request))] = dice.randrange(256)
        answers = await asyncio.gather(*(raw(server, bytes(r), 1000) for r in requests))
        assert not any(answer[9:].startswith(b"5") for answer in answers)
    assert caplog.records == []
    monkeypatch.setattr(module, "REQUEST_TIMEOUT", 30)
    assert (await browse(server).ask("GET", "/health")).status == 200


async def test_stalled_requests_are_closed(
    serve: Serve, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_TIMEOUT", 1.0)
    server = await serve()
    assert await raw(server, b"GET /health HTTP/1.1\r\nHost: loc") == b""
    assert await raw(server, b"") == b""

    browser = browse(server)  # once a request was complete, the connection may idle
    assert (await browser.ask("GET", "/health")).status == 200
    await asyncio.sleep(1.3)
    assert (await browser.ask("GET", "/health")).status == 200


async def test_a_body_that_never_comes_is_408(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocpp_addon.web.api.BODY_TIMEOUT", 0.2)
    monkeypatch.setattr(module, "LINGERING_TIME", 0.2)
    head = (
        b"PUT /api/tags/a HTTP/1.1\r\nHost: localhost\r\nX-Requested-With: ocpp-gateway\r\n"
        b"Content-Type: application/json\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{"
    )
    answer = await raw(await serve(), head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"timeout"' in answer


async def test_connections_are_limited(
    serve: Serve, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTION_LIMIT", 3)
    server = await serve()
    crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    for reader, writer in crowd:
        writer.write(request + b"\r\n")
        async with asyncio.timeout(30):
            assert (await reader.read(1000)).startswith(b"HTTP/1.1 200 ")
    assert await raw(server, request + b"\r\n") == b""
    for reader, writer in crowd:
        writer.write(request + b"Connection: close\r\n\r\n")
        async with asyncio.timeout(30):
            assert b"HTTP/1.1 200 " in await reader.read()
        writer.close()
    assert (await browse(server).ask("GET", "/health")).status == 200


async def test_who_only_connects_keeps_nobody_out(
    serve: Serve, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTION_LIMIT", 3)
    server = await serve()
    crowd = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    assert (await browse(server).ask("GET", "/health")).status == 200
    async with asyncio.timeout(5):
        assert await crowd[0][0].read() == b""
    assert not any(reader.at_eof() for reader, _ in crowd[1:])
    for _, writer in crowd:
        writer.close()


async def test_a_stranger_holds_no_connection(serve: Serve) -> None:
    server = await serve(token="correct-horse")
    for path in ("/sign-in", "/health", "/api/tags", "/"):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        assert b"Connection: close\r\n" in await raw(server, request)
    allowed = b"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer correct-horse\r\n"
    assert b"Connection: close" not in await raw(server, allowed + b"\r\n", 1000)


async def test_those_who_left_without_a_request_are_forgotten(
    serve: Serve, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTION_LIMIT", 3)
    server = await serve()
    for _ in range(10):
        assert (await raw(server, b"garbage\r\n\r\n")).startswith(b"HTTP/1.")
    assert len(server._waiting) <= 3
    assert (await browse(server).ask("GET", "/health")).status == 200


async def test_in_home_assistant_it_listens_beyond_loopback(backend: FakeBackend) -> None:
    server = WebServer(backend, host="127.0.0.1", port=0, ingress=True)
    assert server._host == "0.0.0.0"
