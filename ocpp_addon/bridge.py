"""Where the rooms meet: what chargers say, to MQTT and to the built-in central system."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from ocpp_addon.announcer import Announcer
from ocpp_addon.endpoint.connection import Connection
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.history import Entry
from ocpp_addon.endpoint.roster import Roster
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.membership import Membership
from ocpp_addon.mishaps import Mishaps
from ocpp_addon.mqtt.topics import OFFLINE, ONLINE
from ocpp_addon.ocpp.accepted_key import accepted_key
from ocpp_addon.ocpp.effects import Answer, Answered, Hold, Publish, Settle
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Send
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import Version
from ocpp_addon.schemas import heavy_schemas
from ocpp_addon.tasks import Spawn
from ocpp_addon.upstream import Upstream


class Bridge:
    """Implement the endpoint's Ports."""

    def __init__(
        self,
        roster: Roster,
        credentials: Credentials,
        membership: Membership,
        upstream: Upstream,
        home: CentralSystem,
        announcer: Announcer,
        validator: Validator,
        mishaps: Mishaps,
        spawn: Spawn,
    ) -> None:
        self.on_frame: Callable[[str, Entry], None] = lambda charger_id, entry: None
        self.on_call: Callable[[str, Call | Send], None] = lambda charger_id, call: None
        self._roster = roster
        self._credentials = credentials
        self._membership = membership
        self._upstream = upstream
        self._home = home
        self._announcer = announcer
        self._validator = validator
        self._mishaps = mishaps
        self._spawn = spawn
        self._warm: set[Version] = set()

    async def admit(self, charger_id: str, version: Version, pending: bool) -> None:
        """Let MQTT reach a charger before its handshake completes."""
        if version not in self._warm:
            # Some schemas of 2.x take long to compile: do it before they are needed.
            self._warm.add(version)
            work = asyncio.to_thread(self._validator.prepare, version, heavy_schemas(version))
            self._spawn(work, f"schemas of OCPP {version.number}")
        await self._membership.come(charger_id, pending=pending)

    def opened(self, connection: Connection) -> None:
        """Announce a charger."""
        self._membership.changed(connection.charger_id)
        if not connection.session.pending:
            self._membership.show_presence(connection.charger_id, ONLINE)
            self._home.seen(connection.charger_id, connection.connected_at)

    async def closed(self, connection: Connection) -> None:
        """Take a charger's presence back, unless a newer connection has taken over."""
        charger_id = connection.charger_id
        self._membership.changed(charger_id)
        with self._mishaps.contained("understanding a hang-up"):
            now = datetime.now(UTC)
            self._home.disconnected(charger_id, now, hung_up=connection.hung_up)
        if self._roster.connection(charger_id) not in (None, connection):
            return
        if charger_id in self._credentials:
            self._home.seen(charger_id, connection.last_seen)
            self._membership.show_presence(charger_id, OFFLINE)
            self._announcer.touch(charger_id)
        else:
            await self.left(charger_id)

    async def left(self, charger_id: str) -> None:
        """Take back what was done for a stranger that is gone, or never quite came."""
        await self._membership.leave(charger_id)

    def seen(self, connection: Connection, entry: Entry) -> None:
        """Tell whoever watches of a frame."""
        with self._mishaps.contained("showing a message"):
            self.on_frame(connection.charger_id, entry)

    async def publish(self, connection: Connection, effect: Publish) -> None:
        """Publish a message of a charger and return once it is safe."""
        message = effect.message
        safe = self._upstream.publish(connection.charger_id, effect)
        if isinstance(message, Call | Send):
            await asyncio.sleep(0)  # let it leave first: the broker works while we look at it
            version = connection.session.version
            with self._mishaps.contained("understanding a message"):
                self._home.received(connection.charger_id, version, message, datetime.now(UTC))
                self.on_call(connection.charger_id, message)
        await safe

    async def hold(self, connection: Connection, effect: Hold) -> None:
        """Keep a message of a charger that waits for approval."""
        if connection.session.pending:
            await self._upstream.hold(connection.charger_id, effect)
        else:  # approved while the message waited for its turn
            late = Publish(effect.call, repairs=effect.repairs, warnings=effect.warnings)
            await self.publish(connection, late)

    async def answer(self, connection: Connection, effect: Answer) -> CallResult | CallError:
        """Let the built-in central system answer."""
        version, now = connection.session.version, datetime.now(UTC)
        with self._mishaps.contained("answering a charger"):
            if effect.pending:
                self._home.received(connection.charger_id, version, effect.call, now, pending=True)
            return await self._home.answer(
                connection.charger_id, version, effect.call, now, pending=effect.pending
            )
        return CallError(effect.call.unique_id, "InternalError", "the gateway made a mistake")

    def answered(self, connection: Connection, effect: Answered) -> None:
        """Let the room of the home, the dialogue on MQTT and the watch for silence know."""
        call, response = effect.call, effect.response
        if call.action == "BootNotification" and isinstance(response, CallResult):
            # OCPP 1.6 4.2: of any other status it is the wait until the next boot, in silence.
            interval = response.payload.get("interval")
            accepted = response.payload.get("status") == "Accepted"
            if accepted and type(interval) is int and 0 < interval < 1_000_000:
                connection.liveness.heartbeat_interval = interval
        if connection.session.pending:
            return
        version, now = connection.session.version, datetime.now(UTC)
        with self._mishaps.contained("understanding an answer"):
            self._home.answered(connection.charger_id, version, call, response, now)
        if effect.built_in:
            self._upstream.answered(connection.charger_id, call, response)

    def settle(self, connection: Connection, effect: Settle) -> None:
        """Report the outcome of a command."""
        self._upstream.settle(connection.charger_id, effect)
        call, outcome = effect.command.call, effect.outcome
        version, now = connection.session.version, datetime.now(UTC)
        with self._mishaps.contained("understanding an outcome"):
            self._home.settled(connection.charger_id, version, call, outcome, now)
        key = accepted_key(call, outcome)
        if key is not None:
            work = self._membership.expect_password(connection.charger_id, key)
            self._spawn(work, "new password")
