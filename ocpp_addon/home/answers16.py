"""What the built-in central system makes of the Calls of OCPP 1.6 and its security whitepaper."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ocpp_addon.home import fields, reports16
from ocpp_addon.home.desk import Desk
from ocpp_addon.home.session import Start, Stop
from ocpp_addon.ocpp.messages import Call, Payload, Send
from ocpp_addon.text import utc

# The same whatever the charger says.
FIXED: dict[str, Payload] = {
    "DataTransfer": {"status": "UnknownVendorId"},
    "DiagnosticsStatusNotification": {},
    "FirmwareStatusNotification": {},
    "LogStatusNotification": {},
    "MeterValues": {},
    "SecurityEventNotification": {},
    "SignCertificate": {"status": "Rejected"},
    "SignedFirmwareStatusNotification": {},
    "StatusNotification": {},
}


class Answers16:
    """Observe and answer Calls of OCPP 1.6; odd payloads are answered as well (1.6 4.7, 4.8)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def observe(self, charger_id: str, call: Call | Send, now: datetime) -> None:
        """Note tags, the ends of transactions and what is said of connectors."""
        reports = reports16.read(call, self._desk.clocks.of(charger_id), now)
        self._desk.states.observe(charger_id, reports, now)
        if call.action not in ("Authorize", "StartTransaction", "StopTransaction"):
            return
        tag = fields.text(call.payload, "idTag")
        self._desk.tags.saw(tag, charger_id, now)
        if call.action == "Authorize":
            self._desk.scans.asked(charger_id, tag, now)
        elif call.action == "StartTransaction":
            start = self._start(charger_id, call.payload, now)
            self._desk.scans.started(charger_id, start.connector, tag, start.at, now)
        else:
            self._desk.transactions.end(self._stop(charger_id, call.payload, now))

    def observe_answer(
        self, charger_id: str, call: Call, result: Mapping[str, Any], now: datetime
    ) -> None:
        """Note a transaction that any central system allowed and gave an id."""
        transaction_id = fields.integer(result, "transactionId")
        verdict = fields.text(fields.group(result, "idTagInfo"), "status") or "Accepted"
        if call.action != "StartTransaction" or verdict != "Accepted":
            return
        if transaction_id is not None:
            self._desk.transactions.begun(
                self._start(charger_id, call.payload, now), transaction_id
            )

    async def answer(
        self, charger_id: str, call: Call, now: datetime, *, pending: bool
    ) -> Payload | None:
        """Return the result; None for an action that 1.6 does not have. StorageError."""
        match call.action:
            case "BootNotification":
                return self._desk.boot(now, pending=pending)
            case "Heartbeat":
                return {"currentTime": utc(now)}
            case "Authorize":
                return {"idTagInfo": self._id_tag_info(call.payload, now, pending=pending)}
            case "StartTransaction":
                info = self._id_tag_info(call.payload, now, pending=pending)
                if info["status"] == "Accepted":
                    start = self._start(charger_id, call.payload, now)
                    transaction_id = self._desk.transactions.begin(start, now)
                else:  # there is no session unless its meter values tell otherwise
                    transaction_id = self._desk.transactions.new_id(charger_id, now)
                await self._desk.journal.flush()
                return {"transactionId": transaction_id, "idTagInfo": info}
            case "StopTransaction":
                if pending:
                    return {}
                self._desk.transactions.end(self._stop(charger_id, call.payload, now))
                await self._desk.journal.flush()
                if not fields.text(call.payload, "idTag"):
                    return {}
                return {"idTagInfo": self._id_tag_info(call.payload, now, pending=False)}
            case action:
                return FIXED.get(action)

    def _id_tag_info(self, payload: Payload, now: datetime, *, pending: bool) -> Payload:
        verdict = self._desk.verdict(fields.text(payload, "idTag"), now, pending=pending)
        # 1.6 knows no "Unknown".
        status = "Invalid" if verdict.status == "Unknown" else verdict.status
        info: Payload = {"status": status}
        if verdict.parent:
            info["parentIdTag"] = verdict.parent
        if verdict.expiry:
            info["expiryDate"] = utc(verdict.expiry)
        return info

    def _start(self, charger_id: str, payload: Payload, now: datetime) -> Start:
        return Start(
            charger_id=charger_id,
            connector=fields.integer(payload, "connectorId"),
            tag=fields.text(payload, "idTag"),
            meter=fields.integer(payload, "meterStart"),
            at=self._desk.clocks.moment(charger_id, payload, now),
            stamp=fields.text(payload, "timestamp"),
        )

    def _stop(self, charger_id: str, payload: Payload, now: datetime) -> Stop:
        return Stop(
            charger_id=charger_id,
            transaction_id=fields.integer(payload, "transactionId"),
            meter=fields.integer(payload, "meterStop"),
            at=self._desk.clocks.moment(charger_id, payload, now),
            reason=fields.label(payload, "reason") or "Local",  # errata 1.6: the default
        )
