"""The retained topics as they should be on the broker, brought there again after each loss."""

import asyncio

from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.link import IN_FLIGHT, LinkLost, PublishRefused


class Retained:
    """Keep the newest payload of each retained topic; the broker gets it as soon as it can.

    A broker may come back empty, so everything is published again after each reconnect. A topic
    that is cleared is forgotten once the broker knows. `first` is published before all others.
    """

    def __init__(self, broker: Broker, first: str) -> None:
        self._broker = broker
        self._first = first
        self._wanted: dict[str, bytes] = {}
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        broker.on_connected.append(self._on_connected)

    def set(self, topic: str, payload: bytes, *, repeat: bool = False) -> None:
        """Make `payload` the retained message of `topic`; an empty one removes it.

        With `repeat` it is published although it is what the broker has already.
        """
        if repeat or self._wanted.get(topic) != payload:
            self._wanted[topic] = payload
            self._due[topic] = None
            self._wake.set()

    def again(self) -> None:
        """Publish everything once more."""
        self._due = dict.fromkeys(sorted(self._wanted, key=lambda topic: topic != self._first))
        self._wake.set()

    async def run(self) -> None:
        """Publish what has changed; until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due and self._broker.connected:
                await self._publish_some()

    async def flush(self, patience: float) -> None:
        """Publish what is due, for at most `patience` seconds."""
        deadline = asyncio.get_running_loop().time() + patience
        while self._due and self._broker.connected:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            await self._publish_some(left)

    def _on_connected(self) -> None:
        self.again()

    async def _publish_some(self, patience: float | None = None) -> None:
        acknowledged = {}
        for topic in list(self._due)[:IN_FLIGHT]:
            del self._due[topic]
            try:
                future = self._broker.publish(topic, self._wanted[topic], retain=True)
            except LinkLost:
                return  # everything is due again at the next connection
            except PublishRefused:
                del self._wanted[topic]
                continue
            acknowledged[topic] = (future, self._wanted[topic])
        # The connection's keepalive bounds this: each future ends with it at the latest.
        if acknowledged:
            await asyncio.wait([future for future, _ in acknowledged.values()], timeout=patience)
        for topic, (future, payload) in acknowledged.items():
            sent = future.done() and not future.cancelled() and future.exception() is None
            if sent and not payload and self._wanted.get(topic) == b"":
                del self._wanted[topic]
