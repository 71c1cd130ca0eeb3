"""The web server over a backend that remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from yarl import URL

from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.ocpp.version import V16
from ocpp_addon.schemas import load_schema
from ocpp_addon.web import server as module
from ocpp_addon.web.backend import Listener, Refused, Sample, SessionChoice, TagEntry
from ocpp_addon.web.server import WebServer

WRITE = {"X-Requested-With": "ocpp-gateway"}
INGRESS = "127.0.0.2"  # stands for the ingress of Home Assistant


FRAME: dict[str, Any] = {
    "time": "2026-11-24T17:05:00.000Z",
    "direction": "received",
    "frame": '[2,"1","Heartbeat",{}]',
    "latency_ms": None,
    "repaired": [],
    "warnings": [],
    "type": 2,
    "id": "1",
    "action": "Heartbeat",
    "payload": {},
    "publish": None,
}
TAG = {"idTag": "card", "status": "Accepted", "name": "Anna", "parent": None, "expiry": None}
ATTEMPT = {
    "first_at": "2026-11-24T17:05:00.000Z",
    "last_at": "2026-11-24T17:05:00.000Z",
    "count": 1,
    "address": "192.168.1.66",
    "charger_id": "RDAM 123",
    "code": "wrong_password",
    "reason": "The password is wrong.",
    "advice": "Enter it again.",
}
SESSION = {
    "charger": "RDAM 123",
    "connector": 1,
    "transaction_id": 7,
    "tag": "card",
    "started_at": "2026-11-24T17:00:00.000Z",
    "ended_at": "2026-11-24T19:30:00.000Z",
    "energy_wh": 12345,
    "reason": "Local",
}


@dataclass
class FakeBackend:
    """A gateway with one charger, `RDAM 123`, and one tag, `card`."""

    status: str = "ok"
    outcome: CallResult | CallError = field(default_factory=lambda: CallResult("1", {"a": 1}))
    failure: Exception | None = None
    vendor: str = "vendor1"
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    known: set[str] = field(default_factory=lambda: {"RDAM 123"})
    online: set[str] = field(default_factory=lambda: {"RDAM 123"})

    frames: list[dict[str, Any]] = field(default_factory=lambda: [FRAME])
    held: list[dict[str, Any]] = field(default_factory=lambda: [SESSION])
    measured: list[Sample] = field(default_factory=list)
    refusal: Refused | None = None
    listener: Listener | None = None

    @property
    def changes(self) -> list[tuple[Any, ...]]:
        """What it was asked to do, without what it was asked to tell."""
        return [one for one in self.asked if one[0] != "sessions"]

    def listen(self, listener: Listener) -> None:
        self.listener = listener

    def health(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "broker": "connected",
            "problems": [],
            "chargers": {"known": 1, "connected": 1, "pending": 0},
            "outbox": {"stored": 0, "set_aside": 0, "dropped": 0},
            "takeovers": 0,
        }

    def chargers(self) -> list[dict[str, Any]]:
        if self.failure is not None:
            raise self.failure
        return [self._charger(charger_id) for charger_id in sorted(self.known)]

    def charger(self, charger_id: str) -> dict[str, Any] | None:
        return self._charger(charger_id) if charger_id in self.known else None

    def _charger(self, charger_id: str) -> dict[str, Any]:
        return {
            "id": charger_id,
            "connected": charger_id in self.online,
            "connection": "c1" if charger_id in self.online else None,
            "approval": "approved",
            "protected": True,
            **dict.fromkeys(("vendor", "model", "serial", "firmware"), self.vendor),
            "protocol": "1.6",
            "address": "192.168.1.20",
            "offered_subprotocols": ["ocpp1.6"],
            "password_presented": True,
            "connected_at": "2026-11-24T17:00:00.000Z",
            "last_seen": "2026-11-24T17:05:00.000Z",
            "last_disconnect": {
                "at": "2026-11-24T16:59:30.000Z",
                "reason": "the charger has gone silent",
                "count": 2,
            },
            "connectors": [
                {
                    "connector": 1,
                    "evse": None,
                    "status": "Charging",
                    "error": None,
                    "info": None,
                    "updated": "2026-11-24T17:05:00.000Z",
                    "plugged_in": True,
                    "charging": True,
                    "power": 7360.0,
                    "energy_wh": 123456.0,
                    "current_limit": 16.0,
                    "session": {
                        "transaction_id": 7,
                        "tag": "card",
                        "tag_name": "Anna",
                        "started_at": "2026-11-24T17:00:00.000Z",
                        "energy_wh": 1234.0,
                    },
                }
            ],
        }

    async def set_password(self, charger_id: str, password: str | None) -> None:
        self.asked.append(("set_password", charger_id, password))
        self.known.add(charger_id)

    async def forget(self, charger_id: str) -> bool:
        return charger_id in self.known

    async def approve(self, charger_id: str, connection: str) -> None:
        if connection != "c1":
            raise Refused("other_connection", "It has connected anew.", 409)
        self.asked.append(("approve", charger_id, connection))

    async def refuse(self, charger_id: str) -> None:
        self.asked.append(("refuse", charger_id))

    async def disconnect(self, charger_id: str) -> bool:
        return charger_id in self.online

    async def set(self, charger_id: str, connector: int, key: str, value: str) -> None:
        self.asked.append(("set", charger_id, connector, key, value))
        if self.refusal is not None:
            raise self.refusal

    async def call(
        self, charger_id: str, action: str, payload: dict[str, Any]
    ) -> CallResult | CallError:
        self.asked.append(("call", charger_id, action, payload))
        return self.outcome

    def messages(self, charger_id: str) -> list[dict[str, Any]] | None:
        return self.frames if charger_id in self.known else None

    async def tags(self) -> list[dict[str, Any]]:
        return [TAG]

    async def put_tag(self, id_tag: str, entry: TagEntry) -> None:
        self.asked.append(("put_tag", id_tag, entry))

    async def delete_tag(self, id_tag: str) -> bool:
        return id_tag == "card"

    def attempts(self) -> list[dict[str, Any]]:
        return [ATTEMPT]

    async def sessions(self, choice: SessionChoice) -> list[dict[str, Any]]:
        self.asked.append(("sessions", choice))
        return self.held

    async def samples(
        self, charger_id: str, since: datetime, until: datetime | None
    ) -> list[Sample]:
        return self.measured

    def actions(self, charger_id: str) -> list[str]:
        return ["ChangeConfiguration", "GetConfiguration", "Reset"]

    def schema(self, charger_id: str, action: str) -> dict[str, Any] | None:
        return load_schema(V16, action) if action in self.actions(charger_id) else None

    async def places(self) -> dict[str, Any]:
        return {
            "addresses": ("192.168.1.2",),
            "names": ("homeassistant.local",),
            "port": 33033,
            "tls_port": None,
            "unknown_chargers": "ask",
            "tag_policy": "accept",
        }


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    content: Any

    @property
    def code(self) -> Any:
        return self.content["error"]["code"]


class Browser:
    """Ask a web server; `source` is the address that it is seen under."""

    def __init__(self, server: WebServer, source: str = "127.0.0.1") -> None:
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        self.session = aiohttp.ClientSession(connector=connector)
        self.base = f"http://127.0.0.1:{server.port}"

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        url = URL(self.base + path, encoded=True)
        async with asyncio.timeout(30), self.session.request(method, url, **options) as response:
            text = await response.text()
            headers = dict(response.headers)
            content = await response.json() if text else None
            return Answer(response.status, headers, content)

    async def write(self, method: str, path: str, json: Any = None) -> Answer:
        return await self.ask(method, path, json=json, headers=WRITE)


Serve = Callable[..., Awaitable[WebServer]]
Browse = Callable[..., Browser]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
async def serve(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Start a web server with these options on a free port of loopback."""
    monkeypatch.setattr(module, "INGRESS_HOST", "127.0.0.1")
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> WebServer:
            options = {"host": "127.0.0.1", "ingress_peer": INGRESS, **options}
            server = await stack.enter_async_context(WebServer(backend, port=0, **options))
            running = asyncio.create_task(server.run(), name="web")
            stack.callback(running.cancel)
            return server

        yield start


@pytest.fixture
async def browse() -> AsyncIterator[Browse]:
    async with AsyncExitStack() as stack:

        def start(server: WebServer, source: str = "127.0.0.1") -> Browser:
            browser = Browser(server, source)
            stack.push_async_callback(browser.session.close)
            return browser

        yield start


@pytest.fixture
async def browser(serve: Serve, browse: Browse) -> Browser:
    return browse(await serve())
