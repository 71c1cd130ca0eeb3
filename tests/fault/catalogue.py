"""All scenarios, each in a long form and in a short one that a test run can afford."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fault import (
    scenarios_broker,
    scenarios_chargers,
    scenarios_commands,
    scenarios_disk,
    scenarios_flood,
    scenarios_gateway,
    scenarios_protocol,
    soak,
)
from tests.fault.report import Report

Run = Callable[..., Awaitable[Report]]


@dataclass(frozen=True)
class Scenario:
    """A fault; `long` and `short` are the arguments of the two forms."""

    number: str
    name: str
    run: Run
    long: dict[str, Any]
    short: dict[str, Any]

    async def perform(self, folder: Path, *, short: bool, **more: Any) -> Report:
        """Run it in an empty folder."""
        return await self.run(folder, **{**(self.short if short else self.long), **more})


SCENARIOS = (
    Scenario(
        "F1",
        "broker-killed",
        scenarios_broker.killed,
        {"chargers": 200, "period": 1, "commands": 20, "outage": 60},
        {"chargers": 40, "period": 0.5, "commands": 10, "outage": 3},
    ),
    Scenario(
        "F2",
        "broker-frozen",
        scenarios_broker.frozen,
        {"chargers": 200, "period": 1, "commands": 20, "freeze": 60},
        {"chargers": 40, "period": 0.5, "commands": 10, "freeze": 2},
    ),
    Scenario(
        "F3",
        "broker-resets",
        scenarios_broker.resets,
        {"chargers": 200, "period": 1, "seconds": 60},
        {"chargers": 40, "period": 0.5, "seconds": 3},
    ),
    Scenario(
        "F4",
        "gateway-killed",
        scenarios_gateway.killed,
        {"chargers": 200, "period": 1, "kills": 100},
        {"chargers": 40, "period": 0.5, "kills": 3},
    ),
    Scenario(
        "F5",
        "gateway-stopped",
        scenarios_gateway.stopped,
        {"chargers": 200, "period": 1, "commands": 20, "stops": 5},
        {"chargers": 40, "period": 0.5, "commands": 10, "stops": 2},
    ),
    Scenario(
        "F6",
        "disk-full",
        scenarios_disk.full,
        {"chargers": 50, "period": 1, "seconds": 60},
        {"chargers": 10, "period": 0.5, "seconds": 3},
    ),
    Scenario(
        "F7",
        "database-broken",
        scenarios_disk.broken,
        {"kinds": tuple(scenarios_disk.DAMAGES)},
        {"kinds": ("garbage", "truncated", "older format")},
    ),
    Scenario(
        "F8",
        "clock-jumps",
        scenarios_gateway.clock,
        {"call_timeout": 8},
        {"call_timeout": 2},
    ),
    Scenario(
        "F9",
        "all-at-once",
        scenarios_chargers.storm,
        {"chargers": 2000, "online": 50},
        {"chargers": 40, "online": 5},
    ),
    Scenario(
        "F10",
        "deaf-chargers",
        scenarios_chargers.deaf,
        # Long enough for what is kept of the others' last frames to be all that is kept.
        {"deaf": 50, "others": 150, "seconds": 60},
        {"deaf": 3, "others": 10, "seconds": 1},
    ),
    Scenario(
        "F11",
        "late-answers",
        scenarios_commands.answers,
        {"call_timeout": 30},
        {"call_timeout": 1},
    ),
    Scenario(
        "F12",
        "command-flood",
        scenarios_commands.flood,
        {"commands": 10_000, "seconds": 10, "others": 50},
        {"commands": 500, "seconds": 1, "others": 5},
    ),
    Scenario(
        "F13",
        "malformed-frames",
        scenarios_flood.frames,
        {"frames": 1_000_000, "others": 50},
        {"frames": 20_000, "others": 5},
    ),
    Scenario(
        "F14",
        "malformed-requests",
        scenarios_flood.requests,
        {"requests": 100_000, "others": 50},
        {"requests": 1_000, "others": 5},
    ),
    Scenario(
        "F15",
        "stalled-requests",
        scenarios_flood.stalled,
        {"requests": 1_000},
        {"requests": 100},
    ),
    Scenario(
        "F16",
        "half-open",
        scenarios_chargers.half_open,
        {"ping_interval": 10},
        {"ping_interval": 1},
    ),
    Scenario(
        "F17",
        "take-overs",
        scenarios_chargers.contest,
        {"seconds": 60},
        {"seconds": 3},
    ),
    Scenario(
        "F18",
        "poison",
        scenarios_broker.poison,
        {"chargers": 100, "period": 0.5},
        {"chargers": 10, "period": 0.5},
    ),
    Scenario(
        "F19",
        "broker-emptied",
        scenarios_broker.emptied,
        {"chargers": 200, "outages": 5},
        {"chargers": 20, "outages": 1},
    ),
    Scenario(
        "F20",
        "same-client-id",
        scenarios_broker.rivals,
        {"seconds": 120},
        {"seconds": 6},
    ),
    Scenario("F21", "bad-options", scenarios_gateway.bad_options, {"count": 50}, {"count": 8}),
    Scenario(
        "F22",
        "own-mistakes",
        scenarios_gateway.mistakes,
        {"parts": tuple(scenarios_gateway.PARTS), "seconds": 5},
        {"parts": ("retained",), "seconds": 1},
    ),
    Scenario(
        "F23",
        "soak",
        soak.soak,
        {"minutes": 30, "chargers": 200, "period": 1, "commands": 20},
        {"minutes": 0.2, "chargers": 20, "period": 0.5, "commands": 5},
    ),
    Scenario(
        "F24",
        "protocol",
        scenarios_protocol.conversation,
        {"runs": 10_000},
        {"runs": 100},
    ),
    Scenario(
        "F25",
        "backup",
        scenarios_disk.backup,
        {"chargers": 100, "period": 0.5, "backups": 20},
        {"chargers": 20, "period": 0.25, "backups": 2},
    ),
    Scenario(
        "F26",
        "outbox-full",
        scenarios_disk.bounded,
        {"chargers": 50, "period": 0.25, "limit": 3_000, "seconds": 40},
        {"chargers": 20, "period": 0.1, "limit": 200, "seconds": 3},
    ),
)
