import asyncio
import contextlib
import random
import shlex
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from ocpp_addon.endpoint import lobby as module
from ocpp_addon.endpoint.lobby import Waiting, listen

HANDSHAKE = (
    b"GET /ocpp/CP1 HTTP/1.1\r\n"
    b"Host: gateway\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"\r\n"
)
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3
SELF_SIGNED = shlex.split(
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2"
    " -subj /CN=gateway -addext subjectAltName=IP:127.0.0.1"
)
PATIENT = 30.0  # seconds for what is expected to happen at once


def frame(text: bytes) -> bytes:
    """Return a masked text frame, its mask all zero."""
    return bytes((0x81, 0x80 | len(text))) + bytes(4) + text


class Endpoint:
    """A lobby before a real aiohttp server, which echoes and tells the path it was asked for."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self.refusals: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.requests = 0
        self.waiting = Waiting()
        self.port = 0
        self._ssl_context = ssl_context

    @contextlib.asynccontextmanager
    async def run(self, deadline: float = PATIENT) -> AsyncIterator["Endpoint"]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        assert runner.server is not None
        server = await listen(
            runner.server,
            lambda address, code: self.refusals.put_nowait((address, code)),
            "127.0.0.1",
            0,
            ssl_context=self._ssl_context,
            waiting=self.waiting,
            deadline=deadline,
        )
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.waiting.close()
            await runner.cleanup()
            await server.wait_closed()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        answer = web.WebSocketResponse(compress=False)
        if request.path == "/secret":
            return web.Response(status=401)
        if not answer.can_prepare(request).ok:
            return web.Response(status=400, text="no websocket")
        try:
            await answer.prepare(request)
        except ConnectionError:
            return web.Response(status=400)  # gone already; an unprepared answer is an error
        with contextlib.suppress(ConnectionError):
            await answer.send_str(request.raw_path)
            async for message in answer:
                if message.type is web.WSMsgType.TEXT:
                    await answer.send_str(message.data)
        return answer

    @contextlib.asynccontextmanager
    async def client(
        self, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def says(self, sent: bytes) -> bytes:
        """Return all that comes back until the server closes."""
        async with self.client() as (reader, writer):
            writer.write(sent)
            received = b""
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(PATIENT):
                    while chunk := await reader.read(65536):
                        received += chunk
            return received

    async def refusal(self) -> str:
        async with asyncio.timeout(PATIENT):
            address, code = await self.refusals.get()
        assert address == "127.0.0.1"
        return code

    async def holds(self, number: int) -> None:
        """Wait until the lobby holds `number` connections."""
        async with asyncio.timeout(PATIENT):
            while len(self.waiting) != number:
                await asyncio.sleep(0.005)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint().run() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


async def greeting(reader: asyncio.StreamReader, path: bytes = b"/ocpp/CP1") -> None:
    """Expect the 101 and the first frame of the server."""
    async with asyncio.timeout(PATIENT):
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert ACCEPT in answer
        first = bytes((0x81, len(path))) + path
        assert await reader.readexactly(len(first)) == first


@pytest.mark.parametrize("sent", [b"POST / HTTP/1.1\r\n\r\n", b"nonsense"])
async def test_who_is_refused_may_be_gone_already(endpoint: Endpoint, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port)) as client:
        client.sendall(sent)
    assert await endpoint.refusal() in {"not_a_websocket", "bad_http"}
    async with endpoint.client() as (reader, writer):
        writer.write(HANDSHAKE)
        await greeting(reader)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (b"", b"", b"/ocpp/CP1"),
        (b"Connection: Upgrade\r\n", b"", b"/ocpp/CP1"),
        (b"Connection: Upgrade", b"Connection: keep-alive", b"/ocpp/CP1"),
        (b"Connection: Upgrade", b"Connection: close", b"/ocpp/CP1"),
        (b"Host: gateway\r\n", b"", b"/ocpp/CP1"),
        (b"Host: gateway", b"Host: ", b"/ocpp/CP1"),
        (b"HTTP/1.1", b"HTTP/1.0", b"/ocpp/CP1"),
        (b"/ocpp/CP1", b"/ocpp/RDAM 123", b"/ocpp/RDAM%20123"),
        (b"/ocpp/CP1", "/ocpp/ä".encode(), b"/ocpp/%C3%A4"),
        (b"/ocpp/CP1", b"ws://gateway:33033/ocpp/CP1", b"/ocpp/CP1"),
        (b"\r\n", b"\n", b"/ocpp/CP1"),
        (b"GET", b"\r\n\r\nGET", b"/ocpp/CP1"),
    ],
)
async def test_chargers_of_the_field_get_in(
    endpoint: Endpoint, old: bytes, new: bytes, path: bytes
) -> None:
    async with endpoint.client() as (reader, writer):
        writer.write(HANDSHAKE.replace(old, new) if old else HANDSHAKE)
        await greeting(reader, path)
    assert endpoint.refusals.empty()
    assert len(endpoint.waiting) == 0


async def test_a_head_may_come_byte_by_byte(endpoint: Endpoint) -> None:
    async with endpoint.client() as (reader, writer):
        writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY
        for byte in HANDSHAKE:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        await greeting(reader)


async def test_a_frame_right_after_the_head_is_not_lost(endpoint: Endpoint) -> None:
    async with endpoint.client() as (reader, writer):
        writer.write(HANDSHAKE + frame(b"first") + frame(b"second"))
        await greeting(reader)
        expected = b"\x81\x05first\x81\x06second"
        async with asyncio.timeout(PATIENT):
            assert await reader.readexactly(len(expected)) == expected


async def test_a_stalled_head_is_closed_at_the_deadline_and_an_open_connection_is_not() -> None:
    async with Endpoint().run(deadline=0.3) as endpoint, endpoint.client() as (reader, writer):
        writer.write(HANDSHAKE)
        await greeting(reader)
        assert await endpoint.says(HANDSHAKE[:-1]) == b""
        assert await endpoint.refusal() == "header_timeout"
        assert await endpoint.says(b"") == b""
        assert await endpoint.refusal() == "header_timeout"
        writer.write(frame(b"still here"))
        async with asyncio.timeout(PATIENT):
            assert await reader.readexactly(12) == b"\x81\x0astill here"


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET", HANDSHAKE[:-2]])
async def test_who_leaves_before_asking_is_nobodys_business(
    endpoint: Endpoint, sent: bytes
) -> None:
    async with endpoint.client() as (reader, writer):
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == b""
    async with endpoint.client() as (_, writer):
        writer.write(sent)
        await writer.drain()
    await endpoint.holds(0)
    assert endpoint.refusals.empty()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None, "tls_on_plain_port"),
        (b"hello\r\n", b"400 Bad Request", "bad_http"),
        (b"\x00\x01", b"400 Bad Request", "bad_http"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400 Bad Request", "bad_http"),
        (b"POST / HTTP/1.1\r\n\r\n<Envelope/>", b"405 Method Not Allowed", "not_a_websocket"),
        (
            b"GET /" + b"x" * 100_000,
            b"431 Request Header Fields Too Large",
            "head_too_large",
        ),
    ],
)
async def test_refuses_without_troubling_the_server(
    endpoint: Endpoint, sent: bytes, status: bytes | None, code: str
) -> None:
    answer = await endpoint.says(sent)
    assert answer.startswith(b"HTTP/1.1 " + status) if status else answer == b""
    assert await endpoint.refusal() == code
    assert endpoint.requests == 0
    await endpoint.holds(0)


async def test_a_refused_client_that_stays_is_dropped(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    async with endpoint.client() as (_, writer):
        writer.write(b"hello\r\n")
        await endpoint.holds(0)
    assert endpoint.refusals.qsize() == 1


@pytest.mark.parametrize("path", [b"/secret", b"/ocpp/CP1"])
async def test_there_is_one_request_per_connection(endpoint: Endpoint, path: bytes) -> None:
    upgrade = HANDSHAKE.replace(b"/ocpp/CP1", b"/secret")
    plain = b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    for request in (upgrade, plain):
        before = endpoint.requests
        answer = await endpoint.says(request + b"garbage\r\n\r\n" + plain)
        assert answer.count(b"HTTP/1.1 4") == 1
        assert b"connection: close" in answer.lower()
        assert endpoint.requests == before + 1


def garbage(dice: random.Random) -> bytes:
    """Return a handshake with a few bytes changed, lost, doubled or added, or no handshake."""
    if dice.random() < 0.2:
        return dice.randbytes(dice.randrange(1, 200)) + b"\r\n\r\n"
    request = bytearray(HANDSHAKE)
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(request))
        match dice.randrange(4):
            case 0:
                request[at] = dice.randrange(256)
            case 1:
                del request[at : at + dice.randrange(1, 12)]
            case 2:
                request[at:at] = request[at : at + dice.randrange(1, 40)]
            case 3:
                request[at:at] = dice.choice(
                    [b"\r\n", b"\0", b" ", b":", b"%", b"\xff", b"\r\nContent-Length: 9\r\n", b"["]
                )
    return bytes(request)


async def test_no_garbage_reaches_anybody(endpoint: Endpoint) -> None:
    dice = random.Random(6455)

    async def attack() -> None:
        async with endpoint.client() as (reader, writer):
            writer.write(garbage(dice))
            with contextlib.suppress(OSError):
                writer.write_eof()
                answer = await reader.read(4096)
                assert not answer.startswith(b"HTTP/1.1 5")

    for _ in range(30):
        async with asyncio.timeout(PATIENT), asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(attack())
    async with endpoint.client() as (reader, writer):
        writer.write(HANDSHAKE)
        await greeting(reader)
    assert endpoint.requests > 10
    assert endpoint.refusals.qsize() > 100
    assert len(endpoint.waiting) == 0


async def test_slow_clients_of_an_address_lose_to_new_ones(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_PER_ADDRESS", 3)
    async with contextlib.AsyncExitStack() as clients:

        async def stall(expected: int) -> asyncio.StreamReader:
            reader, writer = await clients.enter_async_context(endpoint.client())
            writer.write(b"GET")
            await endpoint.holds(expected)
            return reader

        first = await stall(1)
        for number in (2, 3, 4):  # fresh ones are let in: a burst is not an attack
            await stall(number)
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        reader, writer = await clients.enter_async_context(endpoint.client())
        writer.write(HANDSHAKE)
        await greeting(reader)
        with contextlib.suppress(ConnectionError):
            assert await first.read() == b""
        assert await endpoint.refusal() == "header_timeout"
        assert len(endpoint.waiting) == 3


async def test_a_full_lobby_turns_newcomers_away_only_while_all_are_fresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = Endpoint()
    endpoint.waiting = Waiting(limit=2)
    async with endpoint.run(), endpoint.client(), endpoint.client():
        assert await endpoint.says(HANDSHAKE) == b""
        assert await endpoint.refusal() == "crowded"
        assert len(endpoint.waiting) == 2
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        async with endpoint.client() as (reader, writer):
            writer.write(HANDSHAKE)
            await greeting(reader)
        assert await endpoint.refusal() == "header_timeout"


async def test_many_stalled_handshakes_do_not_hold_up_a_charger() -> None:
    async with Endpoint().run() as endpoint, contextlib.AsyncExitStack() as clients:
        for _ in range(300):
            _, writer = await clients.enter_async_context(endpoint.client())
            writer.write(b"GET /")
        async with endpoint.client() as (reader, writer):
            writer.write(HANDSHAKE)
            await greeting(reader)


async def test_closing_drops_those_who_wait(endpoint: Endpoint) -> None:
    async with endpoint.client() as (reader, writer):
        writer.write(b"GET")
        await endpoint.holds(1)
        endpoint.waiting.close()
        assert len(endpoint.waiting) == 0
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    assert endpoint.refusals.empty()


# Below: the same behind TLS.


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "fullchain.pem", folder / "privkey.pem"
    subprocess.run(
        [*SELF_SIGNED, "-out", str(cert), "-keyout", str(key)],
        check=True,
        capture_output=True,
    )
    return cert, key


@pytest.fixture
def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def client_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


@pytest.fixture
async def tls(server_context: ssl.SSLContext) -> AsyncIterator[Endpoint]:
    async with Endpoint(server_context).run() as endpoint:
        yield endpoint


async def test_tls_handshake_request_and_first_frame_at_once(
    tls: Endpoint, client_context: ssl.SSLContext
) -> None:
    async with tls.client(client_context) as (reader, writer):
        writer.write(HANDSHAKE.replace(b"Connection: Upgrade\r\n", b"") + frame(b"first"))
        await greeting(reader)
        async with asyncio.timeout(PATIENT):
            assert await reader.readexactly(7) == b"\x81\x05first"
    assert tls.refusals.empty()


async def test_tls_with_another_websocket_client(
    tls: Endpoint, client_context: ssl.SSLContext
) -> None:
    url = f"https://127.0.0.1:{tls.port}/ocpp/CP%201"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=client_context) as client,
    ):
        assert await client.receive_str(timeout=PATIENT) == "/ocpp/CP%201"
        await client.send_str("hello")
        assert await client.receive_str(timeout=PATIENT) == "hello"


async def test_tls_refusals_are_answered(tls: Endpoint, client_context: ssl.SSLContext) -> None:
    async with tls.client(client_context) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(PATIENT):
            assert (await reader.read()).startswith(b"HTTP/1.1 405 ")
    assert await tls.refusal() == "not_a_websocket"
    await tls.holds(0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (HANDSHAKE, "plain_on_tls_port"),
        (b"\x00" * 64, "tls_failed"),
        (b"\x16\x03\x01\x00\x05hello", "tls_failed"),
    ],
)
async def test_what_is_no_tls_is_refused(tls: Endpoint, sent: bytes, code: str) -> None:
    await tls.says(sent)
    assert await tls.refusal() == code
    await tls.holds(0)
    assert tls.requests == 0


async def test_who_hangs_up_during_the_tls_handshake_is_reported(tls: Endpoint) -> None:
    async with tls.client() as (_, writer):
        writer.write(b"\x16\x03\x01\x02\x00")
        await writer.drain()
    assert await tls.refusal() == "tls_failed"
    await tls.holds(0)


async def test_a_client_that_does_not_trust_us_is_reported(tls: Endpoint) -> None:
    def connect() -> None:
        context = ssl.create_default_context()
        with socket.create_connection(("127.0.0.1", tls.port), PATIENT) as raw:
            context.wrap_socket(raw, server_hostname="127.0.0.1")

    # Blocking sockets, since asyncio's clients hang up without telling why.
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.to_thread(connect)
    assert await tls.refusal() == "tls_untrusted"
    await tls.holds(0)


async def test_old_tls_is_reported(server_context: ssl.SSLContext) -> None:
    server_context.minimum_version = ssl.TLSVersion.TLSv1_3
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Endpoint(server_context).run() as tls:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with tls.client(context):
                pass
        assert await tls.refusal() == "tls_too_old"


async def test_a_missing_client_certificate_is_reported(
    server_context: ssl.SSLContext, certificate: tuple[Path, Path], client_context: ssl.SSLContext
) -> None:
    server_context.load_verify_locations(certificate[0])
    server_context.verify_mode = ssl.CERT_REQUIRED
    async with Endpoint(server_context).run() as tls:
        with contextlib.suppress(OSError):
            async with tls.client(client_context) as (reader, _):
                await reader.read()
        assert await tls.refusal() == "tls_no_certificate"


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
async def test_a_stalled_tls_handshake_is_closed_at_the_deadline(
    server_context: ssl.SSLContext, sent: bytes
) -> None:
    async with Endpoint(server_context).run(deadline=0.2) as tls:
        assert await tls.says(sent) == b""
        assert await tls.refusal() == "tls_failed"
        await tls.holds(0)
        assert tls.refusals.empty()


async def test_a_stalled_head_behind_tls_is_closed_at_the_deadline(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async with Endpoint(server_context).run(deadline=1.0) as tls:
        async with tls.client(client_context) as (reader, writer):
            writer.write(b"GET")
            with contextlib.suppress(OSError):
                async with asyncio.timeout(PATIENT):
                    assert await reader.read() == b""
        assert await tls.refusal() == "header_timeout"
        await tls.holds(0)


async def test_closing_drops_those_in_a_tls_handshake(tls: Endpoint) -> None:
    async with tls.client() as (reader, writer):
        writer.write(b"\x16")
        await tls.holds(1)
        tls.waiting.close()
        async with asyncio.timeout(PATIENT):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
    assert tls.refusals.empty()
