"""What the built-in central system makes of the Calls of OCPP 2.0.1 and 2.1."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ocpp_addon.home import fields
from ocpp_addon.home.answers16 import INVALID, PENDING_INTERVAL
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.tags import Tags
from ocpp_addon.home.transactions import Start, Stop, Transactions
from ocpp_addon.ocpp.messages import Call, Payload, Send
from ocpp_addon.ocpp.version import V21, Version
from ocpp_addon.text import utc

REGISTER = "Energy.Active.Import.Register"  # also what a sample without measurand is
VAT_NUMBER_LIMIT = 20

# The same whatever the charger says.
FIXED: dict[str, Payload] = {
    "ClearedChargingLimit": {},
    "DataTransfer": {"status": "UnknownVendorId"},
    "FirmwareStatusNotification": {},
    "Get15118EVCertificate": {"status": "Failed", "exiResponse": ""},
    "GetCertificateStatus": {"status": "Failed"},
    "LogStatusNotification": {},
    "MeterValues": {},
    "NotifyChargingLimit": {},
    "NotifyCustomerInformation": {},
    "NotifyDisplayMessages": {},
    "NotifyEVChargingNeeds": {"status": "Rejected"},
    "NotifyEVChargingSchedule": {"status": "Accepted"},  # taken note of, no more is promised
    "NotifyEvent": {},
    "NotifyMonitoringReport": {},
    "NotifyReport": {},
    "PublishFirmwareStatusNotification": {},
    "ReportChargingProfiles": {},
    "ReservationStatusUpdate": {},
    "SecurityEventNotification": {},
    "SignCertificate": {"status": "Rejected"},
    "StatusNotification": {},
}
FIXED_21: dict[str, Payload] = FIXED | {
    "BatterySwap": {},
    "ClosePeriodicEventStream": {},
    "NotifyDERAlarm": {},
    "NotifyDERStartStop": {},
    "NotifyPriorityCharging": {},
    "NotifySettlement": {},
    "OpenPeriodicEventStream": {"status": "Rejected"},
    "PullDynamicScheduleUpdate": {"status": "Rejected"},
    "ReportDERControl": {},
}


class Answers2:
    """Observe and answer Calls of OCPP 2.0.1 and 2.1; odd payloads are answered as well."""

    def __init__(
        self, journal: Journal, tags: Tags, transactions: Transactions, heartbeat_interval: int
    ) -> None:
        self._journal = journal
        self._tags = tags
        self._transactions = transactions
        self._heartbeat_interval = heartbeat_interval

    def observe(self, charger_id: str, call: Call | Send, now: datetime) -> None:
        """Note tags and what happens to transactions."""
        if call.action in ("Authorize", "TransactionEvent"):
            self._tags.saw(_token(call.payload), charger_id, now)
        if call.action == "TransactionEvent":
            self._follow(charger_id, call.payload, now)

    def _follow(self, charger_id: str, payload: Payload, now: datetime) -> None:
        info = fields.group(payload, "transactionInfo")
        transaction_id = fields.text(info, "transactionId")
        if not transaction_id:
            return
        connector = fields.integer(fields.group(payload, "evse"), "id")
        at = fields.moment(payload, "timestamp", now)
        if payload.get("eventType") == "Started":
            start = Start(charger_id, connector, _token(payload), _energy(payload), at)
            self._transactions.begun(start, transaction_id)
        else:
            # Who plugs in first shows a tag later.
            self._transactions.amend(
                charger_id, transaction_id, connector=connector, tag=_token(payload)
            )
        if payload.get("eventType") == "Ended":
            reason = fields.label(info, "stoppedReason") or "Local"  # the default of the clause
            self._transactions.end(Stop(charger_id, transaction_id, _energy(payload), at, reason))

    async def answer(
        self, charger_id: str, version: Version, call: Call, now: datetime, *, pending: bool
    ) -> Payload | None:
        """Return the result; None for an action that the version does not have. StorageError."""
        match call.action:
            case "BootNotification":
                return {
                    "status": "Pending" if pending else "Accepted",
                    "currentTime": utc(now),
                    "interval": PENDING_INTERVAL if pending else self._heartbeat_interval,
                }
            case "Heartbeat":
                return {"currentTime": utc(now)}
            case "Authorize":
                return {"idTokenInfo": self._id_token_info(call.payload, now, pending=pending)}
            case "TransactionEvent":
                if not pending and call.payload.get("eventType") in ("Started", "Ended"):
                    self._follow(charger_id, call.payload, now)
                    await self._journal.flush()
                if not fields.group(call.payload, "idToken"):
                    return {}
                return {"idTokenInfo": self._id_token_info(call.payload, now, pending=pending)}
            case "VatNumberValidation" if version == V21:
                number = fields.text(call.payload, "vatNumber") or ""
                return {"vatNumber": number[:VAT_NUMBER_LIMIT], "status": "Rejected"}
            case action:
                return (FIXED_21 if version == V21 else FIXED).get(action)

    def _id_token_info(self, payload: Payload, now: datetime, *, pending: bool) -> Payload:
        verdict = INVALID if pending else self._tags.decide(_token(payload), now)
        info: Payload = {"status": verdict.status}
        if verdict.parent:
            info["groupIdToken"] = {"idToken": verdict.parent, "type": "Central"}
        if verdict.expiry:
            info["cacheExpiryDateTime"] = utc(verdict.expiry)
        return info


def _token(payload: Mapping[str, Any]) -> str | None:
    return fields.text(fields.group(payload, "idToken"), "idToken")


def _energy(payload: Mapping[str, Any]) -> int | None:
    """Return the energy register of a TransactionEvent in Wh, the last one if there are several."""
    energy = None
    for value in fields.groups(payload, "meterValue"):
        for sample in fields.groups(value, "sampledValue"):
            reading = fields.real(sample, "value")
            if sample.get("measurand", REGISTER) != REGISTER or sample.get("phase") is not None:
                continue
            if reading is not None:
                energy = round(reading * _factor(fields.group(sample, "unitOfMeasure")))
    return energy if abs(energy or 0) <= fields.LARGEST else None


def _factor(unit: Mapping[str, Any]) -> float:
    exponent = fields.integer(unit, "multiplier") or 0
    kilo = 1000.0 if unit.get("unit") == "kWh" else 1.0
    return kilo * 10.0 ** max(-6, min(6, exponent))
