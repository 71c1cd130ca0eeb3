"""The whole app as the Supervisor starts, asks, changes, stops and shows it."""

import asyncio
import json
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.packaging.apparmor import BASE, Profile, rules
from tests.packaging.container import Container
from tests.packaging.files import CONFIG, ROOT
from tests.packaging.traced import sockets, uses
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.ingress import Ingress
from tests.support.mosquitto import Mosquitto
from tests.support.network import isolated
from tests.support.patience import PATIENCE, until
from tests.support.stand import Charger, Watch, basic

CORE, SUPERVISOR, APP = "172.30.32.1", "172.30.32.2", "172.30.33.5"
STRANGER = "172.30.33.9"  # another app
TIME = "2026-11-25T12:00:00Z"
WRITE = {"X-Requested-With": "ocpp-gateway"}


def may_make_containers() -> bool:
    """Tell whether we may have networks and mounts of our own: root may, unless it is confined."""
    if shutil.which("unshare") is None or shutil.which("s6-svscan") is None:
        return False
    attempt = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


def may_trace() -> bool:
    """Tell whether strace may look at programs here, and the usual abstractions are there."""
    if shutil.which("strace") is None or not BASE.exists():
        return False
    attempt = ["strace", "-o", "/dev/null", "true"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not may_make_containers(), reason="needs s6, and namespaces, which root may make"
)


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    """Keep the ports and addresses of Home Assistant apart from this machine's."""
    with isolated(CORE, SUPERVISOR, APP, STRANGER):
        yield


