"""One connection to a broker: aiomqtt's client with its sharp edges taken off.

aiomqtt 2.5 has no way to see acknowledgements as they come, their reason codes, the DUP flag, or
why a connection ended; each publish costs a task and a walk over all others, and each message
another task. So this class overrides the callbacks `_on_connect`, `_on_disconnect`,
`_on_publish`, `_on_message`, `_on_socket_open` and `_on_socket_register_write`, publishes through
`_client`, and reads through its `_packet_read` and `_loop_rc_handle`. A test holds these names
against the installed versions.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiomqtt
from aiomqtt.types import SubscribeTopic
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, MQTT_ERR_AGAIN, MQTT_ERR_SUCCESS
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ocpp_addon.mqtt.properties import PublishProperties, UserProperties

log = logging.getLogger(__name__)

IN_FLIGHT = 20  # unacknowledged publishes on the wire: the most that a lost connection duplicates
KEEPALIVE = 10  # seconds; a silent broker is noticed within twice that
TIMEOUT = 10.0  # seconds for the broker to answer a CONNECT or SUBSCRIBE
SUBSCRIBE_BATCH = 100  # filters in one SUBSCRIBE
READ_FOR = 0.005  # seconds of reading packets at a stretch; then others get their turn

FAILURE = 0x80  # MQTT 5: reason codes from here on are refusals

# Chatter of the libraries would be a line per message; what ends a connection is told elsewhere.
_quiet = logging.getLogger("ocpp_addon.mqtt.client")
_quiet.setLevel(logging.CRITICAL)


class LinkLost(Exception):
    """Tell that the connection ended before an acknowledgement; `code` is the broker's reason."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class PublishRefused(Exception):
    """Tell that this message can never be published as it is."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message of the broker."""

    topic: str
    payload: bytes
    retain: bool
    duplicate: bool  # DUP flag: the broker has sent it before
    response_topic: str | None
    correlation_data: bytes | None


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is and who we are there."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    client_id: str


