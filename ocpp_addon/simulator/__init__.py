"""A simulated OCPP 1.6 charger for demos and tests; it knows nothing of the gateway."""

import asyncio

from ocpp_addon.simulator.charger import SimulatedCharger
from ocpp_addon.simulator.link import SimulatedLink


class Simulator(SimulatedCharger):
    """A simulated charger that connects to `<url>/<charger_id>`."""

    def __init__(
        self,
        charger_id: str,
        url: str,
        password: str | None = None,
        *,
        connectors: int = 1,
        charge: bool = False,
        interval: float = 10,
        speed: float = 1,
    ) -> None:
        super().__init__(charger_id, password, connectors, charge, interval, speed)
        self._link = SimulatedLink(self, url)

    async def run(self) -> None:
        """Charge and stay connected until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sample(), name="sample")
            tasks.create_task(self._link.run(), name="connection")
