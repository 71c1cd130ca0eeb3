"""The stand-in for the Supervisor allows what it allows, and refuses the rest as it does."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.packaging.files import CONFIG
from tests.support.fake_supervisor import FakeSupervisor

SERVICE = {"host": "core-mosquitto", "port": 1883}


class App:
    """An app that asks the Supervisor."""

    def __init__(self, home: FakeSupervisor, url: str, session: aiohttp.ClientSession) -> None:
        self.home = home
        self._url = url
        self._session = session

    async def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token or self.home.token}"}
        async with self._session.request(
            method, self._url + path, json=body, headers=headers
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    home = FakeSupervisor(CONFIG)
    home.start_app(tmp_path)
    async with home.serve() as url, aiohttp.ClientSession() as session:
        yield App(home, url, session)


@pytest.mark.parametrize(
    "path",
    ["/addons/self/security", "/addons/self/update", "/supervisor/info", "/addons", "/host/info"],
)
async def test_forbids_what_needs_a_permission(app: App, path: str) -> None:
    assert (await app.ask("GET", path))[0] == 403


async def test_tells_the_app_about_itself(app: App) -> None:
    status, answer = await app.ask("GET", "/addons/self/info")
    assert (status, answer["result"]) == (200, "ok")
    assert answer["data"]["slug"] == f"a0d7b954_{CONFIG['slug']}"
    assert answer["data"]["options"] == CONFIG["options"]
    status, answer = await app.ask("GET", "/info")
    assert answer["data"]["homeassistant"]


async def test_knows_a_broker_once_it_has_registered(app: App) -> None:
    assert await app.ask("GET", "/services/mqtt") == (
        400,
        {"result": "error", "message": "Service not enabled"},
    )
    app.home.mqtt = SERVICE
    assert await app.ask("GET", "/services/mqtt") == (200, {"result": "ok", "data": SERVICE})
    app.home.config = {key: value for key, value in CONFIG.items() if key != "services"}
    status, answer = await app.ask("GET", "/services/mqtt")
    assert (status, answer["message"]) == (403, "No access to mqtt service!")


async def test_gives_a_new_token_at_each_start(app: App, tmp_path: Path) -> None:
    old = app.home.token
    app.home.start_app(tmp_path)
    assert (await app.ask("GET", "/info", token=old))[0] == 401
    assert (await app.ask("GET", "/info"))[0] == 200


async def test_is_not_ready_early_in_boot(app: App) -> None:
    app.home.state = "initialize"
    status, answer = await app.ask("GET", "/info")
    assert status == 400
    assert answer["message"] == "System is not ready with state: initialize"


async def test_stores_options_that_fit_and_writes_them_at_the_next_start(
    app: App, tmp_path: Path
) -> None:
    chosen = {**CONFIG["options"], "heartbeat_interval": 77, "gone": 1}
    assert (await app.ask("POST", "/addons/self/options", {"options": chosen}))[0] == 200
    file = tmp_path / "options.json"
    assert "heartbeat_interval" not in json.loads(file.read_text())
    app.home.start_app(tmp_path)
    assert json.loads(file.read_text())["heartbeat_interval"] == 77
    assert "gone" not in json.loads(file.read_text())


async def test_refuses_options_that_do_not_fit(app: App) -> None:
    chosen = {**CONFIG["options"], "chargers": [{"password": "x"}]}
    status, answer = await app.ask("POST", "/addons/self/options", {"options": chosen})
    assert (status, answer["result"]) == (400, "error")
    assert "missing option" in answer["message"]
    assert app.home.options == CONFIG["options"]
