"""What happens at chargers, told on MQTT when it happens: sessions, tags, orders that failed."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.entities import COMMAND_FAILED
from ocpp_addon.home.events import Event, SessionEnded, SessionStarted, TagScanned
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.link import LinkLost, PublishRefused
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.text import utc

AFTERWARDS = 0.1  # seconds between handing over states and what led to them
# Seconds after the broker is back until who listens is back as well: Home Assistant dials it
# every ten.
RETURN = 15.0
LIMIT = 1_000  # sessions that wait for their states, or for the broker


@dataclass(frozen=True)
class _Item:
    """What happened to a session."""

    event: SessionStarted | SessionEnded
    topic: str
    content: Mapping[str, Any]


class News:
    """Tell of sessions once their states are shown; those that the broker missed, later.

    Tags and failures are told at once or never: as old news they would mislead automations.
    """

    def __init__(self, topics: Topics, broker: Broker, home: CentralSystem) -> None:
        self._topics = topics
        self._broker = broker
        self._home = home
        self._fresh: deque[_Item] = deque(maxlen=LIMIT)  # until the states are shown
        self._missed: deque[_Item] = deque(maxlen=LIMIT)
        self._holding = False  # until listeners have had time to come back
        self._return: asyncio.TimerHandle | None = None
        home.listeners.append(self.heed)
        broker.on_connected.append(self._on_connected)
        broker.on_lost.append(self._on_lost)

    def heed(self, event: Event) -> None:
        """Take what happens: tags are told at once, sessions by `tell`."""
        match event:
            case SessionStarted(connector=int() as connector):
                content: dict[str, Any] = {
                    "event_type": "session_started",
                    "transaction_id": event.transaction_id,
                    "id_tag": event.tag,
                    "started": utc(event.at),
                }
                self._fresh.append(_Item(event, self._at(event.charger_id, connector), content))
            case SessionEnded(connector=int() as connector):
                minutes = (event.at - event.started_at).total_seconds() / 60
                content = {
                    "event_type": "session_ended",
                    "transaction_id": event.transaction_id,
                    "id_tag": event.tag,
                    "started": utc(event.started_at),
                    "ended": utc(event.at),
                    "duration": round(minutes, 1),
                    "energy": None if event.energy is None else event.energy / 1000,
                    "reason": event.reason,
                }
                self._fresh.append(_Item(event, self._at(event.charger_id, connector), content))
            case TagScanned():
                self._tell_now(self._topics.tag(event.charger_id), {"tag": event.tag})

    def failed(
        self, charger_id: str, connector: str, key: str, value: str, code: str, sentence: str
    ) -> None:
        """Tell that an order was not carried out."""
        self._tell_now(
            self._at(charger_id, 0),
            {
                "event_type": COMMAND_FAILED,
                "connector": connector,
                "key": key,
                "value": value,
                "code": code,
                "failure": sentence,
            },
        )

    def tell(self) -> None:
        """Tell what has waited for the states to be shown, which they are in a moment.

        Who hears of a session then finds the states as they are, and the charger has its answer:
        some automations act within milliseconds.
        """
        while self._fresh:
            asyncio.get_running_loop().call_later(AFTERWARDS, self._tell, self._fresh.popleft())

    def _tell(self, item: _Item) -> None:
        if self._holding:
            self._missed.append(item)
            return
        try:
            published = self._publish(item.topic, item.content)
        except LinkLost:
            self._miss(item)
        except PublishRefused:  # it never can be
            return
        else:
            published.add_done_callback(lambda done: self._miss(item) if _failed(done) else None)

    def _miss(self, item: _Item) -> None:
        self._holding = True
        self._missed.append(item)

    def _on_lost(self) -> None:
        self._holding = True
        if self._return is not None:
            self._return.cancel()

    def _on_connected(self) -> None:
        if self._holding:
            self._return = asyncio.get_running_loop().call_later(RETURN, self._tell_missed)

    def _tell_missed(self) -> None:
        """Tell what the broker missed; a start is no news any more once its session is over."""
        self._holding = False
        for _ in range(len(self._missed)):
            item = self._missed.popleft()
            event = item.event
            place = event.charger_id, event.connector, event.transaction_id
            if isinstance(event, SessionEnded) or self._home.states.runs(*place):
                self._tell(item)

    def _tell_now(self, topic: str, content: Mapping[str, Any]) -> None:
        with contextlib.suppress(LinkLost, PublishRefused):
            self._publish(topic, content).add_done_callback(_failed)

    def _publish(self, topic: str, content: Mapping[str, Any]) -> "asyncio.Future[int]":
        told = {key: value for key, value in content.items() if value is not None}
        body = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        return self._broker.publish(topic, body.encode("utf-8", "replace"))

    def _at(self, charger_id: str, connector: int) -> str:
        return self._topics.event(charger_id, connector)


def _failed(published: "asyncio.Future[int]") -> bool:
    return published.cancelled() or published.exception() is not None
