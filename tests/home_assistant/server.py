"""A real Home Assistant without a screen, that can be asked, restarted and read."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.mosquitto import free_port
from tests.support.patience import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
NO_PYTHON = 3  # the exit code of the script where there is no Python 3.13
START_PATIENCE = 90.0
TEN_YEARS = 10 * 365 * 24 * 3600

CONFIGURATION = """\
homeassistant:
  name: Test
  latitude: 52.0
  longitude: 5.0
  elevation: 0
  unit_system: metric
  time_zone: UTC
  currency: EUR
  country: NL
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
websocket_api:
energy:
history:
recorder:
  commit_interval: 1
tag:
automation: !include automations.yaml
logger:
  default: warning
  logs:
    homeassistant.components.mqtt: info
"""


@lru_cache
def program() -> Path | None:
    """Return Home Assistant, installed when first asked; None where there is no Python 3.13."""
    done = subprocess.run(
        [ROOT / "script" / "home-assistant"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode == NO_PYTHON:
        return None
    assert done.returncode == 0, "Home Assistant could not be installed"
    return Path(done.stdout.strip())


class HomeAssistant:
    """Run Home Assistant on a free port; its folder outlives a restart."""

    def __init__(self, folder: Path, mqtt_port: int) -> None:
        self.port = free_port()
        self.folder = folder
        self._token = _write_configuration(folder, self.port, mqtt_port)
        (folder / "automations.yaml").write_text("[]")
        shutil.copytree(ROOT / "blueprints", folder / "blueprints")
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"}
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=headers)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self.stop()

    @property
    def log(self) -> str:
        """Return all that it has logged since its last start."""
        return (self.folder / "home-assistant.log").read_text()

    async def start(self) -> None:
        """Start it and wait until it runs."""
        found = program()
        assert found is not None
        self._process = await asyncio.create_subprocess_exec(
            *(str(found), "-c", str(self.folder), "--skip-pip"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if "PYTHON" not in name},
            start_new_session=True,
        )
        async with asyncio.timeout(START_PATIENCE):
            # It answers before it has started.
            while await self._core_state() != "RUNNING":
                assert self._process.returncode is None, self.log
                await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """Stop it in good order."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(START_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise
        self._process = None

    async def _core_state(self) -> str | None:
        try:
            async with self._session.get("/api/config") as response:
                found = await response.json()
        except (aiohttp.ClientError, ValueError):
            return None
        return str(found.get("state"))

    async def states(self) -> dict[str, Any]:
        """Return every entity's state object by entity id."""
        async with self._session.get("/api/states") as response:
            return {one["entity_id"]: one for one in await response.json()}

    async def state(self, entity_id: str) -> Any:
        """Return an entity's state object; None if there is no such entity."""
        async with self._session.get(f"/api/states/{entity_id}") as response:
            return await response.json() if response.status == 200 else None

    async def expect(self, entity_id: str, *wanted: str) -> Any:
        """Wait until an entity has one of these states, or any that means something."""
        found: Any = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found = await self.state(entity_id)
                    value = found["state"] if found else None
                    if value in (wanted or {value} - {None, "unknown", "unavailable"}):
                        return found
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{entity_id} is not {wanted or 'known'} but {found}") from None

    async def number(self, entity_id: str) -> float:
        """Return the state of an entity as a number."""
        return float((await self.expect(entity_id))["state"])

    async def call(self, service: str, **data: Any) -> None:
        """Call a service, such as `switch.turn_on`."""
        path = f"/api/services/{service.replace('.', '/')}"
        async with self._session.post(path, json=data) as response:
            assert response.status == 200, await response.text()

    async def command(self, kind: str, **fields: Any) -> Any:
        """Send one command over the WebSocket API and return its result."""
        async with self._session.ws_connect("/api/websocket") as socket:
            await self._sign_in(socket)
            await socket.send_json({"id": 1, "type": kind, **fields})
            answer = await socket.receive_json(timeout=PATIENCE)
            assert answer["success"], answer
            return answer["result"]

    async def set_automations(self, automations: Sequence[object]) -> None:
        """Replace all automations."""
        (self.folder / "automations.yaml").write_text(json.dumps(list(automations)))
        await self.call("automation.reload")

    async def set_state(self, entity_id: str, state: object, **attributes: Any) -> None:
        """Make up the state of an entity that is not ours."""
        body = {"state": str(state), "attributes": attributes}
        async with self._session.post(f"/api/states/{entity_id}", json=body) as response:
            assert response.status in (200, 201), await response.text()

    async def registries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return our devices by name, and our entities by unique id."""
        devices = await self.command("config/device_registry/list")
        entities = await self.command("config/entity_registry/list")
        return (
            {one["name"]: one for one in devices},
            {one["unique_id"]: one for one in entities if one["platform"] == "mqtt"},
        )

    async def _sign_in(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        assert (await socket.receive_json())["type"] == "auth_required"
        await socket.send_json({"type": "auth", "access_token": self._token})
        assert (await socket.receive_json())["type"] == "auth_ok"


class Events:
    """Note the events of one type."""

    def __init__(self, home_assistant: HomeAssistant, event_type: str) -> None:
        self._home_assistant = home_assistant
        self._type = event_type
        self.seen: list[dict[str, Any]] = []
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._listen(ready))
        await asyncio.wait_for(ready.wait(), PATIENCE)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _listen(self, ready: asyncio.Event) -> None:
        async with self._home_assistant._session.ws_connect("/api/websocket") as socket:
            await self._home_assistant._sign_in(socket)
            await socket.send_json({"id": 1, "type": "subscribe_events", "event_type": self._type})
            while True:
                message = await socket.receive_json()
                if message["type"] == "result":
                    ready.set()
                else:
                    self.seen.append(message["event"]["data"])

    async def expect(self, **wanted: Any) -> dict[str, Any]:
        """Wait for an event with these data."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.seen if wanted.items() <= one.items()]

        await until(found)
        return found()[0]


