"""Compose the rooms into a gateway and run it: every task and every resource has its place here."""

import asyncio
import hashlib
import logging
import os
import re
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import aiohttp

from ocpp_addon import folder, garbage
from ocpp_addon.announcer import Announcer
from ocpp_addon.bridge import OFFLINE, ONLINE, Bridge
from ocpp_addon.config import MqttSettings, Settings
from ocpp_addon.controls import Controls
from ocpp_addon.database import Database
from ocpp_addon.devices import Devices
from ocpp_addon.endpoint.certificate import Certificate
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.identity import RESERVED, UnusableId, checked_id
from ocpp_addon.endpoint.passwords import Passwords
from ocpp_addon.endpoint.server import Endpoint, EndpointSettings
from ocpp_addon.errors import GatewayError, OptionsError, StorageError
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.inbox import Inbox
from ocpp_addon.management import Chosen, Management
from ocpp_addon.mishaps import Mishaps
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.link import Address
from ocpp_addon.mqtt.outbox import Outbox
from ocpp_addon.mqtt.retained import Retained
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.news import News
from ocpp_addon.ocpp.session import Policy
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import Version
from ocpp_addon.places import Places
from ocpp_addon.schemas import heavy_schemas, load_schema
from ocpp_addon.supervisor import Supervisor, when_ready
from ocpp_addon.web.server import WebServer

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds that a stop waits for the broker, in each of its two steps
RESTARTS = 3  # of a part that fails, while it runs for less than RESTARTS_WITHIN in between
RESTARTS_WITHIN = 600.0  # seconds
RESTART_DELAY = 1.0  # seconds
DATABASE = "gateway.sqlite3"
CREDENTIALS = "chargers.json"


def check(settings: Settings) -> None:
    """Raise OptionsError if settings that are right one by one do not fit together."""
    reserved = _reserved(_topics(settings))
    for charger in settings.chargers:
        try:
            checked_id(charger.id, reserved)
        except UnusableId as error:
            raise OptionsError(f"chargers: {error}") from None
    _certificate(settings)
    _broker_tls(settings.mqtt)


async def run(settings: Settings, data: Path, options: Path | None = None) -> int:
    """Run until SIGTERM or SIGINT and return the exit code.

    `data` is the folder for everything that is kept; `options` is the file that the settings came
    from: once its `chargers` are stored, they are removed from it.
    """
    check(settings)
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    try:
        async with Gateway(settings, data, options) as gateway:
            garbage.settle()
            if not await gateway.serve(stop):
                return 1
    except (GatewayError, OSError) as error:
        log.error("The gateway cannot start: %s", error)
        return 1
    return 0


