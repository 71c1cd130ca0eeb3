"""Compose the rooms into a gateway and run it: every task and every resource has its place here."""

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ocpp_addon import folder, garbage
from ocpp_addon.announcer import Announcer
from ocpp_addon.aside import Aside
from ocpp_addon.bridge import Bridge
from ocpp_addon.broker_address import BrokerAddress, tls_context
from ocpp_addon.config import Settings
from ocpp_addon.controls import Controls
from ocpp_addon.database import Database
from ocpp_addon.devices import Devices
from ocpp_addon.downstream import Downstream
from ocpp_addon.endpoint.admission import Admission
from ocpp_addon.endpoint.certificate import Certificate
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.identity import RESERVED, UnusableId, checked_id
from ocpp_addon.endpoint.passwords import Passwords
from ocpp_addon.endpoint.roster import Roster
from ocpp_addon.endpoint.server import Endpoint, EndpointSettings
from ocpp_addon.errors import GatewayError, OptionsError, StorageError
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.inbox import Inbox
from ocpp_addon.management import Chosen, Management
from ocpp_addon.membership import Membership
from ocpp_addon.mishaps import Mishaps
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.outbox import Outbox
from ocpp_addon.mqtt.retained import Retained
from ocpp_addon.mqtt.topics import OFFLINE, ONLINE, Topics
from ocpp_addon.news import News
from ocpp_addon.ocpp.session import Policy
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.places import Places
from ocpp_addon.schemas import load_schema
from ocpp_addon.supervisor import Supervisor, when_ready
from ocpp_addon.tasks import Tasks
from ocpp_addon.upstream import Upstream
from ocpp_addon.web.server import WebServer

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds that a stop waits for the broker, in each of its two steps
DATABASE = "gateway.sqlite3"
CREDENTIALS = "chargers.json"
# What a person has to know and do where a file was broken.
WITHOUT = {
    DATABASE: "Sessions, tags and what waited for the broker are gone: restore a backup, or go on.",
    CREDENTIALS: "No charger of it is known: restore a backup, or set their passwords anew.",
}


def check(settings: Settings) -> None:
    """Raise OptionsError if settings that are right one by one do not fit together."""
    reserved = _reserved(_topics(settings))
    for charger in settings.chargers:
        try:
            checked_id(charger.id, reserved)
        except UnusableId as error:
            raise OptionsError(f"chargers: {error}") from None
    _certificate(settings)
    tls_context(settings.mqtt)


async def run(settings: Settings, data: Path, options: Path | None = None) -> int:
    """Run until SIGTERM or SIGINT and return the exit code; see `opened` for the rest."""
    check(settings)
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    try:
        async with opened(settings, data, options) as gateway:
            garbage.settle()
            if not await gateway.serve(stop):
                return 1
    except (GatewayError, OSError) as error:
        log.error("The gateway cannot start: %s", error)
        return 1
    return 0


@dataclass(frozen=True)
class Gateway:
    """The rooms and what is between them; `serve` lets them work."""

    tasks: Tasks
    topics: Topics
    broker: Broker
    outbox: Outbox
    retained: Retained
    home: CentralSystem
    devices: Devices
    announcer: Announcer
    credentials: Credentials
    roster: Roster
    membership: Membership
    endpoint: Endpoint
    management: Management
    web: WebServer
    inbox: Inbox
    aside: Aside
    certificate: Certificate | None
    supervisor: Supervisor | None

    async def serve(self, stop: asyncio.Event) -> bool:
        """Work until `stop` is set, then leave in good order; False if a part failed for good."""
        parts = {
            "broker": self.broker.run,
            "outbox": self.outbox.run,
            "retained": self.retained.run,
            "endpoint": self.endpoint.run,
            "home": self.home.run,
            "announcer": self.announcer.run,
            "devices": self.devices.run,
            "web": self.web.run,
            "inbox": self.inbox.run,
            "files set aside": self.aside.run,
            "page URL": self._learn_page_url,
            "garbage": garbage.run,
        }
        if self.certificate is not None:
            parts["certificate"] = self.certificate.run
        return await self.tasks.run(parts, stop, self._leave)

    async def _leave(self) -> None:
        """Say goodbye: nothing acknowledged gets lost, and everybody learns that we are gone."""
        await self.endpoint.close()
        self.announcer.show()
        self.devices.close()
        self.retained.set(self.topics.gateway, OFFLINE)
        await self.retained.flush(PATIENCE)
        await self.outbox.close(PATIENCE)
        await self.broker.close()

    async def _learn_page_url(self) -> None:
        """Find out where Home Assistant shows our page, for the devices that we announce."""
        if self.supervisor is None:
            return
        try:
            self.devices.found_page(await when_ready(self.supervisor.page_url))
        except GatewayError as error:
            log.warning("Devices have no link to our page: %s", error)


