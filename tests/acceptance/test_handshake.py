"""What a charger may ask for, byte by byte: paths, sub-protocols, encryption; other programs."""

import asyncio
import json
import shlex
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon.endpoint import identity
from tests.support.patience import until
from tests.support.stand import basic, stand
from tests.support.wire import CLOSE, knock, wire

# Paths and ids.

USER = f"Authorization: {basic('CP1', '')}"


@pytest.mark.parametrize(
    ("path", "headers", "charger_id"),
    [
        ("/ocpp/CP1", (), "CP1"),
        ("/ocpp/CP1/", (), "CP1"),
        ("//ocpp//CP1//", (), "CP1"),
        ("/CP1", (), "CP1"),
        ("/ocpp/ocpp/CP1", (), "CP1"),
        ("/ocpp/CP1/CP1", (), "CP1"),
        ("/ocpp/CP1?token=x/y", (), "CP1"),
        ("ws://elsewhere:1234/ocpp/CP1", (), "CP1"),
        ("/ocpp/RDAM%20123", (), "RDAM 123"),
        ("/ocpp/RDAM 123", (), "RDAM 123"),
        ("/ocpp/Stra%C3%9Fe", (), "Straße"),
        ("/ocpp/充电桩", (), "充电桩"),
        ("/ocpp/%2541", (), "%41"),
        ("/ocpp/a.b:c-d_e@f", (), "a.b:c-d_e@f"),
        ("/ocpp/" + "x" * 64, (), "x" * 64),
        ("/", (USER,), "CP1"),
        ("/ocpp", (USER,), "CP1"),
        ("/ocpp/", (USER,), "CP1"),
    ],
)
async def test_paths_that_name_a_charger(
    tmp_path: Path, path: str, headers: tuple[str, ...], charger_id: str
) -> None:
    async with stand(tmp_path) as one, wire(one.port, path, *headers) as charger:
        assert charger.status == 101
        await charger.send('[2,"1","Heartbeat",{}]')
        await one.watch.expect(f"ocpp/cp/{charger_id}/Heartbeat")
        assert json.loads(await charger.expect_text())[:2] == [3, "1"]
        _, shown = await one.request("GET", "api/chargers")
        assert [each["id"] for each in shown if each["connected"]] == [charger_id]


