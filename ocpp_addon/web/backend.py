"""What the web room needs from the rest of the gateway, and how the rest says no."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ocpp_addon.errors import GatewayError
from ocpp_addon.ocpp.messages import CallError, CallResult


class Refused(GatewayError):
    """Refuse a request with a code for programs, a sentence for people and an HTTP status."""

    def __init__(self, code: str, description: str, status: int) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


@dataclass(frozen=True)
class TagEntry:
    """What a tag may do; `expiry` is aware."""

    status: str
    name: str | None = None
    parent: str | None = None
    expiry: datetime | None = None


@dataclass(frozen=True)
class SessionChoice:
    """Which sessions are asked for: those that began from `since` on and before `until`."""

    charger: str | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None  # the newest


@dataclass(frozen=True)
class Sample:
    """A measurement that was kept for plots; power in W, energy in Wh."""

    at: datetime
    power: float | None
    energy: float | None


class Listener(Protocol):
    """Learn what happens."""

    def charger_changed(self, charger_id: str) -> None:
        """Learn that a charger came, went or is otherwise not what it was."""
        ...

    def message(self, charger_id: str, show: Callable[[], dict[str, Any]]) -> None:
        """Learn of a frame; `show` returns it as `Backend.messages` does."""
        ...

    def called(self, charger_id: str, action: str, payload: Mapping[str, Any]) -> None:
        """Learn of a Call of a charger, whole and with its secrets."""
        ...

    def attempted(self, attempt: dict[str, Any]) -> None:
        """Learn of a connection attempt that failed."""
        ...


class Backend(Protocol):
    """See and steer the gateway; any method may raise Refused."""

    def listen(self, listener: Listener) -> None:
        """Tell this listener what happens from now on."""
        ...

    def health(self) -> dict[str, Any]:
        """Return `status` ("ok", "degraded", "unavailable"), `broker` and more."""
        ...

    def chargers(self) -> list[dict[str, Any]]:
        """Return every charger that is known or connected."""
        ...

    def charger(self, charger_id: str) -> dict[str, Any] | None:
        """Return one charger; None if there is none."""
        ...

    async def set_password(self, charger_id: str, password: str | None) -> None:
        """Make a charger known, with this password or without any."""
        ...

    async def forget(self, charger_id: str) -> bool:
        """Forget a charger and drop it; False if there is none."""
        ...

    async def approve(self, charger_id: str, connection: str) -> None:
        """Let in the charger that waits on this connection."""
        ...

    async def disconnect(self, charger_id: str) -> bool:
        """Drop a charger's connection; False if it has none."""
        ...

    async def call(
        self, charger_id: str, action: str, payload: dict[str, Any]
    ) -> CallResult | CallError:
        """Send a Call and return its outcome."""
        ...

    async def set(self, charger_id: str, connector: int, key: str, value: str) -> None:
        """Do what a message on `ocpp/set/<charger>/<connector>/<key>` does; return once it is so.

        Refused tells in words why not.
        """
        ...

    def messages(self, charger_id: str) -> list[dict[str, Any]] | None:
        """Return a charger's last frames, secrets hidden; None if there is no such charger."""
        ...

    async def tags(self) -> list[dict[str, Any]]:
        """Return every tag that is listed or was seen."""
        ...

    async def put_tag(self, id_tag: str, entry: TagEntry) -> None:
        """List a tag."""
        ...

    async def delete_tag(self, id_tag: str) -> bool:
        """Forget a tag; False if there is none."""
        ...

    def attempts(self) -> list[dict[str, Any]]:
        """Return the connection attempts that failed lately."""
        ...

    async def sessions(self, choice: SessionChoice) -> list[dict[str, Any]]:
        """Return the charging sessions that fit, newest first."""
        ...

    async def samples(
        self, charger_id: str, since: datetime, until: datetime | None
    ) -> list[Sample]:
        """Return what a charger measured, all connectors together, oldest first.

        Without `until`, what it shows at this moment comes last.
        """
        ...

    async def refuse(self, charger_id: str) -> None:
        """Turn a waiting charger away, also when it comes again."""
        ...

    def actions(self, charger_id: str) -> list[str]:
        """Return the commands that a charger's version of OCPP has."""
        ...

    def schema(self, charger_id: str, action: str) -> dict[str, Any] | None:
        """Return the JSON schema of a command; None if there is none."""
        ...

    async def places(self) -> dict[str, Any]:
        """Return where chargers connect: `addresses`, `names`, `port` and `tls_port` (or None);
        and the options `unknown_chargers` and `tag_policy`."""
        ...
