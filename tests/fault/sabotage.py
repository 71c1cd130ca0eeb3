"""Run the gateway with a mistake in it: `sabotage HOW COMMAND...`, HOW = `<part>:once|always`.

The parts are those of PARTS; `hooks` fails whenever a message, a change or a frame is watched.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from ocpp_addon.__main__ import main
from ocpp_addon.endpoint.server import Endpoint
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.outbox import Outbox
from ocpp_addon.mqtt.retained import Retained
from ocpp_addon.web.live import Live
from ocpp_addon.web.server import WebServer

PARTS: dict[str, Any] = {
    "broker": Broker,
    "outbox": Outbox,
    "retained": Retained,
    "endpoint": Endpoint,
    "home": CentralSystem,
    "web": WebServer,
}
DELAY = 1.0  # seconds that a part works before it fails


def sabotage(how: str) -> None:
    """Put the mistake in."""
    part, _, when = how.partition(":")
    if part == "hooks":
        for owner, name in (
            (CentralSystem, "received"),
            (CentralSystem, "answered"),
            (Live, "message"),
            (Live, "charger_changed"),
        ):
            setattr(owner, name, _fail)
        return
    owner = PARTS[part]
    owner.run = _failing(owner.run, once=when == "once")


def _failing(run: Callable[[Any], Any], *, once: bool) -> Callable[[Any], Any]:
    failures = 0

    async def failing(self: Any) -> None:
        nonlocal failures
        if once and failures:
            await run(self)
        failures += 1
        async with asyncio.timeout(DELAY):
            await run(self)

    return failing


def _fail(*_: object, **__: object) -> None:
    raise ValueError("sabotage")


if __name__ == "__main__":
    sabotage(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
