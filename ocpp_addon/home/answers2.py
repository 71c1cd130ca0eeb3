"""What the built-in central system makes of the Calls of OCPP 2.0.1 and 2.1."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ocpp_addon.home import fields, meter, reports2
from ocpp_addon.home.desk import Desk
from ocpp_addon.home.session import Start, Stop
from ocpp_addon.ocpp.messages import Call, Payload, Send
from ocpp_addon.ocpp.version import V21, Version
from ocpp_addon.text import utc

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

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def observe(self, charger_id: str, call: Call | Send, now: datetime) -> None:
        """Note tags, what happens to transactions and what is said of EVSEs."""
        payload, event = call.payload, call.action == "TransactionEvent"
        if event:
            self._open(charger_id, payload, now)
            self._amend(charger_id, payload)
        reports = reports2.read(call, self._desk.clocks.of(charger_id), now)
        self._desk.states.observe(charger_id, reports, now, evse=True)
        if event:
            self._amend(charger_id, payload)  # a session whose start was lost is known only now
            self._close(charger_id, payload, now)
        if event or call.action == "Authorize":
            tag = _token(payload)
            self._desk.tags.saw(tag, charger_id, now)
            if not event:
                self._desk.scans.asked(charger_id, tag, now)
            elif payload.get("triggerReason") in ("Authorized", "StopAuthorized", "Deauthorized"):
                at = self._desk.clocks.moment(charger_id, payload, now)
                self._desk.scans.started(charger_id, self._evse(charger_id, payload), tag, at, now)

    def _open(self, charger_id: str, payload: Payload, now: datetime) -> None:
        transaction_id = reports2.transaction_id(payload)
        if not transaction_id or payload.get("eventType") != "Started":
            return
        registers = self._registers(charger_id, payload, now)
        self._desk.transactions.begun(
            Start(
                charger_id,
                self._evse(charger_id, payload),
                _token(payload),
                registers[0] if registers else None,
                self._desk.clocks.moment(charger_id, payload, now),
            ),
            transaction_id,
        )

    def _amend(self, charger_id: str, payload: Payload) -> None:
        """Take what was not known at the start: who plugs in first shows a tag later."""
        transaction_id = reports2.transaction_id(payload)
        if transaction_id:
            evse = self._evse(charger_id, payload)
            self._desk.transactions.amend(
                charger_id, transaction_id, connector=evse, tag=_token(payload)
            )

    def _close(self, charger_id: str, payload: Payload, now: datetime) -> None:
        transaction_id = reports2.transaction_id(payload)
        if not transaction_id or payload.get("eventType") != "Ended":
            return
        registers = self._registers(charger_id, payload, now)
        reason = fields.label(fields.group(payload, "transactionInfo"), "stoppedReason")
        self._desk.transactions.end(
            Stop(
                charger_id,
                transaction_id,
                registers[-1] if registers else None,
                self._desk.clocks.moment(charger_id, payload, now),
                reason or "Local",  # the default of the clause
            )
        )

    def _evse(self, charger_id: str, payload: Payload) -> int | None:
        """Return the EVSE of an event; who has only one may leave it out."""
        number = fields.integer(fields.group(payload, "evse"), "id")
        return self._desk.states.only_outlet(charger_id) if number is None else number

    def _registers(self, charger_id: str, payload: Payload, now: datetime) -> list[int]:
        """Return the readings of the energy register in Wh, oldest first."""
        values = fields.groups(payload, "meterValue")
        samples = meter.read(values, self._desk.clocks.of(charger_id), now)
        readings = [sample.values.get(meter.REGISTER) for sample in samples]
        return [round(reading) for reading in readings if reading is not None]

    async def answer(
        self, charger_id: str, version: Version, call: Call, now: datetime, *, pending: bool
    ) -> Payload | None:
        """Return the result; None for an action that the version does not have. StorageError."""
        match call.action:
            case "BootNotification":
                return self._desk.boot(now, pending=pending)
            case "Heartbeat":
                return {"currentTime": utc(now)}
            case "Authorize":
                return {"idTokenInfo": self._id_token_info(call.payload, now, pending=pending)}
            case "TransactionEvent":
                if not pending and call.payload.get("eventType") in ("Started", "Ended"):
                    self._open(charger_id, call.payload, now)
                    self._close(charger_id, call.payload, now)
                    await self._desk.journal.flush()
                if not fields.group(call.payload, "idToken"):
                    return {}
                return {"idTokenInfo": self._id_token_info(call.payload, now, pending=pending)}
            case "VatNumberValidation" if version == V21:
                number = fields.text(call.payload, "vatNumber") or ""
                return {"vatNumber": number[:VAT_NUMBER_LIMIT], "status": "Rejected"}
            case action:
                return (FIXED_21 if version == V21 else FIXED).get(action)

    def _id_token_info(self, payload: Payload, now: datetime, *, pending: bool) -> Payload:
        verdict = self._desk.verdict(_token(payload), now, pending=pending)
        info: Payload = {"status": verdict.status}
        if verdict.parent:
            info["groupIdToken"] = {"idToken": verdict.parent, "type": "Central"}
        if verdict.expiry:
            info["cacheExpiryDateTime"] = utc(verdict.expiry)
        return info


def _token(payload: Mapping[str, Any]) -> str | None:
    return fields.text(fields.group(payload, "idToken"), "idToken")
