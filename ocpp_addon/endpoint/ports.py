"""What the endpoint asks of the hall: everything that becomes of chargers' messages."""

from typing import TYPE_CHECKING, Protocol

from ocpp_addon.endpoint.history import Entry
from ocpp_addon.ocpp.effects import Answer, Answered, Hold, Publish, Settle
from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.ocpp.version import Version

if TYPE_CHECKING:
    from ocpp_addon.endpoint.connection import Connection


class Ports(Protocol):
    """Implemented by the bridge; what fails to be stored raises StorageError."""

    async def admit(self, charger_id: str, version: Version, pending: bool) -> None:
        """Learn of a charger before its handshake completes: no later command may be missed."""

    def opened(self, connection: "Connection") -> None:
        """Learn that a charger is connected."""

    async def closed(self, connection: "Connection") -> None:
        """Learn that a connection has ended; a newer one of the same charger may be there."""

    async def left(self, charger_id: str) -> None:
        """Learn that a stranger is gone, or never quite came."""

    def seen(self, connection: "Connection", entry: Entry) -> None:
        """Learn of a frame in either direction."""

    async def publish(self, connection: "Connection", effect: Publish) -> None:
        """Publish a message of the charger; return once it is safe, else StorageError."""

    async def hold(self, connection: "Connection", effect: Hold) -> None:
        """Keep a message of a charger that waits for approval, else StorageError."""

    async def answer(self, connection: "Connection", effect: Answer) -> CallResult | CallError:
        """Return the built-in central system's answer, else StorageError."""

    def answered(self, connection: "Connection", effect: Answered) -> None:
        """Learn how a Call was answered."""

    def settle(self, connection: "Connection", effect: Settle) -> None:
        """Report the outcome of a command."""