class Link(aiomqtt.Client):
    """Connect once; never entered again, since aiomqtt would replay what an old one left over."""

    def __init__(
        self,
        address: Address,
        version: aiomqtt.ProtocolVersion,
        will: aiomqtt.Will,
        on_message: Callable[[Incoming], None],
    ) -> None:
        v5 = version is aiomqtt.ProtocolVersion.V5
        super().__init__(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=address.client_id,
            tls_context=address.tls,
            protocol=version,
            will=will,
            clean_session=None if v5 else True,
            clean_start=True if v5 else MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=KEEPALIVE,
            timeout=TIMEOUT,
            max_inflight_messages=IN_FLIGHT,
            logger=_quiet,
            # Without it the kernel holds small packets back for 40 ms, waiting for company.
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
        )
        self.is_v5 = v5
        self.max_packet_size: int | None = None
        self.lost_code: int | None = None
        self._thread = threading.get_ident()
        self._deliver = on_message
        self._ended = asyncio.Event()
        self._acknowledgements: dict[int, asyncio.Future[int]] = {}

    def publish_soon(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        user_properties: UserProperties = (),
        correlation_data: bytes | None = None,
    ) -> "asyncio.Future[int]":
        """Publish with QoS 1; the future gives the reason code of the broker's acknowledgement.

        It fails with LinkLost when the connection ends first. Raises PublishRefused for what the
        library or the broker's limits do not let through, LinkLost if there is no connection.
        """
        if self.max_packet_size is not None and len(payload) + 1024 > self.max_packet_size:
            size = f"{len(payload)} bytes are more than the broker takes ({self.max_packet_size})"
            raise PublishRefused(size)
        try:
            properties = (
                PublishProperties(user_properties, correlation_data) if self.is_v5 else None
            )
            info = self._client.publish(topic, payload, 1, retain, properties)  # type: ignore[arg-type]
        # A UnicodeEncodeError is a ValueError; what is too long for its length field fails last.
        except (ValueError, TypeError, struct.error) as error:
            raise PublishRefused(str(error)) from error
        if info.rc != MQTT_ERR_SUCCESS:
            raise LinkLost("no connection", self.lost_code)
        acknowledged: asyncio.Future[int] = self._loop.create_future()
        self._acknowledgements[info.mid] = acknowledged
        return acknowledged

    async def subscribe_all(self, filters: Iterable[str]) -> list[str]:
        """Subscribe filters with QoS 1 and return those that the broker refused."""
        wanted, refused = list(filters), []
        for start in range(0, len(wanted), SUBSCRIBE_BATCH):
            batch = wanted[start : start + SUBSCRIBE_BATCH]
            topics: SubscribeTopic
            if self.is_v5:
                options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True)
                topics = [(topic, options) for topic in batch]
            else:
                topics = [(topic, 1) for topic in batch]
            codes = await self.subscribe(topics)
            refused += [
                topic for topic, code in zip(batch, codes, strict=False) if _number(code) >= FAILURE
            ]
        return refused

    @property
    def reached(self) -> bool:
        """Tell whether there was a TCP connection at all."""
        return self._misc_task is not None

    @property
    def lost(self) -> bool:
        """Tell whether the connection has ended."""
        return self._ended.is_set() or self._disconnected.done()

    async def wait_lost(self) -> None:
        """Return when the connection has ended."""
        # A broken pipe shows in aiomqtt's future only, a word of the broker in both.
        self._disconnected.add_done_callback(lambda _: self._ended.set())
        await self._ended.wait()

    def abandon(self) -> None:
        """Close the socket, whatever its state, and fail what waits for an acknowledgement."""
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            # After a failed CONNECT the library leaves the socket open and watched.
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()
        if self._misc_task is not None:
            self._misc_task.cancel()
        for acknowledged in self._acknowledgements.values():
            if not acknowledged.done():
                acknowledged.set_exception(LinkLost("the connection ended", self.lost_code))
                acknowledged.exception()  # seen: whoever waited may have given up
        self._acknowledgements.clear()
        if self._disconnected.done():
            self._disconnected.exception()  # seen: nothing else will ask for it

    def _on_connect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Any = None,
    ) -> None:
        self.max_packet_size = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Any = None,
    ) -> None:
        if getattr(flags, "is_disconnect_packet_from_server", False):
            self.lost_code = reason_code.value
        if not self._connected.done():
            # aiomqtt would wait for its time-out, although the broker has hung up.
            reason = f"the broker ended the connection ({reason_code})"
            self._connected.set_exception(aiomqtt.MqttError(reason))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        # Between CONNACK and the end of entering, aiomqtt forgets that it was disconnected.
        self._ended.set()
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()  # seen, wherever that future goes

    def _on_publish(
        self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any
    ) -> None:
        acknowledged = self._acknowledgements.pop(mid, None)
        if acknowledged is not None and not acknowledged.done():
            acknowledged.set_result(reason_code.value)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        properties = getattr(message, "properties", None)
        try:
            self._deliver(
                Incoming(
                    message.topic,
                    message.payload,
                    message.retain,
                    message.dup,
                    getattr(properties, "ResponseTopic", None),
                    getattr(properties, "CorrelationData", None),
                )
            )
        except Exception:  # it would run into the library's read loop and end the connection
            log.exception("A message of the broker could not be handled")

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        def read() -> None:
            try:
                more = self._read_some(client)
                if (
                    sock.fileno() >= 0
                    and isinstance(sock, ssl.SSLSocket)
                    and (more or sock.pending())
                ):
                    self._loop.call_soon(read)  # the selector does not know what TLS holds
                # The broker, too, may hold small packets back until its last one is acknowledged
                # by TCP: do that now and not in 40 ms. The kernel forgets it after each use.
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            except Exception as error:
                if not self._disconnected.done():
                    if sock.fileno() < 0:
                        return
                    self._disconnected.set_exception(error)

        def watch() -> None:
            with contextlib.suppress(ValueError, OSError):  # closed meanwhile
                self._loop.add_reader(sock.fileno(), read)
            self._misc_task = self._loop.create_task(self._misc_loop(), name="mqtt keepalive")

        self._loop.call_soon_threadsafe(watch)

    def _read_some(self, client: Any) -> bool:
        """Read packets, not for long; tell whether there may be more."""
        # The library's own `loop_read` reads as many as wait to be sent, however long that takes.
        end = self._loop.time() + READ_FOR
        while client.socket() is not None:
            code = client._packet_read()
            if code == MQTT_ERR_AGAIN:
                return False
            if code != MQTT_ERR_SUCCESS:
                client._loop_rc_handle(code)
                return False
            if self._loop.time() >= end:
                return True
        return False

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        if threading.get_ident() != self._thread:  # while connecting, in a thread of the executor
            super()._on_socket_register_write(client, userdata, sock)
            return
        # What one turn of the loop publishes is written at its end, most often without asking
        # the selector whether the socket can take it.
        self._loop.call_soon(self._write, client, sock)

    def _write(self, client: Any, sock: Any) -> None:
        if sock.fileno() < 0:
            return
        try:
            client.loop_write()
        except Exception as error:
            if not self._disconnected.done():
                self._disconnected.set_exception(error)
            return
        if client.want_write() and sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write, client, sock)


def _number(code: object) -> int:
    """Return a reason code as a number; it is an object in MQTT 5 and a number in 3.1.1."""
    value = code.value if isinstance(code, ReasonCode) else code
    return value if isinstance(value, int) else FAILURE


_QUICKACK = getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY)  # Linux only
