"""A test stand: a real Mosquitto, the whole gateway, and what is seen on MQTT."""

import asyncio
import base64
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ocpp_addon import config
from ocpp_addon.gateway import Gateway, opened
from tests.support.mosquitto import Mosquitto
from tests.support.patience import PATIENCE, until


@dataclass(frozen=True)
class Seen:
    """One message on MQTT."""

    topic: str
    payload: bytes
    retain: bool
    properties: list[tuple[str, str]]
    correlation: bytes | None

    @property
    def json(self) -> Any:
        return json.loads(self.payload)

    def marks(self, name: str) -> list[str]:
        return [value for key, value in self.properties if key == name]


@dataclass
class Watch:
    """An MQTT client of its own that notes everything and can publish."""

    port: int
    topics: str = "#"
    seen: list[Seen] = field(default_factory=list)
    on_message: Callable[[Seen], None] | None = None
    _client: aiomqtt.Client | None = None
    _task: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> Self:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(ready), name="watch")
        await asyncio.wait_for(ready.wait(), PATIENCE)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self, ready: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1",
                    self.port,
                    protocol=aiomqtt.ProtocolVersion.V5,
                    socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
                ) as self._client:
                    await self._client.subscribe(self.topics, qos=1)
                    ready.set()
                    async for message in self._client.messages:
                        fields = vars(message.properties) if message.properties else {}
                        one = Seen(
                            message.topic.value,
                            bytes(message.payload),
                            message.retain,
                            fields.get("UserProperty", []),
                            fields.get("CorrelationData"),
                        )
                        self.seen.append(one)
                        if self.on_message is not None:
                            self.on_message(one)
            await asyncio.sleep(0.05)

    def on(self, topic: str) -> list[Seen]:
        """Return what came on one topic."""
        return [one for one in self.seen if one.topic == topic]

    async def expect(self, topic: str, count: int = 1) -> Seen:
        """Wait for the `count`-th message on a topic."""
        await until(lambda: len(self.on(topic)) >= count)
        return self.on(topic)[count - 1]

    async def publish(
        self,
        topic: str,
        payload: object,
        *,
        retain: bool = False,
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Publish with QoS 1; objects become JSON."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if correlation is not None:
            properties.CorrelationData = correlation
        assert self._client is not None
        await self._client.publish(topic, body, qos=1, retain=retain, properties=properties)


class Charger:
    """A charger on the `websockets` package: says what it is told to, notes what it hears."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._ids = itertools.count(1)

    async def send(self, frame: object) -> None:
        """Send a frame as JSON, or a text as it is."""
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def receive(self, patience: float = PATIENCE) -> Any:
        """Return the next frame."""
        return json.loads(await asyncio.wait_for(self.socket.recv(), patience))

    async def call(self, action: str, payload: Any = None, unique_id: str | None = None) -> Any:
        """Send a Call and return the frame that answers it; nothing else may come before."""
        unique_id = unique_id or str(next(self._ids))
        await self.send([2, unique_id, action, {} if payload is None else payload])
        answer = await self.receive()
        assert answer[1] == unique_id, answer
        return answer

    async def boot(self) -> Any:
        """Send a BootNotification and return the payload of its answer."""
        payload = {"chargePointVendor": "vendor1", "chargePointModel": "model1"}
        return (await self.call("BootNotification", payload))[2]

    async def silence(self, seconds: float = 0.5) -> bool:
        """Tell whether nothing comes for a while."""
        try:
            await asyncio.wait_for(self.socket.recv(), seconds)
        except TimeoutError:
            return True
        return False


class Stand:
    """The gateway under test with everything around it."""

    def __init__(self, mosquitto: Mosquitto, watch: Watch, folder: Path) -> None:
        self.mosquitto = mosquitto
        self.watch = watch
        self.folder = folder
        self.gateway: Gateway
        self._running = contextlib.AsyncExitStack()

    @property
    def port(self) -> int:
        """Return the port for chargers."""
        return self.gateway.endpoint.ports[0]

    @property
    def url(self) -> str:
        """Return where chargers connect, without an id."""
        return f"ws://127.0.0.1:{self.port}/ocpp"

    @property
    def api(self) -> str:
        """Return the base of the HTTP API."""
        return f"http://127.0.0.1:{self.gateway.web.port}/"

    @contextlib.asynccontextmanager
    async def charger(
        self,
        charger_id: str = "CP1",
        password: str | None = None,
        subprotocols: tuple[str, ...] = ("ocpp1.6",),
        **options: Any,
    ) -> AsyncIterator[Charger]:
        """Connect a charger."""
        headers = dict(options.pop("headers", {}))
        if password is not None:
            headers["Authorization"] = basic(charger_id, password)
        async with connect(
            f"{self.url}/{charger_id}",
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            additional_headers=headers,
            **options,
        ) as socket:
            yield Charger(socket)

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the HTTP API; return status and JSON."""
        async with (
            aiohttp.ClientSession(headers={"X-Requested-With": "ocpp-gateway"}) as session,
            session.request(method, self.api + path, json=body) as response,
        ):
            return response.status, await response.json() if response.status != 204 else None

    async def attempts(self) -> list[dict[str, Any]]:
        """Return the failed attempts to connect, newest first."""
        status, found = await self.request("GET", "api/attempts")
        assert status == 200
        return list(found)

    async def empty(self) -> None:
        """Wait until no charger is connected."""
        await until(lambda: not self.gateway.roster.connections)

    @contextlib.asynccontextmanager
    async def run(self, **options: Any) -> AsyncIterator[Gateway]:
        """Run a gateway on this stand's broker and data folder; `patient=False` does not wait.

        One that runs already is stopped first: the folder is one gateway's at a time.
        """
        patient = options.pop("patient", True)
        settings = config.load(
            {
                "mqtt": {"host": "127.0.0.1", "port": self.mosquitto.port},
                "host": "127.0.0.1",
                "port": 0,
                "tls_port": 0,
                "web_port": 0,
                "unknown_chargers": "accept",
                **options,
            }
        )
        await self._running.aclose()
        async with contextlib.AsyncExitStack() as self._running:
            self.gateway = await self._running.enter_async_context(opened(settings, self.folder))
            stop = asyncio.Event()
            serving = asyncio.create_task(self.gateway.serve(stop), name="gateway")

            async def end() -> None:
                stop.set()
                await serving

            self._running.push_async_callback(end)
            if patient:
                await until(lambda: self.gateway.broker.connected or serving.done())
            yield self.gateway


def basic(user: str, password: str | bytes) -> str:
    """Return the value of an Authorization header."""
    secret = password.encode() if isinstance(password, str) else password
    return "Basic " + base64.b64encode(user.encode() + b":" + secret).decode()


@contextlib.asynccontextmanager
async def stand(folder: Path, *configuration: str, **options: Any) -> AsyncIterator[Stand]:
    """Set up a stand; `options` are the gateway's, over those for tests."""
    async with Mosquitto(*configuration) as mosquitto, Watch(mosquitto.port) as watch:
        one = Stand(mosquitto, watch, folder)
        async with one.run(**options):
            yield one