async def test_paths_that_name_nobody(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        for path, code in [
            ("/", "bad_path"),
            ("/ocpp", "bad_path"),
            ("/ocpp/", "bad_path"),
            ("/ocpp/a/b", "bad_path"),
            ("/OCPP/CP1", "bad_path"),
            ("/ocpp/CP%zz", "bad_path"),
            ("/ocpp/CP%", "bad_path"),
            ("/ocpp/CP%FF", "bad_path"),
            ("/ocpp/a%2Fb", "bad_id"),
            ("/ocpp/a%2bb", "bad_id"),
            ("/ocpp/a+b", "bad_id"),
            ("/ocpp/%23", "bad_id"),
            ("/ocpp/CP%00", "bad_id"),
            ("/ocpp/CP%0A1", "bad_id"),
            ("/ocpp/CP%EF%BF%BF", "bad_id"),
            ("/ocpp/CP%E2%80%AE1", "bad_id"),
            ("/ocpp/%20", "bad_id"),
            ("/ocpp/..", "bad_id"),
            ("/ocpp/$SYS", "bad_id"),
            ("/ocpp/" + "x" * 65, "bad_id"),
            *((f"/ocpp/{word}", "reserved_id") for word in sorted(identity.RESERVED - {"ocpp"})),
        ]:
            reply = await knock(one.port, path)
            assert reply.status == 400, path
            assert reply.body.endswith(".\n") and reply.body.count("\n") == 1, path
            assert (await one.attempts())[0]["code"] == code, path
        assert not one.gateway.roster.connections


async def test_words_of_the_topics_are_no_ids(tmp_path: Path) -> None:
    topics = {"upstream": "garage/from/${cid}/${action}", "downstream": ["garage/to/${cid}"]}
    async with stand(tmp_path, topics=topics) as one:
        for word in ("garage", "from", "to"):
            assert (await knock(one.port, f"/ocpp/{word}")).status == 400
        assert (await knock(one.port, "/ocpp/To")).status == 101


# The request itself.


async def test_what_is_no_websocket(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        reply = await knock(one.port, upgrade=False)
        assert reply.status == 426
        assert reply.headers["upgrade"] == "websocket"
        assert (await knock(one.port, method="POST", upgrade=False)).status == 405
        old = await knock(one.port, "/ocpp/CP1", "Sec-WebSocket-Version: 8")
        assert old.status in (400, 426)


async def test_a_missing_or_odd_connection_header_does_no_harm(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        for connection in (None, "Connection: keep-alive", "Connection: upgrade, keep-alive"):
            async with wire(one.port, connection=connection) as charger:
                assert charger.status == 101
                await charger.send('[2,"1","Heartbeat",{}]')
                assert json.loads(await charger.expect_text())[:2] == [3, "1"]
            await one.empty()


async def test_a_missing_version_of_the_protocol_does_no_harm(tmp_path: Path) -> None:
    lines = ("Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    async with (
        stand(tmp_path) as one,
        wire(one.port, "/ocpp/CP1", *lines, upgrade=False) as charger,
    ):
        assert charger.status == 101
        await charger.send('[2,"1","Heartbeat",{}]')
        assert json.loads(await charger.expect_text())[:2] == [3, "1"]


async def test_web_pages_may_not_connect(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        for origin in ("http://evil.example", "https://127.0.0.1", "null"):
            assert (await knock(one.port, "/ocpp/CP1", f"Origin: {origin}")).status == 403
        assert (await one.attempts())[0]["code"] == "browser_origin"
        # Arduino's library for WebSockets, and the one in Grizzl-E.
        for origin in ("file://", "https://github.com/gilmaimon/TinyWebsockets"):
            assert (await knock(one.port, "/ocpp/CP1", f"Origin: {origin}")).status == 101
            await one.empty()


async def test_compression_is_not_negotiated(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        reply = await knock(one.port, "/ocpp/CP1", "Sec-WebSocket-Extensions: permessage-deflate")
        assert reply.status == 101
        assert "sec-websocket-extensions" not in reply.headers


async def test_the_address_behind_a_trusted_proxy(tmp_path: Path) -> None:
    forwarded = "X-Forwarded-For: 100.100.100.100, 99.99.99.99"

    async def address(**options: Any) -> object:
        async with stand(tmp_path, **options) as one, wire(one.port, "/ocpp/CP1", forwarded):
            return (await one.request("GET", "api/chargers/CP1"))[1]["address"]

    assert await address() == "127.0.0.1"
    assert await address(trusted_proxies=["127.0.0.1"]) == "99.99.99.99"
    assert await address(trusted_proxies=["127.0.0.0/8", "99.99.99.99"]) == "100.100.100.100"


# Sub-protocols.


async def test_subprotocols(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        for lines, echoed, number in [
            ((), None, "1.6"),
            (("",), None, "1.6"),
            (("ocpp1.6",), "ocpp1.6", "1.6"),
            (("OCPP1.6",), "OCPP1.6", "1.6"),
            (("ocpp1.5, Ocpp1.6,ocpp2.0.1",), "Ocpp1.6", "1.6"),
            (("ocpp2.0.1, ocpp1.6",), "ocpp2.0.1", "2.0.1"),
            (("ocpp1.5", "ocpp2.0", "ocpp2.1", "ocpp1.6"), "ocpp2.1", "2.1"),
        ]:
            headers = [f"Sec-WebSocket-Protocol: {line}" for line in lines]
            async with wire(one.port, "/ocpp/CP1", *headers, subprotocol=None) as charger:
                assert charger.status == 101, lines
                assert charger.reply.headers.get("sec-websocket-protocol") == echoed
                _, shown = await one.request("GET", "api/chargers/CP1")
                assert shown["protocol"] == number
            await one.empty()


async def test_only_unknown_subprotocols_end_after_the_handshake(tmp_path: Path) -> None:
    """OCPP-J 3.2."""
    async with stand(tmp_path) as one:
        async with wire(one.port, subprotocol="ocpp1.5, ocpp2.0") as charger:
            assert charger.status == 101
            assert "sec-websocket-protocol" not in charger.reply.headers
            kind, payload = await charger.receive()
            assert (kind, payload[:2]) == (CLOSE, (1002).to_bytes(2, "big"))
        attempt = (await one.attempts())[0]
        assert attempt["code"] == "no_common_subprotocol"
        assert "ocpp1.5, ocpp2.0" in attempt["reason"]
        assert not one.gateway.roster.connections


# Encrypted connections.


@pytest.fixture
async def certificate(tmp_path: Path) -> Path:
    """Make a certificate of our own; its key lies beside it."""
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=gateway"
        f" -addext subjectAltName=IP:127.0.0.1 -keyout {tmp_path}/key.pem -out {tmp_path}/cert.pem"
    )
    await run(*shlex.split(command))
    return tmp_path / "cert.pem"


async def run(*command: str) -> tuple[int | None, str]:
    """Run a program; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()


async def test_wss(tmp_path: Path, certificate: Path) -> None:
    options = {"ssl": True, "certfile": str(certificate), "keyfile": str(tmp_path / "key.pem")}
    context = ssl.create_default_context(cafile=certificate)
    async with stand(tmp_path / "data", **options) as one:
        plain, tls = one.gateway.endpoint.ports
        async with wire(tls, tls=context) as charger:
            assert charger.status == 101
            await charger.send('[2,"1","Heartbeat",{}]')
            assert json.loads(await charger.expect_text())[:2] == [3, "1"]
            assert not one.watch.on("ocpp/cp/CP2/Heartbeat")
        assert (await knock(plain, "/ocpp/CP2")).status == 101
        with pytest.raises(ssl.SSLError):
            await knock(tls, tls=ssl.create_default_context())
        await until(one.gateway.endpoint.attempts.newest_first)
        assert (await one.attempts())[0]["code"].startswith("tls_")


async def test_client_certificates_are_asked_for(tmp_path: Path, certificate: Path) -> None:
    key = tmp_path / "key.pem"
    options = {"ssl": True, "certfile": str(certificate), "keyfile": str(key)}
    context = ssl.create_default_context(cafile=certificate)
    async with stand(tmp_path / "data", **options, client_ca=str(certificate)) as one:
        tls = one.gateway.endpoint.ports[1]
        with pytest.raises((OSError, EOFError)):
            await knock(tls, tls=context)
        await until(one.gateway.endpoint.attempts.newest_first)
        assert (await one.attempts())[0]["code"] == "tls_no_certificate"
        context.load_cert_chain(certificate, key)
        assert (await knock(tls, tls=context)).status == 101


# A program that is not ours.


async def test_ocpp_connects(tmp_path: Path, certificate: Path) -> None:
    options = {
        "ssl": True,
        "certfile": str(certificate),
        "keyfile": str(tmp_path / "key.pem"),
        "chargers": [{"id": "CP1", "password": "good-password"}],
    }

    async def test_ocpp(*arguments: str) -> tuple[int | None, str]:
        return await run(sys.executable, "-m", "test_ocpp", *arguments)

    async with stand(tmp_path / "data", **options) as one:
        plain, tls = (f"127.0.0.1:{port}/ocpp" for port in one.gateway.endpoint.ports)
        for arguments in [
            (f"ws://{plain}", "CP2"),
            (f"ws://{plain}", "CP2", "--trailing-slash"),
            (f"ws://{plain}", "CP 3", "--ocpp", "2.0.1"),
            (f"ws://{plain}", "CP1", "--password", "good-password"),
            (f"wss://{tls}", "CP2", "--ca", str(certificate)),
        ]:
            code, output = await test_ocpp(*arguments)
            assert code == 0 and "SUCCESS" in output, output
            await one.empty()
        code, output = await test_ocpp(f"ws://{plain}", "CP1", "--password", "bad-password")
        assert code == 1 and "HTTP 401" in output, output
