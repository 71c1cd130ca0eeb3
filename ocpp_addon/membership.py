"""Who belongs here: chargers that become known, wait for approval, and are forgotten."""

import logging
from collections.abc import Callable

from ocpp_addon.announcer import Announcer
from ocpp_addon.downstream import Downstream
from ocpp_addon.endpoint.admission import Admission
from ocpp_addon.endpoint.connection import Connection
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.passwords import canonical
from ocpp_addon.endpoint.roster import Roster
from ocpp_addon.errors import StorageError
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.mishaps import Mishaps
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.outbox import Outbox
from ocpp_addon.mqtt.retained import Retained
from ocpp_addon.mqtt.topics import OFFLINE, ONLINE, Topics
from ocpp_addon.ocpp.messages import Call
from ocpp_addon.text import printable
from ocpp_addon.upstream import Asker, new_id

log = logging.getLogger(__name__)


class Membership:
    """Carry out what people decide about chargers, in every room and on the broker."""

    def __init__(
        self,
        credentials: Credentials,
        admission: Admission,
        roster: Roster,
        topics: Topics,
        broker: Broker,
        outbox: Outbox,
        retained: Retained,
        home: CentralSystem,
        announcer: Announcer,
        downstream: Downstream,
        mishaps: Mishaps,
    ) -> None:
        self.on_change: Callable[[str], None] = lambda charger_id: None
        self._credentials = credentials
        self._admission = admission
        self._roster = roster
        self._topics = topics
        self._broker = broker
        self._outbox = outbox
        self._retained = retained
        self._home = home
        self._announcer = announcer
        self._downstream = downstream
        self._mishaps = mishaps
        self._subscribed: set[str] = set()

    async def begin(self) -> None:
        """Show the known chargers, none of which is connected yet."""
        for charger_id in self._credentials.ids():
            self.show_presence(charger_id, OFFLINE)
            self._home.states.introduced(charger_id)
            await self._publish_what_was_kept(charger_id)

    def filters(self) -> list[str]:
        """Return what to subscribe: the filters of whoever is known, connected or about to be."""
        self._subscribed.update(self._credentials.ids(), self._roster.connections)
        of_chargers = (
            topic
            for charger_id in sorted(self._subscribed)
            for topic in self._topics.filters(charger_id)
        )
        return [*self._topics.births, *of_chargers]

    def changed(self, charger_id: str) -> None:
        """Tell whoever watches that something about a charger is new."""
        with self._mishaps.contained("showing a change"):
            self.on_change(charger_id)

    def show_presence(self, charger_id: str, presence: bytes) -> None:
        """Show whether a charger is `online` or `offline`; nothing takes that back."""
        self._retained.set(self._topics.presence(charger_id), presence)

    async def come(self, charger_id: str, *, pending: bool) -> None:
        """Let MQTT reach a charger before its handshake completes."""
        if charger_id in self._subscribed:
            return
        if pending:  # a command for it gets an outcome that says so
            self._subscribed.add(charger_id)
            await self._broker.subscribe(self._topics.filters(charger_id))
        else:
            await self._make_known(charger_id)
            await self._publish_what_was_kept(charger_id)

    async def leave(self, charger_id: str) -> None:
        """Unsubscribe for a stranger that is gone, or never quite came."""
        if charger_id in self._subscribed and charger_id not in self._credentials:
            self._subscribed.discard(charger_id)
            await self._broker.unsubscribe(self._topics.filters(charger_id))

    async def set_password(self, charger_id: str, password: str | None) -> None:
        """Make a charger known and set its password; None or "" = none. Raises StorageError."""
        await self._admission.set_password(charger_id, password.encode() if password else None)
        connection = self._roster.connection(charger_id)
        if connection is None or not connection.session.pending:
            await self._make_known(charger_id)
            await self._outbox.release(charger_id)
        elif password and not _presented(connection, password.encode()):
            connection.disown("its password was set")
            self._outbox.discard(charger_id)
            await self._make_known(charger_id)
        else:
            await self._approve(connection)

    async def approve(self, connection: Connection) -> None:
        """Let a waiting charger in, with the secret that it presented. Raises StorageError."""
        await self._admission.set_password(connection.charger_id, connection.peer.secret)
        await self._approve(connection)

    async def refuse(self, connection: Connection) -> None:
        """Turn a waiting charger away, also when it comes again."""
        self._admission.turn_away(connection.charger_id)
        connection.disown("a person refused it")
        await self._make_unknown(connection.charger_id)

    async def forget(self, charger_id: str) -> None:
        """Make a charger unknown and drop its connection. Raises StorageError."""
        await self._credentials.remove(charger_id)
        self._roster.forget(charger_id)
        await self._make_unknown(charger_id)

    async def expect_password(self, charger_id: str, secret: bytes) -> None:
        """Learn of a key that a charger has accepted."""
        try:
            await self._admission.expect_password(charger_id, secret)
        except StorageError as error:
            log.error("%s: its new password is not stored: %s", printable(charger_id), error)

    async def _approve(self, connection: Connection) -> None:
        """Treat a waiting charger as known: publish what was kept and let it boot again."""
        charger_id = connection.charger_id
        connection.session.approve()
        try:
            await self._outbox.release(charger_id)  # before what it says from now on
        finally:
            await self._make_known(charger_id)
        current = self._roster.connection(charger_id)
        if current is connection:
            # OCPP 1.6 4.2: a pending charger keeps silent, unless it is asked.
            body = {"requestedMessage": "BootNotification"}
            self._downstream.command(charger_id, Call(new_id(), "TriggerMessage", body), Asker())
        elif current is not None and current.session.pending:
            current.abort("an earlier connection was approved: it has to log in")

    async def _publish_what_was_kept(self, charger_id: str) -> None:
        """Publish what a charger said before it was known otherwise than by an approval."""
        try:
            await self._outbox.release(charger_id)
        except StorageError as error:  # at the next start, then
            log.error("%s: what it said is not published: %s", printable(charger_id), error)

    async def _make_known(self, charger_id: str) -> None:
        """Subscribe for a charger and show its presence, if it was not forgotten meanwhile."""
        if charger_id not in self._credentials:
            return
        self.changed(charger_id)
        self._subscribed.add(charger_id)
        connection = self._roster.connection(charger_id)
        connected = connection is not None and not connection.session.pending
        self.show_presence(charger_id, ONLINE if connected else OFFLINE)
        self._home.states.introduced(charger_id)
        await self._broker.subscribe(self._topics.filters(charger_id))

    async def _make_unknown(self, charger_id: str) -> None:
        """Unsubscribe for a charger and remove its traces from the broker."""
        self.changed(charger_id)
        self._subscribed.discard(charger_id)
        self._announcer.forget(charger_id)
        self._home.forget(charger_id)
        self.show_presence(charger_id, b"")
        self._outbox.discard(charger_id)
        await self._broker.unsubscribe(self._topics.filters(charger_id))


def _presented(connection: Connection, secret: bytes) -> bool:
    presented = connection.peer.secret
    return presented is not None and canonical(presented) == canonical(secret)
