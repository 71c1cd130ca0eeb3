"""Chargers as devices of Home Assistant: announced, and taken back."""

import asyncio
import contextlib
import json
import math
import random
from collections.abc import Collection, Iterable
from typing import NoReturn

from ocpp_addon.home import discovery
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.chargers import ChargerFacts
from ocpp_addon.home.entities import ANYTHING
from ocpp_addon.mqtt.retained import Retained
from ocpp_addon.mqtt.topics import Topics

DEBOUNCE = 2.0  # seconds without a change after which a device is announced
LONGEST_DEBOUNCE = 10.0
# Home Assistant drops entities of a device whose last payload it still works on.
SPACING = 5.0
JITTER = (2.0, 7.0)  # seconds after Home Assistant's birth until everything is said again
GRACE = 3.0  # seconds between a device and its states: entities without a state log errors
AT_ONCE = 10  # devices announced in one turn of the loop


class Devices:
    """Announce the gateway first and then its chargers, each when it is complete enough."""

    def __init__(
        self,
        topics: Topics,
        retained: Retained,
        home: CentralSystem,
        name: str,
        *,
        enabled: bool,
    ) -> None:
        self.page: str | None = None
        self._topics = topics
        self._retained = retained
        self._home = home
        self._name = name
        self._enabled = enabled
        self._changed: dict[str, float] = {}  # since when
        self._due: dict[str, float] = {}
        self._announced_at: dict[str, float] = {}
        self._introduced: dict[str, ChargerFacts] = {}  # as they were announced
        self._again_at = math.inf
        self._clear_at: dict[str, float] = {}  # topics
        self._wake = asyncio.Event()

    def begin(self, charger_ids: Iterable[str]) -> None:
        """Announce what is known at the start, or take back what was announced before."""
        own = self._topics.discovery(discovery.gateway_id(self._name))
        if not self._enabled:
            self._retained.set(own, b"")
        for charger_id in charger_ids:
            if self._enabled:
                self.touch(charger_id)
            else:
                self._retained.set(self._discovery(charger_id), b"")

    def found_page(self, page: str) -> None:
        """Link every device to our page."""
        self.page = page
        for charger_id in self._announced_at:
            self.touch(charger_id)

    def saw(self, charger_id: str, connector: int, state: Collection[str]) -> None:
        """Take the keys of a state that is shown: they may bring about entities."""
        self._clear_at.pop(self._topics.state(charger_id, connector), None)
        announced = self._home.announced
        new = announced.saw(charger_id, connector, state)
        new |= announced.saw(charger_id, 0, (ANYTHING,) if state else ())
        facts = self._home.charger(charger_id)
        if new or (connector == 0 and facts != self._introduced.get(charger_id)):
            self.touch(charger_id)

    def touch(self, charger_id: str) -> None:
        """Announce a charger anew, once it has been quiet for a moment."""
        if not self._enabled:
            return
        now = asyncio.get_running_loop().time()
        since = self._changed.setdefault(charger_id, now)
        quiet = min(now + DEBOUNCE, since + LONGEST_DEBOUNCE)
        self._due[charger_id] = max(quiet, self._announced_at.get(charger_id, -math.inf) + SPACING)
        self._wake.set()

    def forget(self, charger_id: str, states: Iterable[str]) -> None:
        """Take a charger's device back, and its states a little later."""
        self._changed.pop(charger_id, None)
        self._due.pop(charger_id, None)
        self._announced_at.pop(charger_id, None)
        self._introduced.pop(charger_id, None)
        self._retained.set(self._discovery(charger_id), b"")
        clear_at = asyncio.get_running_loop().time() + GRACE
        self._clear_at |= dict.fromkeys(states, clear_at)
        self._wake.set()

    def reborn(self) -> None:
        """Say everything again soon: Home Assistant has started."""
        if self._again_at == math.inf:
            now = asyncio.get_running_loop().time()
            self._again_at = now + random.uniform(*JITTER)
            self._wake.set()

    async def run(self) -> NoReturn:
        """Do what is due; until cancelled."""
        loop = asyncio.get_running_loop()
        self._announce_gateway()
        while True:
            self._do_due(loop.time())
            at = min([*self._due.values(), *self._clear_at.values(), self._again_at])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if at == math.inf else at):
                    await self._wake.wait()
            self._wake.clear()

    def close(self) -> None:
        """Do what would else be left undone."""
        for topic in self._clear_at:
            self._retained.set(topic, b"")

    def _do_due(self, now: float) -> None:
        # The rest comes with the next turn of the loop: a payload takes half a millisecond.
        for charger_id in [one for one, at in self._due.items() if at <= now][:AT_ONCE]:
            del self._due[charger_id]
            self._changed.pop(charger_id, None)
            self._announced_at[charger_id] = now
            self._announce(charger_id)
        for topic in [one for one, at in self._clear_at.items() if at <= now]:
            del self._clear_at[topic]
            self._retained.set(topic, b"")
        if self._again_at <= now:
            self._again_at = math.inf
            self._retained.again()

    def _announce_gateway(self) -> None:
        if self._enabled:
            payload = discovery.gateway_payload(self._name, self._topics, self.page)
            topic = self._topics.discovery(discovery.gateway_id(self._name))
            self._retained.set(topic, _json(payload))

    def _announce(self, charger_id: str) -> None:
        self._announce_gateway()
        self._home.announced.saw(charger_id, 0, ())
        facts = self._introduced[charger_id] = self._home.charger(charger_id)
        payload = discovery.charger_payload(
            charger_id,
            facts,
            self._home.announced.of(charger_id),
            self._topics,
            self._name,
            self.page,
        )
        self._retained.set(self._discovery(charger_id), _json(payload))

    def _discovery(self, charger_id: str) -> str:
        return self._topics.discovery(discovery.device_id(charger_id))


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