def _write_configuration(folder: Path, port: int, mqtt_port: int) -> str:
    """Write what a finished onboarding leaves behind; return a token of the owner."""
    storage = folder / ".storage"
    storage.mkdir(parents=True)

    def store(name: str, version: int, data: object) -> None:
        content = {"version": version, "minor_version": 1, "key": name, "data": data}
        (storage / name).write_text(json.dumps(content))

    (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=port))
    user_id, token_id, key = uuid.uuid4().hex, uuid.uuid4().hex, secrets.token_hex(32)
    groups = {
        "system-admin": "Administrators",
        "system-users": "Users",
        "system-read-only": "Read Only",
    }
    store("auth", 1, {
        "users": [{
            "id": user_id, "name": "Test", "group_ids": ["system-admin"], "is_owner": True,
            "is_active": True, "system_generated": False, "local_only": False,
        }],
        "groups": [{"id": group, "name": name} for group, name in groups.items()],
        "credentials": [],
        "refresh_tokens": [{
            "id": token_id, "user_id": user_id, "client_id": None, "client_name": "test",
            "client_icon": None, "token_type": "long_lived_access_token",
            "created_at": datetime.now(UTC).isoformat(),
            "access_token_expiration": float(TEN_YEARS), "token": secrets.token_hex(64),
            "jwt_key": key, "last_used_at": None, "last_used_ip": None, "expire_at": None,
            "credential_id": None, "version": None,
        }],
    })  # fmt: skip
    store("onboarding", 4, {"done": ["user", "core_config", "analytics", "integration"]})
    store("core.config_entries", 1, {"entries": [{
        "entry_id": uuid.uuid4().hex, "version": 1, "minor_version": 1, "domain": "mqtt",
        "title": "broker", "options": {}, "pref_disable_new_entities": False,
        "pref_disable_polling": False, "source": "user", "unique_id": None, "disabled_by": None,
        "data": {"broker": "127.0.0.1", "port": mqtt_port, "discovery": True,
                 "discovery_prefix": "homeassistant"},
    }]})  # fmt: skip
    now = int(time.time())
    return _jwt({"iss": token_id, "iat": now, "exp": now + TEN_YEARS}, key)


def _jwt(claims: object, key: str) -> str:
    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = f"{head}.{part(json.dumps(claims).encode())}"
    digest = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{part(digest)}"
