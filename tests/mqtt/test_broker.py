"""The connection to a real Mosquitto, and to brokers that misbehave."""

import asyncio
import contextlib
import logging
import socket
import subprocess
from pathlib import Path

import aiomqtt
import paho.mqtt.client
import pytest

from ocpp_addon.mqtt import link
from ocpp_addon.mqtt.broker import REFUSED_DELAY
from ocpp_addon.mqtt.link import Incoming, Link, LinkLost
from tests.mqtt.conftest import make_broker
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.patience import until
from tests.support.stand_in import StandIn


def test_the_names_that_the_link_overrides_exist() -> None:
    for name in (
        "_on_connect",
        "_on_disconnect",
        "_on_publish",
        "_on_message",
        "_on_socket_open",
        "_on_socket_register_write",
    ):
        assert callable(getattr(aiomqtt.Client, name))
        assert getattr(Link, name) is not getattr(aiomqtt.Client, name)
    for name in ("_packet_read", "_loop_rc_handle"):
        assert callable(getattr(paho.mqtt.client.Client, name))


async def test_a_flood_of_messages_lets_others_have_their_turn(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "READ_FOR", 0.0)
    broker = make_broker(mosquitto.port)
    broker.filters = lambda: ["commands"]
    turns: list[int] = []
    turn = 0
    broker.on_message = lambda _: turns.append(turn)
    running = asyncio.create_task(broker.run())
    await until(lambda: broker.connected)
    for _ in range(20):  # the library reads on as long as something waits to be acknowledged
        broker.publish("up", b"x")
    await asyncio.sleep(0)
    flood = ["mosquitto_pub", "-p", str(mosquitto.port), "-q", "1", "-t", "commands", "-l"]
    subprocess.run(flood, input=b"x\n" * 20, check=True)  # they gather meanwhile
    while len(turns) < 20:
        turn += 1
        await asyncio.sleep(0)
    assert len(set(turns)) == 20
    await _end(running)


async def test_a_message_arrives_with_its_properties(mosquitto: Mosquitto) -> None:
    broker = make_broker(mosquitto.port)
    received: list[Incoming] = []
    broker.filters = lambda: ["commands/#"]
    broker.on_message = received.append
    running = asyncio.create_task(broker.run())
    await until(lambda: broker.connected)
    async with aiomqtt.Client(
        "127.0.0.1", mosquitto.port, protocol=aiomqtt.ProtocolVersion.V5
    ) as other:
        await other.subscribe("up", qos=1)
        code = await broker.publish("up", b"x", user_properties=[("a", "1"), ("a", "2")])
        assert code in (0, 0x10)
        message = await anext(aiter(other.messages))
        assert message.payload == b"x"
        assert message.properties is not None
        assert vars(message.properties)["UserProperty"] == [("a", "1"), ("a", "2")]
        await other.publish("commands/1", b"y", qos=1, retain=True)
        await until(lambda: received)
    assert received == [Incoming("commands/1", b"y", True, False, None, None)]
    await _end(running)


async def test_own_messages_do_not_come_back(mosquitto: Mosquitto) -> None:
    broker = make_broker(mosquitto.port)
    received: list[Incoming] = []
    broker.filters = lambda: ["loop"]
    broker.on_message = received.append
    running = asyncio.create_task(broker.run())
    await until(lambda: broker.connected)
    await broker.publish("loop", b"mine")
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as other:
        await other.publish("loop", b"theirs", qos=1)
    await until(lambda: received)
    assert [incoming.payload for incoming in received] == [b"theirs"]
    await _end(running)


async def test_it_comes_back_after_the_broker_and_subscribes_again(mosquitto: Mosquitto) -> None:
    broker = make_broker(mosquitto.port)
    received: list[bytes] = []
    broker.filters = lambda: ["commands"]
    broker.on_message = lambda incoming: received.append(incoming.payload)
    running = asyncio.create_task(broker.run())
    await until(lambda: broker.connected)
    await broker.subscribe(["more"])
    await mosquitto.kill()
    await until(lambda: not broker.connected)
    with pytest.raises(LinkLost):
        broker.publish("x", b"")
    assert broker.problem
    await mosquitto.start()
    await until(lambda: broker.connected)
    assert broker.problem is None
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as other:
        await other.publish("commands", b"1", qos=1)
    await until(lambda: received)
    await _end(running)


