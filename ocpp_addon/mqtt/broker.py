"""Stay connected to the broker: reconnect for ever, subscribe, and say how it stands."""

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterable

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from ocpp_addon.errors import GatewayError
from ocpp_addon.mqtt.link import FAILURE, Address, Incoming, Link, LinkLost
from ocpp_addon.mqtt.properties import UserProperties
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0  # seconds; the delay is drawn evenly from 0 to a bound that grows from here
DELAY_GROWTH = 1.6
LONGEST_DELAY = 5.0
REFUSED_DELAY = 30.0  # after bad credentials, or when another client took our id
STABLE_AFTER = 5.0  # seconds of connection after which delays start small again
UNSTABLE_AFTER = 3  # shorter connections in a row: a rival with our id, or a broken network
SAY_EVERY = 60.0  # seconds between log lines about the same trouble
SAID_LIMIT = 64  # different troubles remembered
SUBSCRIBE_TIMEOUT = 10.0
DISCONNECT_TIMEOUT = 1.0

# Reason codes of MQTT 5, and of 3.1.1 where paho passes them on as they are.
_UNSUPPORTED_VERSION = frozenset({1, 0x84})
_BAD_CREDENTIALS = frozenset({4, 5, 0x86, 0x87, 0x8C})
_BAD_CLIENT_ID = frozenset({2, 0x85})
_TAKEN_OVER = 0x8E

_NUMBER = re.compile(r"^\[Errno -?\d+\] ")


