"""A charger that talks to the built-in central system: what it says, and what is made of it."""

import itertools
from datetime import datetime, timedelta
from typing import Any

from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.events import Event, StateChanged
from ocpp_addon.home.shown import public_state
from ocpp_addon.ocpp.messages import Call, CallResult, Payload
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.text import utc
from tests.home.conftest import NOW


class Charger:
    """Say things one after the other; `now` is our clock."""

    def __init__(self, central: CentralSystem, version: Version = V16, charger_id: str = "garage"):
        self.central = central
        self.version = version
        self.charger_id = charger_id
        self.now: datetime = NOW
        self.events: list[Event] = []
        self._ids = itertools.count(1)
        central.listeners.append(self._heed)

    def _heed(self, event: Event) -> None:
        if not isinstance(event, StateChanged):
            self.events.append(event)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    async def say(self, action: str, payload: Payload) -> Payload:
        """Pass a Call through all that the gateway does with it; return the answer."""
        call = Call(str(next(self._ids)), action, payload)
        whole = (self.charger_id, self.version, call)
        self.central.received(*whole, self.now)
        response = await self.central.answer(*whole, self.now)
        assert isinstance(response, CallResult), response
        self.central.answered(*whole, response, self.now)
        return response.payload

    async def start(self, connector: int = 1, **fields: Any) -> int:
        """Start a transaction of OCPP 1.6 and return its id."""
        payload = {"connectorId": connector, "idTag": "card", "meterStart": 0} | fields
        answer = await self.say("StartTransaction", {"timestamp": utc(self.now)} | payload)
        return int(answer["transactionId"])

    async def stop(self, transaction: int, **fields: Any) -> None:
        """Stop a transaction of OCPP 1.6."""
        payload = {"transactionId": transaction, "timestamp": utc(self.now)} | fields
        await self.say("StopTransaction", payload)

    async def status(self, status: str, connector: int = 1, **fields: Any) -> None:
        """Report a status."""
        if self.version == V16:
            payload = {"connectorId": connector, "status": status, "errorCode": "NoError"}
        else:
            payload = {"evseId": connector, "connectorId": 1, "connectorStatus": status}
            payload["timestamp"] = utc(self.now)
        await self.say("StatusNotification", payload | fields)

    async def meter(self, *samples: Any, connector: int = 1, **fields: Any) -> None:
        """Send sampled values of one moment: objects, or the energy register in Wh."""
        values = [one if isinstance(one, dict) else {"value": str(one)} for one in samples]
        place = "connectorId" if self.version == V16 else "evseId"
        moment = {"timestamp": utc(self.now), "sampledValue": values}
        await self.say("MeterValues", {place: connector, "meterValue": [moment]} | fields)

    async def event(self, kind: str, transaction: str = "t-1", **fields: Any) -> None:
        """Send a TransactionEvent of OCPP 2.x."""
        info = {"transactionId": transaction} | fields.pop("info", {})
        payload = {
            "eventType": kind,
            "timestamp": utc(self.now),
            "triggerReason": "Trigger",
            "seqNo": 0,
            "transactionInfo": info,
        }
        await self.say("TransactionEvent", payload | fields)

    def state(self, connector: int = 1) -> dict[str, Any]:
        """Return what is shown of a connector."""
        state = self.central.states.get(self.charger_id, connector)
        return public_state(state, self.now) if state else {}