class Home:
    """Home Assistant with the app installed."""

    def __init__(
        self, supervisor: FakeSupervisor, app: Container, url: str, browser: aiohttp.ClientSession
    ) -> None:
        self.supervisor = supervisor
        self.app = app
        self.url = url
        self._browser = browser

    @property
    def data(self) -> Path:
        return self.app.root / "data"

    async def start(self) -> None:
        """Start the app, and return once it listens for chargers and its page is there."""
        await self.app.start(self.supervisor.start_app(self.data))
        await self.app.says("Chargers connect to port 33033")
        async with asyncio.timeout(PATIENCE):
            while (await self.page("GET", "health"))[0] == 502:
                await asyncio.sleep(0.05)

    async def page(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Ask through ingress, as a page in the sidebar does; return status and JSON or text."""
        async with self._browser.request(
            method, self.url + path, json=body, headers={**WRITE, **(headers or {})}
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def connected(self) -> None:
        """Wait until the app has reached the broker."""
        async with asyncio.timeout(PATIENCE):
            while (await self.page("GET", "health"))[1]["broker"] != "connected":
                await asyncio.sleep(0.05)


@pytest.fixture
async def home(tmp_path: Path, network: None) -> AsyncIterator[Home]:
    ingress = Ingress(f"{APP}:8099", peer=SUPERVISOR)
    supervisor = FakeSupervisor(CONFIG, ingress.prefix)
    app = Container(tmp_path, {"supervisor": SUPERVISOR, "core-mosquitto": "127.0.0.1"})
    async with (
        supervisor.serve(SUPERVISOR, 80),
        ingress.serve(CORE, 8123) as url,
        aiohttp.ClientSession() as browser,
    ):
        yield Home(supervisor, app, url, browser)
        await app.remove()


@pytest.fixture
async def broker(network: None) -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as mosquitto:
        yield mosquitto


def registered(broker: Mosquitto) -> dict[str, Any]:
    """Return what the broker's app tells the Supervisor."""
    return {
        "addon": "core_mosquitto",
        "host": "core-mosquitto",
        "port": broker.port,
        "ssl": False,
        "protocol": "3.1.1",
        "username": "addons",
        "password": "pa55word",
    }


async def test_starts_serves_and_stops(home: Home, broker: Mosquitto) -> None:
    home.supervisor.mqtt = registered(broker)
    home.supervisor.chosen = {"unknown_chargers": "accept"}
    async with Watch(broker.port) as watch:
        await home.start()
        await home.connected()
        assert (await watch.expect("ocpp/gateway/main")).payload == b"online"
        async with connect(f"ws://{APP}:33033/ocpp/CP1", subprotocols=[OCPP]) as socket:
            assert (await Charger(socket).boot())["status"] == "Accepted"
            sent = await watch.expect("ocpp/cp/CP1/BootNotification")
            assert sent.json["Payload"]["chargePointVendor"] == "vendor1"
        # The link to the page, once the Supervisor has told our name.
        link = f"homeassistant://hassio/ingress/{home.supervisor.slug}"
        await until(lambda: link in links(watch))
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await home.app.stop() == 0
        assert loop.time() - before < 5
        assert (await watch.expect("ocpp/gateway/main", 2)).payload == b"offline"
    assert {path for _, path in home.supervisor.asked} <= {"/services/mqtt", "/addons/self/info"}


def links(watch: Watch) -> list[str]:
    """Return where the devices that were announced lead to."""
    announced = [one for one in watch.seen if one.topic.startswith("homeassistant/device/")]
    return [one.json["dev"].get("cu") for one in announced if one.payload]


async def test_stores_the_chargers_of_the_options_and_empties_them(home: Home) -> None:
    home.supervisor.chosen = {
        "unknown_chargers": "refuse",
        "chargers": [{"id": "CP1", "password": "a secret of 20 b"}],
    }
    home.supervisor.state = "setup"  # not ready yet, as at boot
    await home.start()
    assert home.supervisor.options["chargers"]
    home.supervisor.state = "running"
    await until(lambda: home.supervisor.options["chargers"] == [])
    assert home.supervisor.options["unknown_chargers"] == "refuse"
    stored = "".join(path.read_text(errors="replace") for path in home.data.iterdir())
    assert "a secret of 20 b" not in stored
    assert not any("a secret" in line for line in home.app.log)
    assert await home.app.stop() == 0

    await home.start()
    url = f"ws://{APP}:33033/ocpp/CP1"
    headers = {"Authorization": basic("CP1", "a secret of 20 b")}
    async with connect(url, subprotocols=[OCPP], additional_headers=headers) as socket:
        assert (await Charger(socket).boot())["status"] == "Accepted"
    assert await home.app.stop() == 0


async def test_the_first_charger_as_the_documentation_tells(home: Home, broker: Mosquitto) -> None:
    home.supervisor.mqtt = registered(broker)
    url = f"ws://{APP}:33033/ocpp"
    good = {"Authorization": basic("garage", "sixteen or more!")}
    await home.start()
    await home.connected()
    async with Watch(broker.port, "ocpp/#") as watch:
        # The charger appends its ID to the address by itself.
        async with connect(f"{url}/garage", subprotocols=[OCPP], additional_headers=good) as socket:
            charger = Charger(socket)
            assert (await charger.boot())["status"] == "Pending"
            _, (waiting,) = await home.page("GET", "api/chargers")
            assert (waiting["id"], waiting["approval"]) == ("garage", "pending")
            assert waiting["vendor"] == "vendor1"
            assert not watch.on("ocpp/cp/garage/BootNotification")
            approval = {"connection": waiting["connection"]}
            assert (await home.page("POST", "api/chargers/garage/approve", approval))[0] == 200
            _, unique_id, action, wanted = await charger.receive()
            assert (action, wanted) == ("TriggerMessage", {"requestedMessage": "BootNotification"})
            await charger.send([3, unique_id, {"status": "Accepted"}])
            assert (await charger.boot())["status"] == "Accepted"
            await watch.expect("ocpp/cp/garage/BootNotification")
        # From now on the password that it presented is needed, also after a restart.
        assert await home.app.stop() == 0
        await home.start()
        for wrong in ({"Authorization": basic("garage", "guessed")}, {}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}/garage", subprotocols=[OCPP], additional_headers=wrong)
            assert refused.value.response.status_code == 401
        async with connect(f"{url}/garage", subprotocols=[OCPP], additional_headers=good) as socket:
            assert (await Charger(socket).boot())["status"] == "Accepted"
    assert await home.app.stop() == 0


async def test_the_health_check_of_the_image_tells_whether_it_is_well(home: Home) -> None:
    check = re.search(r"(?m)^ +CMD (\[.*\])$", (ROOT / "Dockerfile").read_text())
    assert check is not None

    async def healthy() -> bool:
        # The network is the app's, as it is for Docker.
        process = await asyncio.create_subprocess_exec(*json.loads(check[1]))
        return await process.wait() == 0

    assert not await healthy()
    await home.start()
    assert await healthy()
    assert await home.app.stop() == 0
    assert not await healthy()


async def test_without_home_assistant_the_page_asks_for_the_token(home: Home) -> None:
    """As with `docker run`: no Supervisor, and the options of the documentation."""
    token = "a-long-secret-of-your-own"
    options = {"mqtt": {"host": "core-mosquitto"}, "web_host": "0.0.0.0", "web_token": token}
    (home.data / "options.json").write_text(json.dumps(options))
    await home.app.start({})
    visitor = aiohttp.TCPConnector(local_addr=(STRANGER, 0))
    url = f"http://{APP}:8099/"
    async with aiohttp.ClientSession(connector=visitor) as session:
        await home.app.says("Chargers connect to port")
        async with session.get(url + "api/chargers") as answer:
            assert answer.status == 401
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(url + "api/chargers", headers=headers) as answer:
            assert (answer.status, await answer.json()) == (200, [])
        async with session.get(url, headers={"Accept": "text/html"}) as answer:
            assert "Sign in" in await answer.text()
    assert home.supervisor.asked == []
    assert await home.app.stop() == 0


def certify(folder: Path) -> Path:
    """Make a certificate whose key only root may read; return the certificate."""
    key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=gateway"
        f" -addext subjectAltName=IP:{APP} -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    key.chmod(0o600)
    return certificate


async def test_reads_keys_that_only_root_may_read(home: Home) -> None:
    certificate = certify(home.app.root / "ssl")
    home.supervisor.chosen = {"ssl": True, "unknown_chargers": "accept"}
    await home.start()
    trusting = ssl.create_default_context(cafile=certificate)
    url = f"wss://{APP}:33034/ocpp/CP1"
    async with connect(url, subprotocols=[OCPP], ssl=trusting) as socket:
        assert (await Charger(socket).boot())["status"] == "Accepted"
    assert await home.app.stop() == 0


@pytest.mark.skipif(not may_trace(), reason="needs strace, and apparmor's abstractions")
async def test_does_nothing_that_its_profile_forbids(
    home: Home, broker: Mosquitto, tmp_path: Path
) -> None:
    home.app.trace = tmp_path / "trace"
    home.app.trace.mkdir()
    certify(home.app.root / "ssl")
    home.supervisor.mqtt = registered(broker)
    home.supervisor.chosen = {"ssl": True, "chargers": [{"id": "CP1", "password": "secret"}]}
    await home.start()
    await home.connected()
    headers = {"Authorization": basic("CP1", "secret")}
    url = f"ws://{APP}:33033/ocpp/CP1"
    async with connect(url, subprotocols=[OCPP], additional_headers=headers) as socket:
        charger = Charger(socket)
        await charger.boot()
        started = {"connectorId": 1, "idTag": "A", "meterStart": 0, "timestamp": TIME}
        assert (await charger.call("StartTransaction", started))[0] == 3
        for page in ("", "connect", "sessions", "charger?id=CP1", "call?charger=CP1", "metrics"):
            assert (await home.page("GET", page))[0] == 200, page
    assert await home.app.stop() == 0

    profile = Profile.of([*rules("gateway"), *BASE.read_text().splitlines()])
    python = [str(ROOT), sys.prefix, sys.base_prefix]  # in the image it is where the profile says
    used = set(uses(home.app.trace, "python3", "/run/service/ocpp-gateway"))
    assert ("/data/gateway.sqlite3", "w") in used
    assert ("/ssl/privkey.pem", "r") in used
    forbidden = {
        (path, how)
        for path, how in used
        if not profile.allows(path, how) and not path.startswith(tuple(python))
    }
    assert forbidden == set()
    made = sockets(home.app.trace, "python3")
    assert {"inet stream", "unix stream"} <= made <= profile.network


async def test_a_crash_ends_the_container_with_its_code(home: Home) -> None:
    await home.start()
    assert await home.app.crash() == 128 + 9


async def test_bad_options_end_the_container_with_a_sentence(home: Home) -> None:
    home.supervisor.chosen = {"topics": {"presence": "presence/for/all"}}
    await home.app.start(home.supervisor.start_app(home.data))
    assert await home.app.ended() == 1
    assert [line for line in home.app.log if line.startswith("topics.presence: ")]


async def test_changed_options_hold_from_the_next_start(home: Home) -> None:
    await home.start()
    url = f"ws://{APP}:33033/ocpp/CP1"
    async with connect(url, subprotocols=[OCPP]) as socket:
        assert (await Charger(socket).boot())["status"] == "Pending"
    assert (await home.page("GET", "health"))[0] == 200
    home.supervisor.chosen = {"unknown_chargers": "accept", "heartbeat_interval": 77}
    assert await home.app.stop() == 0
    await home.start()
    async with connect(url, subprotocols=[OCPP]) as socket:
        assert (await Charger(socket).boot())["interval"] == 77
    assert await home.app.stop() == 0


async def test_a_broker_that_comes_late_misses_nothing(home: Home, broker: Mosquitto) -> None:
    home.supervisor.state = "setup"
    home.supervisor.chosen = {"unknown_chargers": "accept"}
    await home.start()
    await home.app.says("System is not ready with state: setup")
    home.supervisor.state = "running"
    await home.app.says("install and start the Mosquitto broker app")
    url = f"ws://{APP}:33033/ocpp/CP1"
    async with connect(url, subprotocols=[OCPP]) as socket, Watch(broker.port) as watch:
        assert (await Charger(socket).boot())["status"] == "Accepted"
        assert (await home.page("GET", "health"))[1]["broker"] == "disconnected"
        home.supervisor.mqtt = registered(broker)
        await home.connected()
        late = await watch.expect("ocpp/cp/CP1/BootNotification")
        assert late.marks("replayed") == ["true"]
    assert await home.app.stop() == 0


async def test_the_page_is_for_home_assistant_alone(home: Home) -> None:
    await home.start()
    assert (await home.page("GET", "api/chargers"))[0] == 200
    stranger = aiohttp.TCPConnector(local_addr=(STRANGER, 0))
    forged = {"X-Ingress-Path": "/api/hassio_ingress/x", "X-Remote-User-Name": "anna", **WRITE}
    async with aiohttp.ClientSession(connector=stranger, headers=forged) as session:
        for path in ("api/chargers", "health", ""):
            async with session.get(f"http://{APP}:8099/{path}") as answer:
                assert answer.status == 403, path
    foreign = {"Origin": "http://evil.example"}
    status, _ = await home.page("PUT", "api/chargers/CP1", {"password": None}, foreign)
    assert status == 403
    own = {"Origin": f"http://{CORE}:8123"}
    status, _ = await home.page("PUT", "api/chargers/CP 1", {"password": None}, own)
    assert status in (200, 201, 204)
    assert [one["id"] for one in (await home.page("GET", "api/chargers"))[1]] == ["CP 1"]
    assert await home.app.stop() == 0


async def test_live_updates_reach_the_page(home: Home) -> None:
    home.supervisor.chosen = {"unknown_chargers": "accept"}
    await home.start()
    own = {"Origin": f"http://{CORE}:8123"}
    async with (
        aiohttp.ClientSession() as browser,
        browser.ws_connect(home.url + "api/live", headers=own) as live,
        connect(f"ws://{APP}:33033/ocpp/CP1", subprotocols=[OCPP]) as socket,
    ):
        await Charger(socket).boot()
        async with asyncio.timeout(PATIENCE):
            while "BootNotification" not in await live.receive_str():
                pass
    assert await home.app.stop() == 0


OCPP = Subprotocol("ocpp1.6")
