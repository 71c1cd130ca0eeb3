"""The client of the Supervisor, against an aiohttp server that answers as the Supervisor does."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ocpp_addon import supervisor
from ocpp_addon.config import MqttSettings
from ocpp_addon.errors import GatewayError
from ocpp_addon.supervisor import NO_BROKER, Supervisor
from tests.support.patience import until

SERVICE: dict[str, Any] = {
    "addon": "core_mosquitto",
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "protocol": "3.1.1",
    "username": "addons",
    "password": "pa55word",
}


class FakeSupervisor:
    """What it answers, and what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = {"result": "ok", "data": {}}
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.silent = asyncio.Event()
        self.silent.set()

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        token = request.headers.get("Authorization")
        self.asked.append((request.method, request.path, token, body))
        await self.silent.wait()
        if isinstance(self.body, str):
            return web.Response(text=self.body, status=self.status)
        return web.json_response(self.body, status=self.status)


@pytest.fixture
async def fake() -> AsyncIterator[FakeSupervisor]:
    yield FakeSupervisor()


@pytest.fixture
async def client(fake: FakeSupervisor) -> AsyncIterator[Supervisor]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield Supervisor(session, "t0ken", f"http://127.0.0.1:{server.port}")
        fake.silent.set()


async def test_tells_where_the_broker_is(client: Supervisor, fake: FakeSupervisor) -> None:
    fake.body = {"result": "ok", "data": SERVICE}
    assert await client.mqtt_service() == MqttSettings(
        "core-mosquitto", 1883, "addons", "pa55word", tls=False
    )
    assert fake.asked == [("GET", "/services/mqtt", "Bearer t0ken", None)]


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        ({"host": "b", "port": "8883", "ssl": True}, MqttSettings("b", 8883, tls=True)),
        (
            {"host": "b", "port": 1, "username": "", "password": None},
            MqttSettings("b", 1),
        ),
    ],
)
async def test_accepts_the_shapes_of_other_brokers(
    client: Supervisor, fake: FakeSupervisor, data: dict[str, Any], settings: MqttSettings
) -> None:
    fake.body = {"result": "ok", "data": data}
    assert await client.mqtt_service() == settings


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (400, {"result": "error", "message": "Service not enabled"}, NO_BROKER),
        (200, {"result": "ok", "data": {}}, NO_BROKER),
        (200, {"result": "ok", "data": None}, NO_BROKER),
        (
            403,
            {"result": "error", "message": "No access to mqtt service!"},
            "The Supervisor does not let this app (add-on) know the broker: name it in the"
            " option mqtt.",
        ),
        (401, "401: Unauthorized", "The Supervisor refuses /services/mqtt: status 401."),
        (
            400,
            {"result": "error", "message": "System is not ready with state: setup"},
            "The Supervisor refuses /services/mqtt: System is not ready with state: setup.",
        ),
        (500, {"result": "error"}, "The Supervisor refuses /services/mqtt: status 500."),
        (200, ["odd"], "The Supervisor refuses /services/mqtt: status 200."),
        (
            200,
            {"result": "ok", "data": {**SERVICE, "port": "many"}},
            "The Supervisor describes the broker in an unknown way (port).",
        ),
        (
            200,
            {"result": "ok", "data": {"port": 1883}},
            "The Supervisor describes the broker in an unknown way (host).",
        ),
    ],
)
async def test_says_in_a_sentence_why_there_is_no_broker(
    client: Supervisor, fake: FakeSupervisor, status: int, body: Any, sentence: str
) -> None:
    fake.status, fake.body = status, body
    with pytest.raises(GatewayError) as caught:
        await client.mqtt_service()
    assert str(caught.value) == sentence


async def test_changes_some_of_our_options(client: Supervisor, fake: FakeSupervisor) -> None:
    fake.body = {"result": "ok", "data": {"options": {"chargers": [{"id": "A"}], "name": "x"}}}
    await client.change_options({"chargers": []})
    assert fake.asked == [
        ("GET", "/addons/self/info", "Bearer t0ken", None),
        (
            "POST",
            "/addons/self/options",
            "Bearer t0ken",
            {"options": {"chargers": [], "name": "x"}},
        ),
    ]


async def test_never_replaces_options_that_it_has_not_seen(
    client: Supervisor, fake: FakeSupervisor
) -> None:
    fake.body = {"result": "ok", "data": {}}
    with pytest.raises(GatewayError, match="does not tell the options"):
        await client.change_options({"chargers": []})
    assert [method for method, *_ in fake.asked] == ["GET"]


async def test_knows_the_link_to_our_page(client: Supervisor, fake: FakeSupervisor) -> None:
    fake.body = {"result": "ok", "data": {"slug": "a0d7b954_ocpp_gateway"}}
    assert await client.page_url() == "homeassistant://hassio/ingress/a0d7b954_ocpp_gateway"


@pytest.mark.parametrize("data", [{}, {"slug": None}, {"slug": "a/../b"}])
async def test_makes_no_link_from_an_odd_name(
    client: Supervisor, fake: FakeSupervisor, data: dict[str, Any]
) -> None:
    fake.body = {"result": "ok", "data": data}
    with pytest.raises(GatewayError, match="does not tell the name"):
        await client.page_url()


async def test_asks_again_until_the_supervisor_is_ready(
    client: Supervisor, fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01, 0.01, 0.01))
    fake.status, fake.body = 400, {"result": "error", "message": "not ready"}
    asking = asyncio.create_task(supervisor.when_ready(client.page_url))
    await until(lambda: len(fake.asked) == 2)
    fake.status, fake.body = 200, {"result": "ok", "data": {"slug": "local_ocpp"}}
    assert await asking == "homeassistant://hassio/ingress/local_ocpp"


async def test_asks_no_more_than_a_few_times(
    client: Supervisor, fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01, 0.01))
    fake.status, fake.body = 400, {"result": "error", "message": "no"}
    with pytest.raises(GatewayError, match="no"):
        await supervisor.when_ready(client.page_url)
    assert len(fake.asked) == 3


async def test_does_not_wait_for_ever(
    client: Supervisor, fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "TIMEOUT", 0.05)
    fake.silent.clear()
    with pytest.raises(GatewayError, match="did not answer in time"):
        await client.mqtt_service()


async def test_nobody_there_is_a_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(GatewayError, match=r"^The Supervisor cannot be asked: .*\.$"):
                await Supervisor(session, "t0ken", url).mqtt_service()
