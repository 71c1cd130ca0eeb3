"""How often something may happen, per key; pure, the caller's clock is an argument."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Record:
    events: deque[float] = field(default_factory=deque)
    blocked_until: float = 0.0


class Throttle:
    """Block a key for `penalty` seconds once it had more than `limit` events in `window` seconds.

    Remembers the `size` keys that were used last.
    """

    def __init__(self, limit: int, window: float, penalty: float, size: int = 4096) -> None:
        self._limit = limit
        self._window = window
        self._penalty = penalty
        self._size = size
        self._records: OrderedDict[Hashable, _Record] = OrderedDict()

    def blocked(self, key: Hashable, now: float) -> float:
        """Return for how many seconds `key` is still blocked; 0 = it is free."""
        record = self._records.get(key)
        return max(0.0, record.blocked_until - now) if record else 0.0

    def count(self, key: Hashable, now: float) -> None:
        """Note one more event; events during a block do not prolong it."""
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        if len(self._records) > self._size:
            self._records.popitem(last=False)
        if record.blocked_until > now:
            return
        events = record.events
        events.append(now)
        while events[0] <= now - self._window:
            events.popleft()
        if len(events) > self._limit:
            record.blocked_until = now + self._penalty
            events.clear()

    def forget(self, key: Hashable) -> None:
        """Start anew for `key`."""
        self._records.pop(key, None)
