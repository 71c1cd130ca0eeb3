"""What the simulated charger has to say, in order, until it is said."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Messages that wait; beyond it only starts and stops of transactions are still taken.
QUEUE_LIMIT = 1000


@dataclass(eq=False)
class Message:
    """Something to say; `build` makes it when its turn comes, None if it became pointless."""

    build: Callable[[], Any]
    answered: Callable[[Any], None] = lambda answer: None
    of_transaction: bool = False
    refusals: int = 0


class Queue:
    """Hold messages for the link, which looks again whenever it is woken."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.woken = asyncio.Event()

    @property
    def full(self) -> bool:
        """Tell whether only starts and stops of transactions are taken."""
        return len(self.messages) >= QUEUE_LIMIT

    @property
    def of_transactions(self) -> list[Message]:
        """Return what is about transactions: it survives a lost connection (OCPP 1.6 3.7.1)."""
        return [message for message in self.messages if message.of_transaction]

    def say(self, message: Message) -> None:
        """Queue a message."""
        if message.of_transaction or not self.full:
            self.messages.append(message)
            self.woken.set()

    def drop_others(self) -> None:
        """Drop what is not about a transaction: it is of no use on another connection."""
        self.messages = deque(self.of_transactions)
