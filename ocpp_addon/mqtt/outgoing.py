"""A message on its way upstream, and how much it counts when room is short."""

from dataclasses import dataclass

# Ranks: the lowest goes first when room is short. The built-in answers go with the heartbeats.
HEARTBEAT, ORDINARY, TRANSACTION, BOUNDARY = range(4)  # the last: begin or end of a transaction


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way upstream."""

    charger_id: str
    topic: str
    payload: bytes
    properties: tuple[tuple[str, str], ...] = ()
    rank: int = ORDINARY
    replay_topic: str | None = None
    correlation: bytes | None = None
