"""What Calls of OCPP 1.6 say about connectors."""

from datetime import datetime

from ocpp_addon.home import fields, meter
from ocpp_addon.home.clock import PeerClock
from ocpp_addon.home.reports import MeterReport, Report, StatusReport
from ocpp_addon.home.session import TransactionId
from ocpp_addon.ocpp.messages import Call, Payload, Send


def read(call: Call | Send, clock: PeerClock, now: datetime) -> list[Report]:
    """Return what a Call reports; odd ones report nothing."""
    payload = call.payload
    number = fields.integer(payload, "connectorId")
    if number is not None and number < 0:
        number = None
    match call.action:
        case "StatusNotification":
            status = fields.label(payload, "status")
            if number is None or status is None:
                return []
            error = fields.label(payload, "errorCode")
            info = (fields.label(payload, "info"), fields.label(payload, "vendorErrorCode"))
            return [
                StatusReport(
                    number,
                    status,
                    clock.moment(fields.stamp(payload, "timestamp"), now),
                    error=None if error == "NoError" else error,
                    info=", ".join(filter(None, info)) or None,
                )
            ]
        case "MeterValues":
            samples = meter.read(fields.groups(payload, "meterValue"), clock, now)
            return [MeterReport(number, _transaction(payload), samples)]
        case "StopTransaction":
            samples = meter.read(fields.groups(payload, "transactionData"), clock, now)
            return [MeterReport(None, _transaction(payload), samples)]
    return []


def _transaction(payload: Payload) -> TransactionId | None:
    """Return the transaction; a charger that knows of none says -1, 0 or nothing."""
    identity = fields.integer(payload, "transactionId")
    return identity if identity is not None and identity > 0 else None
