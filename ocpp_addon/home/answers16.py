"""What the built-in central system makes of the Calls of OCPP 1.6 and its security whitepaper."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ocpp_addon.home import fields, reports16
from ocpp_addon.home.clock import Clocks
from ocpp_addon.home.journal import Journal
from ocpp_addon.home.scans import Scans
from ocpp_addon.home.states import States
from ocpp_addon.home.tags import Tags, Verdict
from ocpp_addon.home.transactions import Start, Stop, Transactions
from ocpp_addon.ocpp.messages import Call, Payload, Send
from ocpp_addon.text import utc

PENDING_INTERVAL = 10  # seconds until a charger that waits for approval boots again

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
INVALID = Verdict("Invalid")


class Answers16:
    """Observe and answer Calls of OCPP 1.6; odd payloads are answered as well (1.6 4.7, 4.8)."""

    def __init__(
        self,
        journal: Journal,
        clocks: Clocks,
        tags: Tags,
        scans: Scans,
        transactions: Transactions,
        states: States,
        heartbeat_interval: int,
    ) -> None:
        self._journal = journal
        self._clocks = clocks
        self._tags = tags
        self._scans = scans
        self._transactions = transactions
        self._states = states
        self._heartbeat_interval = heartbeat_interval

    def observe(self, charger_id: str, call: Call | Send, now: datetime) -> None:
        """Note tags, the ends of transactions and what is said of connectors."""
        reports = reports16.read(call, self._clocks.of(charger_id), now)
        self._states.observe(charger_id, reports, now)
        if call.action not in ("Authorize", "StartTransaction", "StopTransaction"):
            return
        tag = fields.text(call.payload, "idTag")
        self._tags.saw(tag, charger_id, now)
        if call.action == "Authorize":
            self._scans.asked(charger_id, tag, now)
        elif call.action == "StartTransaction":
            start = self._start(charger_id, call.payload, now)
            self._scans.started(charger_id, start.connector, tag, start.at, now)
        else:
            self._transactions.end(self._stop(charger_id, call.payload, now))

    def observe_answer(
        self, charger_id: str, call: Call, result: Mapping[str, Any], now: datetime
    ) -> None:
        """Note a transaction that any central system allowed and gave an id."""
        transaction_id = fields.integer(result, "transactionId")
        verdict = fields.text(fields.group(result, "idTagInfo"), "status") or "Accepted"
        if call.action != "StartTransaction" or verdict != "Accepted":
            return
        if transaction_id is not None:
            self._transactions.begun(self._start(charger_id, call.payload, now), transaction_id)

    async def answer(
        self, charger_id: str, call: Call, now: datetime, *, pending: bool
    ) -> Payload | None:
        """Return the result; None for an action that 1.6 does not have. StorageError."""
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
                return {"idTagInfo": self._id_tag_info(call.payload, now, pending=pending)}
            case "StartTransaction":
                info = self._id_tag_info(call.payload, now, pending=pending)
                if info["status"] == "Accepted":
                    start = self._start(charger_id, call.payload, now)
                    transaction_id = self._transactions.begin(start, now)
                else:  # there is no session unless its meter values tell otherwise
                    transaction_id = self._transactions.new_id(charger_id, now)
                await self._journal.flush()
                return {"transactionId": transaction_id, "idTagInfo": info}
            case "StopTransaction":
                if pending:
                    return {}
                self._transactions.end(self._stop(charger_id, call.payload, now))
                await self._journal.flush()
                if not fields.text(call.payload, "idTag"):
                    return {}
                return {"idTagInfo": self._id_tag_info(call.payload, now, pending=False)}
            case action:
                return FIXED.get(action)

    def _id_tag_info(self, payload: Payload, now: datetime, *, pending: bool) -> Payload:
        verdict = INVALID if pending else self._tags.decide(fields.text(payload, "idTag"), now)
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
            at=self._clocks.moment(charger_id, payload, now),
            stamp=fields.text(payload, "timestamp"),
        )

    def _stop(self, charger_id: str, payload: Payload, now: datetime) -> Stop:
        return Stop(
            charger_id=charger_id,
            transaction_id=fields.integer(payload, "transactionId"),
            meter=fields.integer(payload, "meterStop"),
            at=self._clocks.moment(charger_id, payload, now),
            reason=fields.label(payload, "reason") or "Local",  # errata 1.6: the default
        )
