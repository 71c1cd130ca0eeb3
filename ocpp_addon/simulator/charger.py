"""The simulated charger: what happens at it, and what it says of that."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ocpp.v16 import call

from ocpp_addon.simulator.connector import MEASURANDS, SimulatedConnector
from ocpp_addon.simulator.queue import Message, Queue
from ocpp_addon.text import utc


class SimulatedCharger:
    """A charger and its connectors; with `charge` a car starts by itself.

    `interval` are the seconds between meter values, `speed` is how much faster cars charge.
    """

    def __init__(
        self,
        charger_id: str,
        password: str | None,
        connectors: int,
        charge: bool,
        interval: float,
        speed: float,
    ) -> None:
        self.id = charger_id
        self.password = password
        self.connectors = {
            number: SimulatedConnector(number, speed) for number in range(1, connectors + 1)
        }
        self.configuration = {
            "HeartbeatInterval": "300",
            "MeterValueSampleInterval": f"{interval:g}",
            "MeterValuesSampledData": ",".join(MEASURANDS),
            "NumberOfConnectors": str(connectors),
            "SupportedFeatureProfiles": "Core,RemoteTrigger,SmartCharging",
            "ChargeProfileMaxStackLevel": "8",
            "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
        }
        self.a_car_waits = charge
        self.queue = Queue()
        self.accepted = False  # by the central system, on this connection
        self.resetting = False  # until it has connected anew
        self.boot_now = asyncio.Event()  # rather than after the interval
        self._reconfigured = asyncio.Event()
        self._statuses: dict[int, str] = {}

    def now(self) -> float:
        """Return the seconds of the clock by which cars charge."""
        return asyncio.get_running_loop().time()

    # What happens at the charger

    def plug_in(self, number: int, tag: str) -> None:
        """Let a car arrive whose driver shows `tag`; it charges if that is accepted."""

        def authorized(answer: Any) -> None:
            if answer.id_tag_info["status"] == "Accepted":
                self.a_car_waits = False
                self.start(number, tag)

        self.connectors[number].plugged_in = True
        self.say_changed_statuses()
        self.say(lambda: call.Authorize(id_tag=tag), authorized)

    def start(self, number: int, tag: str) -> None:
        """Begin a transaction; one whose tag turns out not to be accepted ends."""
        transaction = self.connectors[number].start(tag, self.now())
        payload = call.StartTransaction(
            connector_id=number,
            id_tag=tag,
            meter_start=transaction.meter_start,
            timestamp=utc(datetime.now(UTC)),
        )

        def started(answer: Any) -> None:
            transaction.id = answer.transaction_id
            refused = answer.id_tag_info["status"] != "Accepted"
            if refused and self.connectors[number].transaction is transaction:
                self.stop(number, "DeAuthorized")

        self.say(lambda: payload, started, of_transaction=True)
        self.say_changed_statuses()

    def stop(self, number: int, reason: str) -> None:
        """End the transaction of a connector."""
        connector = self.connectors[number]
        transaction = connector.transaction
        if transaction is None:
            return
        meter_stop = connector.advance(self.now())
        timestamp = utc(datetime.now(UTC))
        self.say_meter_values(number, "Transaction.End")
        connector.stop(self.now())

        def payload() -> Any:
            if transaction.id is None:  # its start was refused for good
                return None
            return call.StopTransaction(
                meter_stop=meter_stop,
                timestamp=timestamp,
                transaction_id=transaction.id,
                reason=reason,
                id_tag=transaction.tag,
            )

        self.say(payload, of_transaction=True)
        self.say_changed_statuses()

    def configure(self, key: str, value: str) -> None:
        """Change the configuration."""
        self.configuration[key] = value
        self._reconfigured.set()
        self.queue.woken.set()

    def reset(self, reason: str) -> None:
        """End all transactions, and once that is said connect and boot anew."""
        for number in self.connectors:
            self.stop(number, reason)
        self.resetting = True
        self.queue.woken.set()

    async def sample(self) -> None:
        """Say now and then what the meters show; until cancelled."""
        while True:
            self._reconfigured.clear()
            try:
                async with asyncio.timeout(self.seconds("MeterValueSampleInterval")):
                    await self._reconfigured.wait()
            except TimeoutError:
                for number, connector in self.connectors.items():
                    if connector.transaction:
                        self.say_meter_values(number, "Sample.Periodic")
                self.say_changed_statuses()

    def seconds(self, key: str) -> float | None:
        """Return a configured interval, None for 0: never."""
        return float(self.configuration[key]) or None

    # What the charger says

    def say(
        self,
        build: Callable[[], Any],
        answered: Callable[[Any], None] = lambda answer: None,
        of_transaction: bool = False,
    ) -> None:
        """Queue a Call; `build` makes its payload when its turn comes."""
        self.queue.say(Message(build, answered, of_transaction))

    def say_status(self, number: int) -> None:
        """Say what a connector does; number 0 is the charger itself."""
        status = self.connectors[number].status(self.now()) if number else "Available"
        self._statuses[number] = status
        payload = call.StatusNotification(
            connector_id=number,
            error_code="NoError",
            status=status,
            timestamp=utc(datetime.now(UTC)),
        )
        self.say(lambda: payload)

    def say_changed_statuses(self) -> None:
        """Say the statuses that are not what was said last; after a boot all are said anyway."""
        if not self.accepted:
            return
        for number, connector in self.connectors.items():
            if connector.status(self.now()) != self._statuses.get(number):
                self.say_status(number)

    def say_meter_values(self, number: int, context: str) -> None:
        """Say what the meter of a connector shows now."""
        if self.queue.full:
            return
        connector = self.connectors[number]
        transaction = connector.transaction
        meter_value = [
            {
                "timestamp": utc(datetime.now(UTC)),
                "sampled_value": connector.samples(self.now(), context),
            }
        ]
        self.say(
            lambda: call.MeterValues(
                connector_id=number,
                meter_value=meter_value,
                transaction_id=transaction.id if transaction else None,
            ),
            of_transaction=transaction is not None,
        )

    def boot_again(self) -> None:
        """Say BootNotification, at once if it is what the charger waits to do."""
        if self.accepted:
            self.say(self.boot_notification)
        self.boot_now.set()

    def boot_notification(self) -> Any:
        """Return what the charger says about itself."""
        return call.BootNotification(
            charge_point_vendor="Simulated",
            charge_point_model=f"AC{len(self.connectors)}",
            charge_point_serial_number=self.id[:25],
            firmware_version="1.0",
        )