@asynccontextmanager
async def opened(
    settings: Settings, data: Path, options: Path | None = None
) -> AsyncIterator[Gateway]:
    """Compose a gateway that listens; its parts are closed in the opposite order.

    `data` is the folder for everything that is kept; `options` is the file that the settings came
    from: once its `chargers` are stored, they are removed from it.
    """
    async with AsyncExitStack() as resources:
        resources.enter_context(folder.claimed(data))
        mishaps = Mishaps()
        tasks = Tasks(mishaps)
        topics = _topics(settings)
        reserved = _reserved(topics)
        supervisor = _supervisor(await resources.enter_async_context(aiohttp.ClientSession()))

        # What is kept.
        database = await Database.open(data / DATABASE, (*Outbox.TABLES, *CentralSystem.TABLES))
        resources.push_async_callback(database.close)
        credentials = await Credentials.load(data / CREDENTIALS)
        aside = Aside(data, WITHOUT)
        await aside.look()
        home = await CentralSystem.open(
            database,
            tag_policy=settings.tag_policy,
            heartbeat_interval=settings.heartbeat_interval,
        )
        resources.push_async_callback(_close, home)
        address = BrokerAddress(settings.mqtt, supervisor, settings.name, data)
        broker = Broker(address.find, topics.gateway)
        outbox = await Outbox.open(broker, database, settings.outbox_limit)
        await database.adopt()
        passwords = Passwords()
        resources.callback(passwords.close)
        inbox = Inbox(settings.chargers, options, supervisor)
        await inbox.take_in(credentials, passwords)

        # What is between the rooms.
        roster = Roster(credentials)
        admission = Admission(
            credentials, passwords, settings.unknown_chargers, reserved, roster.pending_ids
        )
        retained = Retained(broker, topics.gateway)
        retained.set(topics.gateway, ONLINE)
        devices = Devices(topics, retained, home, settings.name, enabled=settings.discovery)
        news = News(topics, broker, home)
        announcer = Announcer(topics, retained, home, devices, news, roster)
        upstream = Upstream(topics, outbox)
        downstream = Downstream(roster, topics, upstream)
        downstream.on_birth = devices.reborn
        membership = Membership(
            credentials,
            admission,
            roster,
            topics,
            broker,
            outbox,
            retained,
            home,
            announcer,
            downstream,
            mishaps,
        )
        broker.filters, broker.on_message = membership.filters, downstream.receive
        await membership.begin()
        devices.begin(credentials.ids())

        # Where chargers and people connect.
        validator = Validator(load_schema)
        bridge = Bridge(
            roster,
            credentials,
            membership,
            upstream,
            home,
            announcer,
            validator,
            mishaps,
            tasks.spawn,
        )
        certificate = _certificate(settings)
        endpoint = Endpoint(
            _endpoint_settings(settings, certificate),
            credentials,
            admission,
            roster,
            validator.findings,
            bridge,
        )
        management = Management(
            credentials,
            roster,
            endpoint,
            bridge,
            membership,
            downstream,
            Controls(roster, downstream, home, announcer, news, tasks.spawn),
            home,
            broker,
            outbox,
            topics,
            Places(supervisor, settings.host),
            Chosen(settings.unknown_chargers, settings.tag_policy),
            reserved,
            lambda: [*mishaps.problems, *aside.problems],
        )
        web = WebServer(
            management,
            host=settings.web_host,
            port=settings.web_port,
            token=settings.web_token,
            ingress=supervisor is not None,
        )
        await resources.enter_async_context(web)
        await resources.enter_async_context(endpoint)
        yield Gateway(
            tasks=tasks,
            topics=topics,
            broker=broker,
            outbox=outbox,
            retained=retained,
            home=home,
            devices=devices,
            announcer=announcer,
            credentials=credentials,
            roster=roster,
            membership=membership,
            endpoint=endpoint,
            management=management,
            web=web,
            inbox=inbox,
            aside=aside,
            certificate=certificate,
            supervisor=supervisor,
        )


async def _close(home: CentralSystem) -> None:
    try:
        await home.close()
    except StorageError as error:
        log.error("What was learnt last is not stored: %s", error)


def _endpoint_settings(settings: Settings, certificate: Certificate | None) -> EndpointSettings:
    return EndpointSettings(
        host=settings.host,
        port=settings.port,
        tls_port=settings.tls_port,
        tls=certificate.context if certificate else None,
        ping_interval=settings.ping_interval,
        heartbeat_interval=settings.heartbeat_interval,
        trusted_proxies=settings.trusted_proxies,
        policy=Policy(
            central_system=settings.central_system,
            answer_timeout=settings.answer_timeout,
            validation=settings.validation,
            call_timeout=settings.call_timeout,
            queue_limit=settings.queue_limit,
        ),
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
