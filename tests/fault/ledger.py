"""The judge: what chargers were acknowledged against what arrived on MQTT; knows no gateway."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, fields

from tests.fault.mqtt import Message

EXCUSED_BEFORE = 1.0  # seconds before a broker's death in which what it acknowledged may be lost
LOOK_EVERY = 0.01  # seconds between looks at how late this process is itself
EXCUSED_AFTER = 0.25  # and the time that an acknowledgement may take to reach a charger


@dataclass
class Account:
    """One charger's messages: numbers that grow with each message that it sends."""

    acknowledged: dict[int, float] = field(default_factory=dict)  # number -> when
    refused: set[int] = field(default_factory=set)
    received: list[int] = field(default_factory=list)  # in the order of arrival
    message_ids: dict[int, set[str | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What the comparison gave."""

    acknowledged: int
    lost: int
    excused: int
    duplicates: int
    strangers: int  # duplicates that carry another `message-id` than the first
    disorder: int  # messages that arrived first after a later one of the same charger
    refused: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


class Ledger:
    """Keep accounts; a message is named `<number>` in its unique id."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.latencies: list[float] = []
        self._excuses: list[tuple[float, float]] = []

    def account(self, charger_id: str) -> Account:
        """Return a charger's account."""
        return self.accounts.setdefault(charger_id, Account())

    def acknowledged(self, charger_id: str, number: int, now: float, took: float) -> None:
        """Note that a charger got its CallResult."""
        self.account(charger_id).acknowledged[number] = now
        self.latencies.append(took)

    def refused(self, charger_id: str, number: int) -> None:
        """Note that a charger got a CallError: it keeps its message."""
        self.account(charger_id).refused.add(number)

    def received(self, charger_id: str, message: Message) -> None:
        """Note a Call that arrived upstream."""
        number = json.loads(message.payload)["UniqueId"]
        if not isinstance(number, str) or not number.isdigit():
            return
        account = self.account(charger_id)
        account.received.append(int(number))
        account.message_ids.setdefault(int(number), set()).add(message.mark("message-id"))

    def broker_dies(self, now: float) -> None:
        """Excuse what the broker acknowledged just before: that loss is its own."""
        self._excuses.append((now - EXCUSED_BEFORE, now + EXCUSED_AFTER))

    @property
    def complete(self) -> bool:
        """Tell whether everything acknowledged has arrived."""
        return next(self._missing(), None) is None

    def missing(self) -> list[tuple[str, int]]:
        """Return what was acknowledged and has not arrived, without what is excused."""
        return list(self._missing())

    def verdict(self) -> Verdict:
        """Compare."""
        counts: Counter[str] = Counter()
        for account in self.accounts.values():
            arrivals = Counter(account.received)
            counts["acknowledged"] += len(account.acknowledged)
            counts["refused"] += len(account.refused)
            counts["duplicates"] += arrivals.total() - len(arrivals)
            counts["strangers"] += sum(len(ids) > 1 for ids in account.message_ids.values())
            newest = -1
            for number in dict.fromkeys(account.received):
                counts["disorder"] += number < newest
                newest = max(newest, number)
            absent = account.acknowledged.keys() - arrivals.keys()
            counts["excused"] += sum(self.is_excused(account.acknowledged[n]) for n in absent)
            counts["lost"] += sum(not self.is_excused(account.acknowledged[n]) for n in absent)
        return Verdict(**{field.name: counts[field.name] for field in fields(Verdict)})

    def _missing(self) -> Iterator[tuple[str, int]]:
        for charger_id, account in self.accounts.items():
            arrived = account.message_ids
            for number, when in account.acknowledged.items():
                if number not in arrived and not self.is_excused(when):
                    yield charger_id, number

    def is_excused(self, when: float) -> bool:
        """Tell whether what happened then may be lost by the broker."""
        return any(start <= when <= end for start, end in self._excuses)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of all lies; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


@contextlib.asynccontextmanager
async def measured_delays() -> AsyncIterator[list[float]]:
    """Measure by how many seconds this process' own loop is late, which no gateway is guilty of."""
    delays: list[float] = []

    async def look() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            delays.append(loop.time() - due)

    task = asyncio.create_task(look(), name="delays")
    try:
        yield delays
    finally:
        task.cancel()
        await asyncio.wait({task})