async def test_a_pending_publish_fails_when_the_connection_ends(mosquitto: Mosquitto) -> None:
    broker = make_broker(mosquitto.port)
    running = asyncio.create_task(broker.run())
    await until(lambda: broker.connected)
    mosquitto.suspend()
    pending = broker.publish("x", b"1")
    await mosquitto.kill()
    with pytest.raises(LinkLost):
        await asyncio.wait_for(pending, 5)
    await _end(running)


async def test_the_will_tells_of_a_sudden_end(mosquitto: Mosquitto) -> None:
    broker = make_broker(mosquitto.port)
    running = asyncio.create_task(broker.run())
    await until(lambda: broker.connected)
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as other:
        await other.subscribe("ocpp/gateway/test", qos=1)
        assert broker._link is not None
        sock = broker._link._client.socket()
        assert sock is not None
        with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
            same.shutdown(socket.SHUT_RDWR)
        message = await asyncio.wait_for(anext(aiter(other.messages)), 10)
    assert message.payload == b"offline"
    await _end(running)


async def test_wrong_credentials_are_said_once_and_retried_slowly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "me", "right"], check=True)
    passwords.chmod(0o644)
    async with Mosquitto("allow_anonymous false", f"password_file {passwords}") as mosquitto:
        right = make_broker(mosquitto.port, username="me", password="right")
        running = asyncio.create_task(right.run())
        await until(lambda: right.connected)
        await _end(running)
        wrong = make_broker(mosquitto.port, username="me", password="wrong")
        running = asyncio.create_task(wrong.run())
        await until(lambda: "refuses user name or password" in (wrong.problem or ""))
        await asyncio.sleep(1)
        assert sum("refuses user name" in text for text in caplog.messages) == 1
        assert not any("wrong" in text for text in caplog.messages)
        assert REFUSED_DELAY / 2 <= await wrong._attempt() <= REFUSED_DELAY
        await _end(running)


