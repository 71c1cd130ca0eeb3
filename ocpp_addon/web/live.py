"""Live updates: each event is written once for all who see the same, and slow viewers are cut."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from aiohttp import WSMsgType, web

from ocpp_addon.ocpp import jsontext
from ocpp_addon.web.backend import Backend, Refused

log = logging.getLogger(__name__)

VIEWERS_LIMIT = 64
WAITING_LIMIT = 256  # events that one viewer may leave unread
SEND_TIMEOUT = 10.0  # seconds that a viewer may leave one unread
PAUSE = 0.5  # seconds that changes of a charger gather
MESSAGES_LIMIT = 100  # told within a pause; whoever watches more than that loads its page again,
LETTERS_LIMIT = 64 * 1024  # and so with the characters of their frames,
RELOAD_EVERY = 5.0  # but not more often than this, in seconds: it is more work than a message
ATTEMPTS_LIMIT = 20  # told after a pause, the newest
PING = 30.0

Event = dict[str, Any]


@dataclass(frozen=True)
class View:
    """What one page shows of events; `show` returns what it is told of one, or None."""

    show: Callable[[Event, str | None], Event | None]
    dialogue: bool = False  # it wants every message


@dataclass(eq=False)
class _Viewer:
    view: str
    charger_id: str | None
    transport: asyncio.Transport | None
    waiting: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(WAITING_LIMIT))

    def offer(self, text: str) -> None:
        try:
            self.waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def send(self, websocket: web.WebSocketResponse) -> None:
        try:
            while True:
                text = await self.waiting.get()
                async with asyncio.timeout(SEND_TIMEOUT):
                    await websocket.send_str(text)
        except (TimeoutError, ConnectionError):
            self.cut()


class Live:
    """Tell viewers what happens; it is the Backend's listener.

    A viewer names a view, by default all events as JSON, and may name one charger. `heed` is told
    of every Call of a charger, too.
    """

    def __init__(
        self,
        backend: Backend,
        views: Mapping[str, View],
        heed: Callable[[str, str, Mapping[str, Any]], None],
    ) -> None:
        self.version = 0  # grows with every change, so that a page knows whether it missed one
        self._backend = backend
        self._heed = heed
        self._views = {"": View(_everything, dialogue=True), **views}
        self._viewers: set[_Viewer] = set()
        self._changed: set[str] = set()
        self._attempts: deque[Event] = deque(maxlen=ATTEMPTS_LIMIT)
        self._told = self._letters = 0  # messages since the last pause, and their characters
        self._reload_at = 0.0  # on the loop's clock, at the earliest
        self._missed: set[str] = set()  # chargers of which there were too many
        self._health: dict[str, Any] | None = None
        self._broken: set[str] = set()  # views that have failed

    def routes(self) -> list[web.RouteDef]:
        """Return where viewers connect."""
        return [web.get("/api/live", self.handle)]

    async def run(self) -> NoReturn:
        """Tell of changes, a moment later and together; until cancelled."""
        while True:
            await asyncio.sleep(PAUSE)
            changed, self._changed = self._changed, set()
            missed = self._take_missed()
            attempts = list(self._attempts)
            self._attempts.clear()
            if not self._viewers:
                self._health = None
                continue
            for charger_id in changed:
                await asyncio.sleep(0)  # chargers come first
                charger = self._backend.charger(charger_id)
                if charger is None:
                    self._tell({"event": "forgotten", "charger": charger_id}, charger_id)
                else:
                    self._tell({"event": "charger", "charger": charger}, charger_id)
            for charger_id in missed:
                self._tell({"event": "reload"}, charger_id)
            for attempt in attempts:
                self._tell({"event": "attempt", "attempt": attempt})
            if attempts:
                self._tell({"event": "attempts"})
            health = self._backend.health()
            if health != self._health:
                self._health = health
                self._tell({"event": "health", "health": health})

    def close(self) -> None:
        """Cut all viewers."""
        for viewer in self._viewers:
            viewer.cut()

    def charger_changed(self, charger_id: str) -> None:
        """Learn that something about a charger is new."""
        self.version += 1
        self._changed.add(charger_id)

    def message(self, charger_id: str, show: Callable[[], dict[str, Any]]) -> None:
        """Learn of a message, which is made readable only if somebody looks."""
        self.charger_changed(charger_id)
        if any(
            self._views[viewer.view].dialogue and viewer.charger_id in (None, charger_id)
            for viewer in self._viewers
        ):
            if self._told >= MESSAGES_LIMIT or self._letters >= LETTERS_LIMIT:
                self._missed.add(charger_id)
                return
            shown = show()
            self._told += 1
            self._letters += len(shown["frame"])
            self._tell({"event": "message", "charger": charger_id, "message": shown}, charger_id)

    def called(self, charger_id: str, action: str, payload: Mapping[str, Any]) -> None:
        """Learn of a Call of a charger, as it came."""
        self._heed(charger_id, action, payload)

    def attempted(self, attempt: dict[str, Any]) -> None:
        """Learn that a connection was refused."""
        self.version += 1
        self._attempts.append(attempt)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one viewer: `view`, `charger` and `since` in the query say what it shows."""
        view = request.query.get("view", "")
        if view not in self._views:
            raise Refused("bad_view", "There is no such view.", 400)
        if len(self._viewers) >= VIEWERS_LIMIT:
            raise Refused("crowded", "Too many viewers are connected.", 503)
        websocket = web.WebSocketResponse(heartbeat=PING, compress=False, max_msg_size=4096)
        if not websocket.can_prepare(request):
            raise Refused("not_a_websocket", "This address is for WebSockets.", 426)
        await websocket.prepare(request)
        viewer = _Viewer(view, request.query.get("charger"), request.transport)
        self._viewers.add(viewer)
        if request.query.get("since", str(self.version)) != str(self.version):
            viewer.offer(jsontext.dump({"event": "reload"}))
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(viewer.send(websocket), name="viewer")
                async for message in websocket:  # viewers have nothing to say
                    if message.type is WSMsgType.ERROR:
                        break
                sending.cancel()
        finally:
            self._viewers.discard(viewer)
        return websocket

    def _take_missed(self) -> set[str]:
        """Return the chargers whose pages shall be loaded again, and begin to count anew."""
        self._told = self._letters = 0
        now = asyncio.get_running_loop().time()
        if not self._missed or now < self._reload_at:
            return set()
        self._reload_at = now + RELOAD_EVERY
        missed, self._missed = self._missed, set()
        return missed

    def _tell(self, event: Event, charger_id: str | None = None) -> None:
        written: dict[tuple[str, str | None], str | None] = {}
        for viewer in list(self._viewers):
            if viewer.charger_id is not None and charger_id not in (None, viewer.charger_id):
                continue
            channel = viewer.view, viewer.charger_id
            if channel not in written:
                written[channel] = self._written(viewer, event)
            text = written[channel]
            if text is not None:
                viewer.offer(text)

    def _written(self, viewer: _Viewer, event: Event) -> str | None:
        """Return what a viewer is told; a mistake in a page must not reach the gateway."""
        try:
            shown = self._views[viewer.view].show(event, viewer.charger_id)
            return None if shown is None else jsontext.dump(shown)
        except Exception:
            if viewer.view not in self._broken:
                self._broken.add(viewer.view)
                log.exception("The page %s cannot be kept up to date", viewer.view)
            return None


def _everything(event: Event, charger_id: str | None) -> Event | None:
    return None if event["event"] == "attempts" else event  # they came one by one
