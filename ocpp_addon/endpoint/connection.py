"""One charger's connection: frames into its session, the session's effects out, in order."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ocpp_addon.endpoint.channel import Channel, Ended, Pinged, Ponged
from ocpp_addon.endpoint.history import Entry, History
from ocpp_addon.endpoint.lines import Lines
from ocpp_addon.endpoint.liveness import Liveness
from ocpp_addon.endpoint.ports import Ports
from ocpp_addon.endpoint.turnstile import Turnstile
from ocpp_addon.errors import StorageError
from ocpp_addon.ocpp.effects import (
    Answer,
    Answered,
    Close,
    Command,
    Effect,
    Hold,
    Note,
    Publish,
    Settle,
    Transmit,
    subject,
)
from ocpp_addon.ocpp.frame import encode
from ocpp_addon.ocpp.messages import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    Message,
    Send,
)
from ocpp_addon.ocpp.redaction import redacted_text
from ocpp_addon.ocpp.session import Session
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

BACKLOG_LIMIT = 64  # frames whose effects wait; beyond it nothing more is read from the charger
LONGEST_LOGGED = 2048  # characters of a frame in the log
FORWARD_LIMIT = 32 * 1024  # bytes of answers from MQTT waiting; beyond it more are dropped


@dataclass(frozen=True, slots=True)
class _Ping:
    """Send a WebSocket ping."""


@dataclass(frozen=True, slots=True)
class _Forwarded:
    """Let the next answer from MQTT have the room of one that has left."""

    size: int


_Work = Effect | _Ping | Pinged | _Forwarded


@dataclass(frozen=True)
class Peer:
    """What the handshake told about a charger; the secret is kept for an approval."""

    charger_id: str
    address: str
    offered: tuple[str, ...]
    secret: bytes | None = field(repr=False)
    authenticated: bool  # by a password


class Connection:
    """Read frames in one task and perform effects in another, the only one that writes.

    The reader must always be back at the channel soon, where pings arrive; when too many effects
    wait, it stops reading, and TCP slows the charger down.
    """

    def __init__(
        self,
        peer: Peer,
        channel: Channel,
        session: Session,
        liveness: Liveness,
        history: History,
        lines: Lines,
        ports: Ports,
        farewells: Turnstile,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.peer = peer
        self.session = session
        self.liveness = liveness
        self.history = history
        self._lines = lines
        self.connected_at = datetime.now(UTC)
        self.last_seen = self.connected_at
        self.end_reason = "the charger closed the connection"
        self.hung_up = False  # without a Close frame
        self._channel = channel
        self._ports = ports
        self._farewells = farewells
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._work: asyncio.Queue[list[_Work] | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._heard = asyncio.Event()
        self._finished = asyncio.Event()
        self._forwarding = 0  # bytes
        self._ended = False
        self._disowned = False
        self._deaf = False  # nothing is read, as too much waits

    @property
    def charger_id(self) -> str:
        """Return the charger's id."""
        return self.peer.charger_id

    @property
    def age(self) -> float:
        """Return for how many seconds the charger has been connected."""
        return self._loop.time() - self._since

    async def run(self) -> None:
        """Serve the charger until the connection has ended."""
        self._ports.opened(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(
                    self._perform_for_ever(), name=f"effects {printable(self.charger_id)}"
                )
                try:
                    await self._read()
                    await self._farewells.wait()
                finally:
                    self._end()
                    self._work.put_nowait(None)
        finally:
            self._channel.untie()
            self._settle_the_rest()
            await self._ports.closed(self)
            self._finished.set()

    def command(self, command: Command) -> None:
        """Send a Call to the charger; its outcome is settled in any case."""
        now = self._loop.time()
        effects = self.session.command(command, now)
        if self._ended:  # nothing reaches the charger any more; refusals stay what they are
            effects = [effect for effect in effects if isinstance(effect, Settle)]
            effects += self.session.closed(now)
        self._perform_soon(effects)

    def forward(self, message: CallResult | CallError | CallResultError | Send, size: int) -> None:
        """Send what MQTT has for the charger and expects no outcome of; `size` in bytes."""
        if self._forwarding >= FORWARD_LIMIT:
            self._note("an answer from MQTT is dropped: too many wait for the charger")
            return
        self._forwarding += size
        effects = self.session.forward(message, self._loop.time())
        self._perform_soon([*effects, _Forwarded(size)])

    def tick(self, now: float) -> None:
        """Let time pass."""
        self._perform_soon(self.session.tick(now))
        if self._deaf:  # then silence proves nothing
            self.liveness.heard(now)
        due = self.liveness.tick(now)
        if due == "ping":
            self._work.put_nowait([_Ping()])
        elif due == "gone":
            self._channel.cut()
            self.abort("the charger has gone silent")

    async def is_alive(self, patience: float) -> bool:
        """Ping the charger and tell whether anything comes back within `patience` seconds."""
        if self._ended:
            return False
        self._heard.clear()
        self._work.put_nowait([_Ping()])
        try:
            async with asyncio.timeout(patience):
                await self._heard.wait()
        except TimeoutError:
            return False
        return not self._ended

    def abort(self, reason: str) -> None:
        """Drop the connection without a Close frame: some chargers never redial after one."""
        if not self._ended:
            self.end_reason = reason
        self._end()
        self._channel.abort()

    def disown(self, reason: str) -> None:
        """Drop the connection, and what the charger has said and was not answered yet."""
        self._disowned = True
        self.abort(reason)

    async def finish(self, patience: float) -> None:
        """Wait for the end of an aborted connection, at most `patience` seconds.

        Of what could not be done by then only the outcomes of commands are reported: everything
        else has not been acknowledged to the charger.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._finished.wait()
        self._settle_the_rest()
        self._work.put_nowait(None)

    def _settle_the_rest(self) -> None:
        """Report the outcomes among what nobody will perform any more."""
        while not self._work.empty():
            for effect in self._work.get_nowait() or ():
                if isinstance(effect, Settle):
                    self._ports.settle(self, effect)

    def _end(self) -> None:
        """Report what can no longer be answered, at once and only once."""
        if not self._ended:
            self._ended = True
            self._room.set()
            self._perform_soon(self.session.closed(self._loop.time()))

    async def _read(self) -> None:
        while True:
            frame = await self._channel.receive()
            now = self._loop.time()
            match frame:
                case str():
                    self._receive(frame, now)
                case Pinged():
                    self.liveness.heard(now)
                    self._work.put_nowait([frame])
                case Ponged():
                    self.liveness.ponged(now)
                case Ended():
                    self.hung_up = frame.hung_up and not self._ended
                    if frame.reason is not None and not self._ended:
                        self.end_reason = frame.reason
                    return
            self.last_seen = datetime.now(UTC)
            self._heard.set()
            if self._work.qsize() > BACKLOG_LIMIT and not self._ended:
                self._room.clear()
                self._deaf = True
                await self._room.wait()
                self._deaf = False

    def _receive(self, text: str, now: float) -> None:
        self.liveness.heard(now)
        effects = self.session.receive(text, now)
        message, repairs, warnings = subject(effects)
        at = datetime.now(UTC)
        self._show(self.history.add(at, now, "received", text, message, repairs, warnings))
        if effects:
            self._work.put_nowait(list(effects))

    def _show(self, entry: Entry) -> None:
        if log.isEnabledFor(logging.DEBUG):
            shown = printable(redacted_text(entry.text), LONGEST_LOGGED)
            log.debug("%s %s: %s", printable(self.charger_id), entry.direction, shown)
        self._ports.seen(self, entry)

    def _perform_soon(self, effects: Sequence[_Work]) -> None:
        # Outcomes do not wait for a charger that reads slowly; everything else keeps its order.
        later: list[_Work] = []
        for effect in effects:
            if isinstance(effect, Settle):
                self._ports.settle(self, effect)
            else:
                later.append(effect)
        if later:
            self._work.put_nowait(later)

    async def _perform_for_ever(self) -> None:
        while (work := await self._work.get()) is not None:
            if self._work.qsize() <= BACKLOG_LIMIT // 2:
                self._room.set()
            await self._perform_all(work)

    async def _perform_all(self, work: "list[_Work] | list[Effect]") -> None:
        refused: Call | None = None
        for effect in work:
            if self._disowned and not isinstance(effect, Settle):
                continue
            if isinstance(effect, Answer) and effect.call is refused:
                continue
            try:
                await self._perform(effect)
            except StorageError as error:
                # What could not be made safe must not be acknowledged: the charger keeps it.
                call = effect.call if isinstance(effect, Answer | Hold) else None
                if isinstance(effect, Publish) and isinstance(effect.message, Call):
                    call = effect.message
                self._note(str(error))
                if call is not None:
                    refusal = CallError(call.unique_id, "InternalError", "storage is unavailable")
                    await self._perform_all(self.session.answer(call, refusal))
                    refused = call

    async def _perform(self, effect: _Work) -> None:
        match effect:
            case Publish():
                await self._ports.publish(self, effect)
            case Answer():
                response = await self._ports.answer(self, effect)
                await self._perform_all(self.session.answer(effect.call, response))
            case Transmit():
                await self._transmit(effect.message)
            case Settle():
                self._ports.settle(self, effect)
            case Answered():
                self._ports.answered(self, effect)
            case Hold():
                await self._ports.hold(self, effect)
            case Note():
                self._note(effect.text)
            case Close():
                self.end_reason = effect.reason
                await self._channel.close(effect.code, effect.reason)
            case _Ping():
                await self._channel.ping()
            case Pinged():
                await self._channel.pong(effect.data)
            case _Forwarded():
                self._forwarding -= effect.size

    async def _transmit(self, message: Message) -> None:
        frame = self._encoded(message)
        if frame is not None:
            await self._channel.send(frame)

    def _encoded(self, message: Message) -> bytes | None:
        """Return a message as the charger gets it, and show it; None if it cannot be sent."""
        try:
            text = encode(message)
            frame = text.encode()
        except (ValueError, TypeError, RecursionError) as error:
            self._note(f"a message for the charger is no JSON: {error}")
            return None
        self._show(self.history.add(datetime.now(UTC), self._loop.time(), "sent", text, message))
        return frame

    def _note(self, text: str) -> None:
        self._lines.add(
            self.charger_id,
            logging.WARNING,
            "%s: %s",
            printable(self.charger_id),
            printable(text, 200),
        )
