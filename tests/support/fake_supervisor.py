"""The Supervisor's API: what an app may ask without further permissions, and what it is refused.

It knows one installed app and keeps its options.
"""

import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import voluptuous as vol
from aiohttp import web

from tests.packaging.app_options import accepted, merged

# What an app may ask without `hassio_api`.
ALLOWED = re.compile(r"/addons/self/(?!security|update)[^/]+|/info|/services.*|/discovery.*")
READY = ("startup", "running", "freeze")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeSupervisor:
    """What the Supervisor knows of the app, to be changed by tests, and what it was asked.

    `prefix` is the path under which the app's page is found.
    """

    def __init__(self, config: dict[str, Any], prefix: str = "/api/hassio_ingress/token") -> None:
        self.config = config
        self.chosen: dict[str, Any] = {}  # the options that the user has changed
        self.mqtt: dict[str, Any] | None = None  # what the broker's app has registered
        self.state = "running"
        self.token = ""
        self.asked: list[tuple[str, str]] = []
        self._prefix = prefix

    @property
    def options(self) -> dict[str, Any]:
        """Return all options, with defaults."""
        return merged(self.config["options"], self.chosen)

    @property
    def slug(self) -> str:
        """Return the full slug, with the hash of the repository before it."""
        return f"a0d7b954_{self.config['slug']}"

    def start_app(self, data: Path) -> dict[str, str]:
        """Write options.json, as happens at each start and only then; return the environment."""
        self.token = secrets.token_hex(32)
        options = accepted(self.config["schema"], self.options)
        (data / "options.json").write_text(json.dumps(options))
        return {"SUPERVISOR_TOKEN": self.token, "HASSIO_TOKEN": self.token, "TZ": "Europe/Berlin"}

    @asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Listen, and yield the URL that is `http://supervisor` for the app."""
        app = web.Application(middlewares=[self._judge])
        app.router.add_get("/services/mqtt", self._mqtt)
        app.router.add_get("/info", self._host_info)
        app.router.add_get("/addons/self/info", self._info)
        app.router.add_post("/addons/self/options", self._set_options)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            yield f"http://{host}:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    @web.middleware
    async def _judge(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self.asked.append((request.method, request.path))
        if self.state not in READY:
            return _error(400, f"System is not ready with state: {self.state}")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        if not ALLOWED.fullmatch(request.path):
            raise web.HTTPForbidden
        return await handler(request)

    async def _mqtt(self, request: web.Request) -> web.Response:
        if not any(service.startswith("mqtt:") for service in self.config.get("services", [])):
            return _error(403, "No access to mqtt service!")
        if self.mqtt is None:
            return _error(400, "Service not enabled")
        return _ok(self.mqtt)

    async def _host_info(self, request: web.Request) -> web.Response:
        return _ok(
            {
                "supervisor": "2026.08.0",
                "homeassistant": "2026.8.1",
                "hassos": "16.1",
                "hostname": "homeassistant",
                "machine": "raspberrypi4-64",
                "arch": "aarch64",
                "timezone": "Europe/Berlin",
                "state": self.state,
            }
        )

    async def _info(self, request: web.Request) -> web.Response:
        return _ok(
            {
                "name": self.config["name"],
                "slug": self.slug,
                "hostname": self.slug.replace("_", "-"),
                "version": self.config["version"],
                "state": "started",
                "options": self.options,
                "network": self.config["ports"],
                "ingress": True,
                "ingress_entry": self._prefix,
                "ingress_url": f"{self._prefix}/",
                "ingress_port": 8099,
                "watchdog": False,
            }
        )

    async def _set_options(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            self.chosen = accepted(self.config["schema"], body["options"])
        except vol.Invalid as invalid:
            place = ".".join(map(str, invalid.path))
            return _error(400, f"{invalid.msg} '{place}' in {self.config['name']}")
        return _ok({})


def _ok(data: dict[str, Any]) -> web.Response:
    return web.json_response({"result": "ok", "data": data})


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"result": "error", "message": message}, status=status)