class Gateway:
    """Hold the rooms together; entered, it listens, and `serve` lets it work."""

    def __init__(self, settings: Settings, data: Path, options: Path | None = None) -> None:
        self._settings = settings
        self._data = data
        self._options = options
        self._resources = AsyncExitStack()
        self._validator = Validator(load_schema)
        self._warm: set[Version] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._failed = False
        self._mishaps = Mishaps()
        self.endpoint: Endpoint
        self.web: WebServer
        self.management: Management

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            await self._open(resources)
            self._resources = resources.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    @property
    def connected(self) -> bool:
        """Tell whether the broker is there."""
        return self._broker.connected

    async def serve(self, stop: asyncio.Event) -> bool:
        """Work until `stop` is set, then leave in good order; False if a part has failed for good.

        A part that fails is started again; the others do not notice.
        """
        asyncio.get_running_loop().set_exception_handler(self._mishap)
        parts = {
            "broker": self._broker.run,
            "outbox": self._outbox.run,
            "retained": self._retained.run,
            "endpoint": self.endpoint.run,
            "home": self._home.run,
            "announcer": self._announcer.run,
            "devices": self._devices.run,
            "web": self.web.run,
            "inbox": self._inbox.run,
            "page URL": self._learn_page_url,
            "garbage": garbage.run,
        }
        if self._certificate is not None:
            parts["certificate"] = self._certificate.run
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._bridge.spawn = self._spawn
            running = [
                tasks.create_task(self._keep_running(name, part, stop), name=name)
                for name, part in parts.items()
            ]
            await stop.wait()
            log.info("Stopping")
            await self._leave()
            for task in running:
                task.cancel()
        log.info("Stopped")
        return not self._failed

    async def _keep_running(
        self, name: str, part: Callable[[], Coroutine[Any, Any, None]], stop: asyncio.Event
    ) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await part()
                return
            except Exception:
                failures = 1 if loop.time() - began > RESTARTS_WITHIN else failures + 1
                if failures > RESTARTS:
                    log.exception("The part %s fails again and again: the gateway stops", name)
                    self._failed = True
                    stop.set()
                    return
                self._mishaps.note(f"the part {name}, which is started again")
            await asyncio.sleep(RESTART_DELAY)

    def _spawn(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Run something short beside the parts."""

        async def guarded() -> None:
            with self._mishaps.contained(name):
                await work

        if self._tasks is not None:
            self._tasks.create_task(guarded(), name=name)

    def _mishap(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what nobody has caught."""
        message = str(context["message"])
        try:
            raise context.get("exception") or RuntimeError(message)
        except BaseException:
            # Without the arguments of a callback, which are others each time.
            self._mishaps.note(message.partition("(")[0])

    async def _open(self, resources: AsyncExitStack) -> None:
        settings, data = self._settings, self._data
        resources.enter_context(folder.claimed(data))
        topics = _topics(settings)
        reserved = _reserved(topics)
        session = await resources.enter_async_context(aiohttp.ClientSession())
        self._supervisor = _supervisor(session)
        database = await Database.open(data / DATABASE, (*Outbox.TABLES, *CentralSystem.TABLES))
        resources.push_async_callback(database.close)
        if database.problem:
            self._mishaps.problems.append(database.problem)
        credentials = await Credentials.load(data / CREDENTIALS)
        self._home = await CentralSystem.open(
            database,
            tag_policy=settings.tag_policy,
            heartbeat_interval=settings.heartbeat_interval,
        )
        resources.push_async_callback(self._close_home)
        self._broker = Broker(self._address, topics.gateway)
        self._outbox = await Outbox.open(self._broker, database, settings.outbox_limit)
        await database.adopt()
        self._retained = Retained(self._broker, topics.gateway)
        self._retained.set(topics.gateway, ONLINE)
        self._topics = topics
        self._devices = Devices(
            topics, self._retained, self._home, settings.name, enabled=settings.discovery
        )
        news = News(topics, self._broker, self._home)
        self._announcer = Announcer(topics, self._retained, self._home, self._devices, news)
        self._bridge = Bridge(
            topics,
            self._broker,
            self._outbox,
            self._retained,
            self._home,
            self._mishaps,
            self._announcer,
        )
        self._bridge.on_birth = self._devices.reborn
        passwords = Passwords()
        self._inbox = Inbox(settings.chargers, self._options, self._supervisor)
        await self._inbox.take_in(credentials, passwords)
        for charger_id in credentials.ids():
            self._retained.set(topics.presence(charger_id), OFFLINE)
            self._home.states.introduced(charger_id)
        self._certificate = certificate = _certificate(settings)
        self._devices.begin(credentials.ids())
        self.endpoint = self._bridge.endpoint = Endpoint(
            EndpointSettings(
                settings.host,
                settings.port,
                settings.tls_port,
                certificate.context if certificate else None,
                settings.unknown_chargers,
                settings.ping_interval,
                settings.heartbeat_interval,
                reserved,
                settings.trusted_proxies,
                Policy(
                    settings.central_system,
                    settings.answer_timeout,
                    settings.validation,
                    settings.call_timeout,
                    settings.queue_limit,
                ),
            ),
            credentials,
            passwords,
            self._validator.findings,
            self._bridge,
            self._admit,
        )
        self.management = Management(
            self.endpoint,
            self._bridge,
            Controls(self._bridge, self._home, self._announcer, news),
            self._home,
            self._broker,
            self._outbox,
            topics,
            Places(self._supervisor, settings.host),
            Chosen(settings.unknown_chargers, settings.tag_policy),
            reserved,
            self._mishaps.problems,
        )
        self.web = WebServer(
            self.management,
            host=settings.web_host,
            port=settings.web_port,
            token=settings.web_token,
            ingress=self._supervisor is not None,
        )
        await resources.enter_async_context(self.web)
        await resources.enter_async_context(self.endpoint)

    async def _leave(self) -> None:
        """Say goodbye: nothing acknowledged gets lost, and everybody learns that we are gone."""
        await self.endpoint.close()
        self._announcer.show()
        self._devices.close()
        self._retained.set(self._topics.gateway, OFFLINE)
        await self._retained.flush(PATIENCE)
        await self._outbox.close(PATIENCE)
        await self._broker.close()

    async def _close_home(self) -> None:
        try:
            await self._home.close()
        except StorageError as error:
            log.error("What was learnt last is not stored: %s", error)

    async def _admit(self, charger_id: str, version: Version, pending: bool) -> None:
        if version not in self._warm:
            # Some schemas of 2.x take long to compile: do it before they are needed.
            self._warm.add(version)
            work = asyncio.to_thread(self._validator.prepare, version, heavy_schemas(version))
            self._spawn(work, f"schemas of OCPP {version.number}")
        await self._bridge.admit(charger_id, version, pending)

    async def _learn_page_url(self) -> None:
        """Find out where Home Assistant shows our page, for the devices that we announce."""
        if self._supervisor is None:
            return
        try:
            self._devices.found_page(await when_ready(self._supervisor.page_url))
        except GatewayError as error:
            log.warning("Devices have no link to our page: %s", error)

    async def _address(self) -> Address:
        mqtt = self._settings.mqtt
        if mqtt.host is None and self._supervisor is not None:
            mqtt = await self._supervisor.mqtt_service()
        return Address(
            mqtt.host or "127.0.0.1",
            mqtt.port,
            mqtt.username,
            mqtt.password,
            _broker_tls(mqtt),
            mqtt.client_id or _client_id(self._settings.name, self._data),
        )


def _topics(settings: Settings) -> Topics:
    return Topics(settings.topics, settings.name, settings.discovery_prefix)


def _reserved(topics: Topics) -> frozenset[str]:
    return RESERVED | topics.literals


def _supervisor(session: aiohttp.ClientSession) -> Supervisor | None:
    token = os.environ.get("SUPERVISOR_TOKEN")
    return Supervisor(session, token) if token else None


def _certificate(settings: Settings) -> Certificate | None:
    if not settings.ssl:
        return None
    try:
        return Certificate(settings.certfile, settings.keyfile, settings.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise OptionsError(
            f"ssl: certfile {settings.certfile}, keyfile {settings.keyfile} or client_ca cannot"
            f" be used: {error}."
        ) from None


@lru_cache(maxsize=2)
def _broker_tls(mqtt: MqttSettings) -> ssl.SSLContext | None:
    if not mqtt.tls:
        return None
    try:
        return ssl.create_default_context(cafile=str(mqtt.ca) if mqtt.ca else None)
    except (OSError, ssl.SSLError) as error:
        raise OptionsError(f"mqtt.ca: {mqtt.ca} cannot be used: {error}.") from None


def _client_id(name: str, data: Path) -> str:
    """Return an MQTT client id that is the same after a restart and another's on no other host.

    The broker then ends an old connection of ours, and with it its will, before the new one.
    """
    place = f"{socket.gethostname()}|{data.resolve()}|{name}"
    slug = re.sub(r"[^A-Za-z0-9]", "", name)[:8]
    return f"ocpp-{slug}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
