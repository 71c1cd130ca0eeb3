"""What Calls of OCPP 2.0.1 and 2.1 say about EVSEs and their connectors."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ocpp_addon.home import fields, meter
from ocpp_addon.home.clock import PeerClock
from ocpp_addon.home.reports import ChargingReport, MeterReport, Report, StatusReport
from ocpp_addon.ocpp.messages import Call, Payload, Send

TRANSACTION_ID_LIMIT = 255  # the specification says 36


def read(call: Call | Send, clock: PeerClock, now: datetime) -> list[Report]:
    """Return what a Call reports; odd ones report nothing."""
    payload = call.payload
    at = clock.moment(fields.stamp(payload, "timestamp"), now)
    match call.action:
        case "StatusNotification":
            evse, part = fields.integer(payload, "evseId"), fields.integer(payload, "connectorId")
            return list(_status(evse, part, fields.label(payload, "connectorStatus"), at))
        case "MeterValues":
            samples = meter.read(fields.groups(payload, "meterValue"), clock, now)
            return [MeterReport(fields.integer(payload, "evseId"), None, samples)]
        case "TransactionEvent":
            return list(_transaction(payload, clock, at, now))
        case "NotifyEvent":
            return [
                report
                for event in fields.groups(payload, "eventData")
                for report in _variable(
                    event,
                    fields.label(event, "actualValue"),
                    clock.moment(fields.stamp(event, "timestamp"), now),
                )
            ]
        case "NotifyReport":
            return [
                report
                for data in fields.groups(payload, "reportData")
                for attribute in fields.groups(data, "variableAttribute")
                if attribute.get("type", "Actual") == "Actual"
                for report in _variable(data, fields.label(attribute, "value"), now)
            ]
    return []


def transaction_id(payload: Payload) -> str | None:
    """Return the transaction of a TransactionEvent, if it has a sensible one."""
    found = fields.text(fields.group(payload, "transactionInfo"), "transactionId")
    return found if found and len(found) <= TRANSACTION_ID_LIMIT else None


def _transaction(
    payload: Payload, clock: PeerClock, at: datetime, now: datetime
) -> Iterator[Report]:
    transaction = transaction_id(payload)
    number = fields.integer(fields.group(payload, "evse"), "id")
    if transaction is None:
        return
    charging_state = fields.label(fields.group(payload, "transactionInfo"), "chargingState")
    if charging_state is not None:
        yield ChargingReport(number, transaction, charging_state, at)
    samples = meter.read(fields.groups(payload, "meterValue"), clock, now)
    yield MeterReport(number, transaction, samples)


def _variable(data: Mapping[str, Any], value: str | None, at: datetime) -> Iterator[Report]:
    """Some chargers tell the status by a variable (2.0.1 G01.FR.08)."""
    component = fields.group(data, "component")
    if fields.text(fields.group(data, "variable"), "name") != "AvailabilityState":
        return
    evse = fields.group(component, "evse")
    name = fields.text(component, "name")
    if name == "ChargingStation":
        yield from _status(0, 0, value, at)
    elif name == "Connector":
        yield from _status(
            fields.integer(evse, "id"), fields.integer(evse, "connectorId"), value, at
        )


def _status(
    evse: int | None, part: int | None, status: str | None, at: datetime
) -> Iterator[Report]:
    if evse is not None and evse >= 0 and part is not None and part >= 0 and status is not None:
        yield StatusReport(evse, status, at, part)