class Scripted(StandIn):
    """A broker that answers each CONNECT as `answers` says, in turn; b"" = it hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self.versions: list[int] = []
        self._answers = list(answers)
        self._writers: list[asyncio.StreamWriter] = []

    async def __aexit__(self, *details: object) -> None:
        await super().__aexit__(*details)
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, length = await reader.readexactly(2)
                body = await reader.readexactly(length)
                if kind == 0x10:
                    self.versions.append(body[6])
                    answer = self._answers.pop(0)
                    writer.write(answer)
                    if answer in (b"", NOT_5):
                        break
                elif kind == 0x82:  # SUBSCRIBE, of MQTT 5 and of one filter: refused
                    writer.write(b"\x90\x04" + body[:2] + b"\x00\x87")
                elif kind == 0xC0:
                    writer.write(b"\xd0\x00")
        writer.close()


NOT_5 = b"\x20\x02\x00\x01"  # as MQTT 3.1.1 wants it
WELCOME_5, WELCOME_311 = b"\x20\x03\x00\x00\x00", b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    ("answers", "versions"),
    [
        ([NOT_5, WELCOME_311], [5, 4]),
        ([b"", WELCOME_311, b"", WELCOME_311], [5, 4, 5, 4]),
        ([b"", WELCOME_311, WELCOME_5], [5, 4, 5]),
        ([b"", b"", WELCOME_5], [5, 4, 5]),
    ],
    ids=["refuses 5", "hangs up on 5", "was not ready", "was not ready for long"],
)
async def test_3_1_1_is_spoken_with_brokers_that_know_nothing_newer(
    answers: list[bytes], versions: list[int]
) -> None:
    async with Scripted(*answers) as scripted:
        broker = make_broker(scripted.port)
        running = asyncio.create_task(broker.run())
        await until(lambda: broker.connected)
        assert scripted.versions == versions
        await _end(running)


async def test_a_broker_that_was_replaced_by_a_newer_is_noticed() -> None:
    async with Scripted(NOT_5, WELCOME_311, WELCOME_5) as scripted:
        broker = make_broker(scripted.port)
        running = asyncio.create_task(broker.run())
        await until(lambda: broker.connected)
        scripted.hang_up()
        await until(lambda: broker.connected and len(scripted.versions) == 3)
        assert scripted.versions == [5, 4, 5]
        await _end(running)


async def test_a_refused_subscription_is_a_problem_that_stays() -> None:
    async with Scripted(WELCOME_5) as scripted:
        broker = make_broker(scripted.port)
        broker.filters = lambda: ["ocpp/CP1/+/+"]
        running = asyncio.create_task(broker.run())
        await until(lambda: broker.connected)
        assert broker.problem == "The broker refuses to let us subscribe ocpp/CP1/+/+."
        await _end(running)


async def test_a_redelivery_is_recognised() -> None:
    """A scripted broker sends a message twice, the second time with the DUP flag."""
    received: list[Incoming] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await reader.read(1)) != b"":
            body = await reader.readexactly((await reader.readexactly(1))[0])
            if head[0] == 0x10:
                writer.write(b"\x20\x03\x00\x00\x00")
            elif head[0] == 0x82:
                writer.write(b"\x90\x04" + body[:2] + b"\x00\x01")
                for flags in (0x32, 0x3A):
                    writer.write(bytes([flags]) + b"\x07\x00\x01t\x00\x05\x00x")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    broker = make_broker(server.sockets[0].getsockname()[1])
    broker.filters = lambda: ["t"]
    broker.on_message = received.append
    running = asyncio.create_task(broker.run())
    await until(lambda: len(received) == 2)
    assert [incoming.duplicate for incoming in received] == [False, True]
    await _end(running)
    server.close()


async def test_reconnecting_has_full_jitter_up_to_five_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Clients that lost the same broker must not come back all at once."""
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return 0.0

    monkeypatch.setattr("random.uniform", draw)
    broker = make_broker(free_port())
    running = asyncio.create_task(broker.run())
    await until(lambda: len(drawn) >= 6)
    await _end(running)
    assert {low for low, _ in drawn} == {0}
    assert [round(high, 2) for _, high in drawn[:6]] == [1.0, 1.6, 2.56, 4.1, 5.0, 5.0]


async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broker = make_broker(free_port())
    running = asyncio.create_task(broker.run())
    await until(lambda: "cannot be reached" in (broker.problem or ""))
    assert (broker.problem or "").endswith(" cannot be reached: Connection refused.")
    await asyncio.sleep(2)
    assert len([text for text in caplog.messages if "cannot be reached" in text]) == 1
    await _end(running)


async def test_another_client_with_our_id_makes_no_hot_loop(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = make_broker(mosquitto.port), make_broker(mosquitto.port)
    running = [asyncio.create_task(one.run()), asyncio.create_task(two.run())]
    connections = []
    for broker in (one, two):
        broker.on_connected.append(lambda: connections.append(1))
    await until(lambda: "another client uses our client id" in caplog.text)
    connections.clear()
    await asyncio.sleep(6)
    assert len(connections) <= 4
    errors = [text for text in caplog.messages if "another client uses" in text]
    assert len(errors) <= 2
    for task in running:
        await _end(task)


async def test_an_exception_in_a_handler_does_not_end_the_connection(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker(mosquitto.port)
    broker.filters = lambda: ["t"]
    received = []

    def handle(incoming: Incoming) -> None:
        received.append(incoming)
        raise ValueError("boom")

    broker.on_message = handle
    running = asyncio.create_task(broker.run())
    await until(lambda: broker.connected)
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as other:
        for _ in range(2):
            await other.publish("t", b"", qos=1)
    await until(lambda: len(received) == 2)
    assert broker.connected
    assert "could not be handled" in caplog.text
    await _end(running)


async def _end(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
