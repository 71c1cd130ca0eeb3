"""What the outbox has on disk: whose it is, how much it counts and how it stands; knows no disk."""

import itertools
from dataclasses import dataclass
from typing import Literal

from ocpp_addon.mqtt.outgoing import BOUNDARY, TRANSACTION

# Due; on the wire as well, so not due; kept until a person approves the charger.
State = Literal["waiting", "flying", "held"]


@dataclass(slots=True)
class _Row:
    charger_id: str
    rank: int
    size: int
    state: State


class Inventory:
    """Know the stored messages by their numbers, in order; `size` is that of all, in bytes.

    `due` and `held` count what waits, and what is kept, of each charger, in the order of their
    first messages; `flying` is how many are on the wire.
    """

    def __init__(self) -> None:
        self.size = 0
        self.flying = 0
        self.due: dict[str, int] = {}
        self.held: dict[str, int] = {}
        self._rows: tuple[dict[int, _Row], ...] = ({}, {}, {}, {})  # by rank

    def __len__(self) -> int:
        return sum(map(len, self._rows))

    def __contains__(self, seq: object) -> bool:
        return any(seq in rows for rows in self._rows)

    def is_due(self, seq: int) -> bool:
        """Tell whether a message waits to be published."""
        row = self._row(seq)
        return row is not None and row.state == "waiting"

    def held_of(self, charger_id: str, below: int = BOUNDARY + 1) -> list[int]:
        """Return what is held of a charger and counts less than the rank `below`."""
        return [
            seq
            for rows in self._rows[:below]
            for seq, row in rows.items()
            if row.state == "held" and row.charger_id == charger_id
        ]

    def least(self, rank: int, count: int) -> list[int]:
        """Return messages that count least, up to `rank`: no data of transactions, none flying."""
        lowest = next((one for one in range(TRANSACTION) if self._rows[one]), TRANSACTION)
        if lowest == TRANSACTION or lowest > rank:
            return []
        idle = (seq for seq, row in self._rows[lowest].items() if row.state != "flying")
        return list(itertools.islice(idle, count))

    def add(self, seq: int, charger_id: str, rank: int, size: int, state: State) -> None:
        """Take a message in."""
        row = self._rows[rank][seq] = _Row(charger_id, rank, size, state)
        self.size += size
        self._count(row, 1)

    def remove(self, seq: int) -> bool:
        """Strike a message off; False if it is not there."""
        row = self._row(seq)
        if row is None:
            return False
        del self._rows[row.rank][seq]
        self.size -= row.size
        self._count(row, -1)
        return True

    def change(self, seq: int, state: State) -> None:
        """Note how a message stands, if it is there."""
        row = self._row(seq)
        if row is not None:
            self._count(row, -1)
            row.state = state
            self._count(row, 1)

    def _row(self, seq: int) -> _Row | None:
        return next((rows[seq] for rows in self._rows if seq in rows), None)

    def _count(self, row: _Row, change: int) -> None:
        if row.state == "flying":
            self.flying += change
            return
        counts = self.due if row.state == "waiting" else self.held
        count = counts.get(row.charger_id, 0) + change
        if count > 0:
            counts[row.charger_id] = count
        else:
            counts.pop(row.charger_id, None)