class Broker:
    """Own the connection to the broker, one fresh client for each attempt.

    `resolve` says where it is, anew for each attempt: the Supervisor may have moved it.
    `will_topic` is retained `offline` by the broker when the connection is lost. `filters` says
    what to subscribe, `on_message` gets what arrives. `on_connected` is called once everything
    is subscribed, `on_lost` once a connection has ended.
    """

    def __init__(
        self,
        resolve: Callable[[], Awaitable[Address]],
        will_topic: str,
    ) -> None:
        self._resolve = resolve
        self._will = aiomqtt.Will(will_topic, b"offline", qos=1, retain=True)
        self._version = aiomqtt.ProtocolVersion.V5
        self._old = False  # the broker has shown that it knows no MQTT 5
        self._link: Link | None = None
        self._failures = 0
        self._unstable = 0
        self._said: dict[str, float] = {}
        self._leaving = False
        self.problem: str | None = "The broker has not been reached yet."
        self.filters: Callable[[], Iterable[str]] = tuple
        self.on_message: Callable[[Incoming], None] = _drop
        self.on_connected: list[Callable[[], None]] = []
        self.on_lost: list[Callable[[], None]] = []

    @property
    def connected(self) -> bool:
        """Tell whether messages can be published and everything is subscribed."""
        return self._link is not None

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        user_properties: UserProperties = (),
        correlation_data: bytes | None = None,
    ) -> "asyncio.Future[int]":
        """Publish with QoS 1; see Link.publish_soon. Raises LinkLost, PublishRefused."""
        if self._link is None:
            raise LinkLost("no connection")
        return self._link.publish_soon(
            topic,
            payload,
            retain=retain,
            user_properties=user_properties,
            correlation_data=correlation_data,
        )

    async def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe more filters now; without a connection they are due at the next one."""
        if self._link is not None:
            await self._subscribe(self._link, filters)

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """Unsubscribe filters."""
        if self._link is None:
            return
        try:
            await self._link.unsubscribe(list(filters), timeout=SUBSCRIBE_TIMEOUT)
        except aiomqtt.MqttError as error:
            log.debug("Unsubscribing failed: %s", error)

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            delay = await self._attempt()
            if loop.time() - started >= STABLE_AFTER:
                self._failures = self._unstable = 0
            bound = min(LONGEST_DELAY, FIRST_DELAY * DELAY_GROWTH**self._failures)
            self._failures = min(self._failures + 1, 20)
            # Full jitter: clients that lost the same broker do not come back all at once.
            await asyncio.sleep(max(delay, random.uniform(0, bound)))

    def excuse_losses(self) -> None:
        """Learn that a message has ended the last connections, which is no fault of theirs."""
        self._unstable = self._failures = 0

    async def close(self) -> None:
        """Leave the broker in good order, so that it does not publish our will."""
        link, self._link = self._link, None
        self._leaving = True
        if link is not None:
            await self._hang_up(link)

    async def _attempt(self) -> float:
        """Connect once and stay as long as it lasts; return the least delay before the next."""
        try:
            address = await self._resolve()
        except GatewayError as error:
            self._say(str(error))
            return 0.0
        where = f"{address.host}:{address.port}"
        link = Link(address, self._version, self._will, self.on_message)
        try:
            return await self._connection(link, where, address.client_id)
        except MqttConnectError as error:
            return self._refused(error, where, address.client_id)
        except (aiomqtt.MqttError, TimeoutError, ValueError) as error:
            self._say(f"The broker {where} cannot be reached: {_why(error)}.")
            if link.reached:  # something is there, but it does not understand us
                self._other_version()
            return 0.0

    async def _connection(self, link: Link, where: str, client_id: str) -> float:
        """Live through one connection; return the least delay before the next."""
        try:
            await link.__aenter__()
        except BaseException:
            link.abandon()
            raise
        try:
            if not link.is_v5 and not self._old:
                # MQTT 5 got no answer, perhaps only as the broker was not ready: ask once more.
                self._version, self._old = aiomqtt.ProtocolVersion.V5, True
                return 0.0
            self._old = not link.is_v5
            self.problem = None
            await self._subscribe(link, self.filters())
            self._link = link
            version = "5" if link.is_v5 else "3.1.1"
            self._log(f"Connected to the broker {where} with MQTT {version}.", logging.INFO)
            for connected in self.on_connected:
                connected()
            await link.wait_lost()
        finally:
            was_connected, self._link = self._link is link, None
            if was_connected:  # the next one may be a newer broker
                self._version = aiomqtt.ProtocolVersion.V5
            if not link.lost:
                await self._hang_up(link)
            link.abandon()
            if was_connected:
                for lost in self.on_lost:
                    lost()
        if link.lost_code == _TAKEN_OVER:
            self._say(
                f"Another client uses our client id {printable(client_id)}: give"
                " each gateway a `name` or an `mqtt.client_id` of its own.",
                logging.ERROR,
            )
            return random.uniform(REFUSED_DELAY / 2, REFUSED_DELAY)
        self._unstable += 1
        if self._unstable >= UNSTABLE_AFTER:
            # A broker that says no reason ends the older of two connections with the same id so.
            self._say(
                f"The broker {where} ends each connection soon. Perhaps another client uses our"
                f" client id {printable(client_id)}: `name` or `mqtt.client_id` can change it.",
                logging.ERROR,
            )
            return random.uniform(LONGEST_DELAY, 2 * LONGEST_DELAY)
        self._say(f"The connection to the broker {where} was lost.")
        return 0.0

    async def _hang_up(self, link: Link) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await link.__aexit__(None, None, None)
        except (TimeoutError, aiomqtt.MqttError) as error:
            log.debug("The broker did not take our leave: %s", error)

    async def _subscribe(self, link: Link, filters: Iterable[str]) -> None:
        wanted = tuple(filters)
        if not wanted:
            return
        try:
            refused = await link.subscribe_all(wanted)
        except aiomqtt.MqttError as error:
            log.warning("Subscribing failed: %s", printable(error, 120))
            return
        if refused:
            self._say(f"The broker refuses to let us subscribe {printable(refused[0])}.")

    def _refused(self, error: MqttConnectError, where: str, client_id: str) -> float:
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if code in _UNSUPPORTED_VERSION and self._version is aiomqtt.ProtocolVersion.V5:
            self._version, self._old = aiomqtt.ProtocolVersion.V311, True
            return 0.0
        if code in _BAD_CREDENTIALS:
            self._say(
                f"The broker {where} refuses user name or password: check `mqtt.username`"
                " and `mqtt.password`.",
                logging.ERROR,
            )
            return random.uniform(REFUSED_DELAY / 2, REFUSED_DELAY)
        if code in _BAD_CLIENT_ID:
            self._say(f"The broker refuses the client id {printable(client_id)}.", logging.ERROR)
            return random.uniform(REFUSED_DELAY / 2, REFUSED_DELAY)
        self._say(f"The broker {where} refuses the connection: {printable(error, 120)}.")
        return 0.0

    def _other_version(self) -> None:
        v5 = aiomqtt.ProtocolVersion.V5
        self._version = aiomqtt.ProtocolVersion.V311 if self._version is v5 else v5

    def _say(self, problem: str, level: int = logging.WARNING) -> None:
        """Keep a problem for the health report; log it now and then."""
        if not self._leaving:
            self.problem = problem
            self._log(problem, level)

    def _log(self, text: str, level: int) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._said.get(text, 0.0):
            if len(self._said) >= SAID_LIMIT:
                self._said.clear()
            self._said[text] = now + SAY_EVERY
            log.log(level, "%s", text)


def _drop(incoming: Incoming) -> None:
    """Take a message that nobody wants."""


def _why(error: Exception) -> str:
    """Return the reason of an error without the number that only programs know."""
    return printable(_NUMBER.sub("", str(error)) or "no answer in time", 120)


def is_refusal(code: int) -> bool:
    """Tell whether the broker acknowledged a message without taking it (MQTT 5)."""
    return code >= FAILURE
