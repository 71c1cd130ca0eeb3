"""Payloads against the schemas of their version."""

import copy
from typing import Any

import pytest

from ocpp_addon.ocpp.messages import Payload
from ocpp_addon.ocpp.validation import Direction, Validator
from ocpp_addon.ocpp.version import V16, V21, V201, VERSIONS, Version
from ocpp_addon.schemas import heavy_schemas, load_schema

VALIDATOR = Validator(load_schema)
SAMPLE = {"timestamp": "2026-11-24T10:00:00Z", "sampledValue": [{"value": "1"}]}


@pytest.mark.parametrize(
    ("version", "action", "payload", "direction", "code"),
    [
        (V16, "Heartbeat", {}, "request", None),
        (V16, "MeterValues", {"connectorId": 1, "meterValue": [SAMPLE]}, "request", None),
        (V16, "MeterValues", {}, "request", "OccurenceConstraintViolation"),
        (V201, "MeterValues", {}, "request", "OccurrenceConstraintViolation"),
        (V16, "Heartbeat", {"x": 1}, "request", "FormationViolation"),
        (V21, "Heartbeat", {"x": 1}, "request", "FormatViolation"),
        (V16, "Reset", {"type": 1}, "request", "TypeConstraintViolation"),
        (V16, "Reset", {"type": "Gentle"}, "request", "PropertyConstraintViolation"),
        (V16, "Authorize", {"idTag": "x" * 21}, "request", "PropertyConstraintViolation"),
        (V16, "Authorize", {"idTag": "x" * 20}, "request", None),
        (V16, "Reset", {"status": "Accepted"}, "response", None),
        (V16, "Reset", {"status": "NotImplemented"}, "response", "PropertyConstraintViolation"),
        (V16, "SecurityEventNotification", {"type": "x", "timestamp": "2026-11-24T10:00:00Z"},
         "request", None),
        (V16, "Vendor", {}, "request", "NotImplemented"),
        (V16, "../v201/schemas/Heartbeat", {}, "request", "NotImplemented"),
        (V21, "NotifyPeriodicEventStream", {}, "request", "OccurrenceConstraintViolation"),
    ],
)  # fmt: skip
def test_codes(
    version: Version, action: str, payload: Payload, direction: Direction, code: str | None
) -> None:
    findings = VALIDATOR.findings(version, action, payload, direction)
    assert (findings.code if findings else None) == code


@pytest.mark.parametrize(
    ("timestamp", "accepted"),
    [
        ("2026-11-24T10:00:00Z", True),
        ("2026-11-24T10:00:00.123456789+02:00", True),
        ("2026-11-24T10:00:00", True),
        ("2026-11-24 10:00:00", True),
        ("2026-11-24T10:00Z", True),
        ("2026-11-24T10:00:00,5+02", True),
        ("222222017-10-27T19:10:11Z", False),
        ("yesterday", False),
        ("2026-13-24T10:00:00Z", False),
    ],
)
def test_timestamps_are_judged_by_our_own_rule(timestamp: str, accepted: bool) -> None:
    payload = {"connectorId": 1, "meterValue": [{**SAMPLE, "timestamp": timestamp}]}
    findings = VALIDATOR.findings(V16, "MeterValues", payload, "request")
    assert (findings is None) is accepted


def test_every_current_limit_in_tenths_is_legal() -> None:
    for tenths in range(0, 1000):
        payload = _profile(tenths / 10)
        assert VALIDATOR.findings(V16, "SetChargingProfile", payload, "request") is None


def test_huge_numbers_are_findings_not_failures() -> None:
    for limit in (10**4000, 1e308):
        VALIDATOR.findings(V16, "SetChargingProfile", _profile(limit), "request")


def test_payloads_stay_as_they_came() -> None:
    sample = {"value": 1.5, "unitOfMeasure": {}}
    payload = {"evseId": 1, "meterValue": [{**SAMPLE, "sampledValue": [sample]}]}
    before = copy.deepcopy(payload)
    assert VALIDATOR.findings(V201, "MeterValues", payload, "request") is None
    assert payload == before


def test_findings_are_sentences_without_the_values() -> None:
    findings = VALIDATOR.findings(
        V16, "ChangeConfiguration", {"key": "AuthorizationKey", "value": 5, "x": 1}, "request"
    )
    assert findings is not None
    assert findings.texts == ("value must be string", "data must not contain {'x'} properties")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_package_has_the_schemas(version: Version) -> None:
    assert load_schema(version, "BootNotificationResponse") is not None
    assert load_schema(version, "Nothing") is None
    VALIDATOR.prepare(version, heavy_schemas(version)[:1])


def _profile(limit: Any) -> Payload:
    schedule = {
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
    }
    return {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": schedule,
        },
    }
