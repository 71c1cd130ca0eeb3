"""What a person may see and do, on the page and the HTTP API: all rooms' knowledge together."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ocpp_addon.bridge import Bridge
from ocpp_addon.controls import Controls
from ocpp_addon.downstream import Downstream
from ocpp_addon.endpoint.connection import Connection
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.history import Entry
from ocpp_addon.endpoint.identity import UnusableId, checked_id
from ocpp_addon.endpoint.roster import Roster
from ocpp_addon.endpoint.server import Endpoint
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.connector import ConnectorState
from ocpp_addon.home.questions import OrderFailed
from ocpp_addon.home.sessions import Choice
from ocpp_addon.home.shown import api_item
from ocpp_addon.membership import Membership
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.outbox import Outbox
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.ocpp.commands import commands
from ocpp_addon.ocpp.messages import Call, CallError, CallResult
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.places import Places
from ocpp_addon.schemas import actions, load_schema
from ocpp_addon.text import utc
from ocpp_addon.web.backend import Listener, Refused, Sample, SessionChoice, TagEntry

# HTTP statuses of orders that failed; the others are conflicts with how things are.
_STATUS = {
    "unknown_order": 400,
    "bad_value": 400,
    "queue_full": 503,
    "storage": 503,
    "timeout": 504,
}


@dataclass(frozen=True)
class Chosen:
    """The options that a person should see on the page."""

    unknown_chargers: str
    tag_policy: str


class Management:
    """Implement the web room's Backend."""

    def __init__(
        self,
        credentials: Credentials,
        roster: Roster,
        endpoint: Endpoint,
        bridge: Bridge,
        membership: Membership,
        downstream: Downstream,
        controls: Controls,
        home: CentralSystem,
        broker: Broker,
        outbox: Outbox,
        topics: Topics,
        places: Places,
        chosen: Chosen,
        reserved: frozenset[str],
        problems: Callable[[], list[str]],
    ) -> None:
        self._credentials = credentials
        self._roster = roster
        self._endpoint = endpoint
        self._bridge = bridge
        self._membership = membership
        self._downstream = downstream
        self._controls = controls
        self._home = home
        self._broker = broker
        self._outbox = outbox
        self._topics = topics
        self._places = places
        self._chosen = chosen
        self._reserved = reserved
        self._problems = problems

    def listen(self, listener: Listener) -> None:
        """Tell this listener what happens from now on."""

        def seen(charger_id: str, entry: Entry) -> None:
            listener.message(charger_id, lambda: self._frame(charger_id, entry))

        self._bridge.on_frame = seen
        self._bridge.on_call = lambda charger_id, call: listener.called(
            charger_id, call.action, call.payload
        )
        self._membership.on_change = listener.charger_changed
        self._endpoint.attempts.on_added = lambda attempt: listener.attempted(attempt.as_json())

    def health(self) -> dict[str, Any]:
        """Tell how the gateway is; degraded means that something needs a person."""
        connections = self._roster.connections.values()
        pending = sum(one.session.pending for one in connections)
        problems = [
            *self._problems(),
            *([self._credentials.problem] if self._credentials.problem else []),
            *([self._broker.problem] if self._broker.problem else []),
            *self._outbox.problems,
        ]
        status = "degraded" if problems else "ok"
        if self._outbox.helpless:
            status = "unavailable"
        return {
            "status": status,
            "broker": "connected" if self._broker.connected else "disconnected",
            "problems": problems,
            "chargers": {
                "known": len(self._credentials.ids()),
                "connected": len(connections) - pending,
                "pending": pending,
            },
            "outbox": {
                "stored": len(self._outbox),
                "set_aside": self._outbox.shelf.set_aside,
                "dropped": self._outbox.shelf.dropped,
            },
            "takeovers": self._endpoint.take_over.count,
        }

    def chargers(self) -> list[dict[str, Any]]:
        """Return every charger that is known or connected."""
        ids = {*self._credentials.ids(), *self._roster.connections}
        return [self._charger(charger_id) for charger_id in sorted(ids)]

    def charger(self, charger_id: str) -> dict[str, Any] | None:
        """Return one charger."""
        return self._charger(charger_id) if self._roster.is_known(charger_id) else None

    async def set_password(self, charger_id: str, password: str | None) -> None:
        """Make a charger known and set its password; None or "" = none."""
        try:
            checked_id(charger_id, self._reserved)
        except UnusableId as error:
            raise Refused("bad_id", str(error), 400) from None
        await self._membership.set_password(charger_id, password)

    async def forget(self, charger_id: str) -> bool:
        """Forget a charger and drop it; False if there is none."""
        if not self._roster.is_known(charger_id):
            return False
        await self._membership.forget(charger_id)
        return True

    async def approve(self, charger_id: str, connection: str) -> None:
        """Let a waiting charger in, with the secret that the named connection presented."""
        waiting = self._waiting(charger_id)
        if waiting.id != connection:
            raise Refused(
                "other_connection",
                "The charger has connected anew since: look at it again before approving it.",
                409,
            )
        await self._membership.approve(waiting)

    async def refuse(self, charger_id: str) -> None:
        """Turn a waiting charger away, also when it comes again."""
        await self._membership.refuse(self._waiting(charger_id))

    async def disconnect(self, charger_id: str) -> bool:
        """Drop a charger's connection; False if it has none."""
        connection = self._roster.connection(charger_id)
        if connection is None:
            return False
        connection.abort("a person disconnected it")
        return True

    async def call(
        self, charger_id: str, action: str, payload: dict[str, Any]
    ) -> CallResult | CallError:
        """Send a Call and return its outcome."""
        return await self._downstream.call(charger_id, action, payload)

    async def set(self, charger_id: str, connector: int, key: str, value: str) -> None:
        """Carry out an order as an entity's; Refused tells in words why not."""
        if self.charger(charger_id) is None:
            raise Refused("not_found", "There is no such charger.", 404)
        try:
            await self._controls.set(charger_id, str(connector), key, value)
        except OrderFailed as error:
            raise Refused(error.code, str(error), _STATUS.get(error.code, 409)) from None

    def messages(self, charger_id: str) -> list[dict[str, Any]] | None:
        """Return the last frames of a charger, oldest first, secrets hidden."""
        history = self._roster.history(charger_id)
        if history is None:
            return None if self.charger(charger_id) is None else []
        return [self._frame(charger_id, entry) for entry in history.entries]

    async def tags(self) -> list[dict[str, Any]]:
        """Return every tag, allowed, refused or only seen."""
        return [tag.as_json() for tag in self._home.tags.all()]

    async def put_tag(self, id_tag: str, entry: TagEntry) -> None:
        """Set what a tag may do."""
        await self._home.tags.put(id_tag, entry)

    async def delete_tag(self, id_tag: str) -> bool:
        """Forget a tag; False if there is none."""
        return await self._home.tags.delete(id_tag)

    async def sessions(self, choice: SessionChoice) -> list[dict[str, Any]]:
        """Return the charging sessions that fit, newest first."""
        asked = Choice(choice.charger, choice.tag, choice.since, choice.until, choice.limit)
        return [record.as_json() for record in await self._home.sessions.find(asked)]

    async def samples(
        self, charger_id: str, since: datetime, until: datetime | None
    ) -> list[Sample]:
        """Return what a charger measured, and without `until` what it shows now; oldest first."""
        points = await self._home.plot.find(charger_id, since, until)
        if until is None and points:
            points.append(self._home.plot.point(charger_id, datetime.now(UTC)))
        return [Sample(point.at, point.power, point.energy) for point in points]

    def actions(self, charger_id: str) -> list[str]:
        """Return the commands of the version that a charger speaks, or 1.6 while it is away."""
        return commands(actions(self._version(charger_id)))

    def schema(self, charger_id: str, action: str) -> dict[str, Any] | None:
        """Return the JSON schema of a command; None if there is none."""
        if action not in self.actions(charger_id):
            return None
        version = self._version(charger_id)
        return load_schema(version, action + version.request_suffix)

    async def places(self) -> dict[str, Any]:
        """Return where chargers connect, and the options that say who may."""
        port, tls_port, *_ = [*self._endpoint.ports, None, None]  # none while it stops
        place = await self._places.find(port, tls_port)
        return {**asdict(place), **asdict(self._chosen)}

    def attempts(self) -> list[dict[str, Any]]:
        """Return the connection attempts that failed lately, newest first."""
        return self._endpoint.attempts.as_json()

    def _charger(self, charger_id: str) -> dict[str, Any]:
        connection = self._roster.connection(charger_id)
        facts = self._home.charger(charger_id)
        known = charger_id in self._credentials
        last_seen = self._roster.last_seen(charger_id) or facts.last_seen
        past = self._roster.past(charger_id)
        return {
            "id": charger_id,
            "connected": connection is not None,
            "connection": connection.id if connection else None,
            "approval": "approved" if known else "pending",
            "protected": self._credentials.protected(charger_id),
            "vendor": facts.vendor,
            "model": facts.model,
            "serial": facts.serial,
            "firmware": facts.firmware,
            "protocol": connection.session.version.number if connection else None,
            "address": connection.peer.address if connection else None,
            "offered_subprotocols": list(connection.peer.offered) if connection else [],
            "password_presented": bool(connection.peer.secret) if connection else False,
            "connected_at": utc(connection.connected_at) if connection else None,
            "last_seen": utc(last_seen) if last_seen else None,
            "last_disconnect": past
            and {"at": utc(past.ended_at), "reason": past.reason, "count": past.ends},
            "connectors": [
                self._connector(state)
                for state in self._home.states.of(charger_id)
                if state.number > 0 or state.status is not None or state.values
            ],
        }

    def _connector(self, state: ConnectorState) -> dict[str, Any]:
        item = api_item(state)
        if item["session"] is not None:
            item["session"]["tag_name"] = self._home.tags.name(item["session"]["tag"])
        return item

    def _waiting(self, charger_id: str) -> Connection:
        waiting = self._roster.connection(charger_id)
        if waiting is None or not waiting.session.pending:
            raise Refused("not_waiting", "No charger with this id waits for approval.", 404)
        return waiting

    def _version(self, charger_id: str) -> Version:
        connection = self._roster.connection(charger_id)
        return connection.session.version if connection else V16

    def _frame(self, charger_id: str, entry: Entry) -> dict[str, Any]:
        """Return a frame for people; a command also as what to publish on MQTT to repeat it."""
        shown = entry.as_json()
        publish = None
        if entry.direction == "sent" and isinstance(entry.message, Call):
            topic = self._topics.command(charger_id, entry.message.action)
            body = {"Action": entry.message.action, "Payload": shown["payload"]}
            publish = topic and {"topic": topic, "payload": body}
        return shown | {"publish": publish}
