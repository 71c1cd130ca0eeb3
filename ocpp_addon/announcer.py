"""Show the states of connectors on MQTT: retained, soon after a change and not at each of many."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from ocpp_addon.devices import Devices
from ocpp_addon.endpoint.roster import Roster
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.events import Event, StateChanged
from ocpp_addon.home.shown import public_state
from ocpp_addon.mqtt.retained import Retained
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.news import News
from ocpp_addon.text import utc

GATHER = 0.5  # seconds in which changes of a burst become one message
REFRESH = 60.0  # seconds after which a running session shows its duration anew
SEEN_EVERY = 300.0  # seconds after which a charger shows anew when it was last heard of
AT_ONCE = 50  # states shown in one turn of the loop: thousands are due at once now and then

Key = tuple[str, int]


class Announcer:
    """Keep `ocpp/state/${cid}/<connector>` as the built-in central system knows it."""

    def __init__(
        self,
        topics: Topics,
        retained: Retained,
        home: CentralSystem,
        devices: Devices,
        news: News,
        roster: Roster,
    ) -> None:
        self._topics = topics
        self._retained = retained
        self._home = home
        self._devices = devices
        self._news = news
        self._roster = roster
        self._due: set[Key] = set()
        self._once_more: set[Key] = set()
        self._shown: set[Key] = set()
        self._wake = asyncio.Event()
        home.listeners.append(self.heed)

    def heed(self, event: Event) -> None:
        """Note that a state has changed."""
        if isinstance(event, StateChanged):
            self.touch(event.charger_id, event.connector)

    def touch(self, charger_id: str, connector: int = 0) -> None:
        """Show a state anew, soon."""
        self._due.add((charger_id, connector))
        self._wake.set()

    def repeat(self, charger_id: str, connector: int) -> None:
        """Show a state once more although it has not changed: somebody believes in another one."""
        self._once_more.add((charger_id, connector))
        self.touch(charger_id, connector)

    def forget(self, charger_id: str) -> None:
        """Remove a charger's device and states from the broker."""
        forgotten = {one for one in self._shown if one[0] == charger_id}
        self._shown -= forgotten
        self._devices.forget(charger_id, [self._topics.state(*key) for key in forgotten])

    async def run(self) -> NoReturn:
        """Show what has changed; until cancelled."""
        self._due.update(self._home.states.known())
        loop = asyncio.get_running_loop()
        refresh_at, seen_at = loop.time() + REFRESH, loop.time() + SEEN_EVERY
        while True:
            await asyncio.sleep(GATHER)
            if loop.time() >= refresh_at:
                self._due.update(self._running())
                refresh_at = loop.time() + REFRESH
            if loop.time() >= seen_at:
                self._due.update((charger_id, 0) for charger_id in self._home.states.charger_ids())
                seen_at = loop.time() + SEEN_EVERY
            self._wake.clear()
            due = list(self._due)
            for start in range(0, len(due), AT_ONCE):
                self._hand_over(due[start : start + AT_ONCE])
                await asyncio.sleep(0)
            self._news.tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(refresh_at):
                    await self._wake.wait()

    def show(self) -> None:
        """Hand over what is due."""
        self._hand_over(list(self._due))
        self._news.tell()

    def _hand_over(self, due: Sequence[Key]) -> None:
        self._due.difference_update(due)
        for key in due:
            state = self._state(*key)
            if state is not None:
                self._shown.add(key)
                text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
                topic = self._topics.state(*key)
                self._retained.set(topic, text.encode(), repeat=key in self._once_more)
                self._devices.saw(*key, state)
        self._once_more.difference_update(due)

    def _running(self) -> list[Key]:
        states = self._home.states
        return [key for key in states.known() if (one := states.get(*key)) and one.run]

    def _state(self, charger_id: str, connector: int) -> dict[str, Any] | None:
        state = self._home.states.get(charger_id, connector)
        if state is None or not self._roster.is_known(charger_id):
            return None
        public = public_state(state, datetime.now(UTC))
        if connector == 0:
            facts = self._home.charger(charger_id)
            seen = self._roster.last_seen(charger_id) or facts.last_seen
            told = {
                "vendor": facts.vendor,
                "model": facts.model,
                "serial": facts.serial,
                "firmware": facts.firmware,
                "last_seen": utc(seen) if seen else None,
            }
            public |= {key: value for key, value in told.items() if value is not None}
        return public
