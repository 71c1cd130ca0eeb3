"""Forms made from schemas, for every command of every version."""

from typing import Any

import pytest

from ocpp_addon.ocpp.commands import commands
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import V16, VERSIONS, Version
from ocpp_addon.schemas import actions, load_schema
from ocpp_addon.web import call_form
from ocpp_addon.web.backend import Refused

COMMANDS = [(version, action) for version in VERSIONS for action in commands(actions(version))]


def schema_of(version: Version, action: str) -> dict[str, Any]:
    schema = load_schema(version, action + version.request_suffix)
    assert schema is not None
    return schema


def test_commands_are_those_of_the_specification() -> None:
    counts = {version.number: len(commands(actions(version))) for version in VERSIONS}
    # Of 1.6 19 are of the standard and 7 of the security whitepaper.
    assert counts == {"1.6": 26, "2.0.1": 40, "2.1": 55}
    assert "StartTransaction" not in commands(actions(V16))
    assert "ExtendedTriggerMessage" in commands(actions(V16))


@pytest.mark.parametrize(("version", "action"), COMMANDS)
def test_what_the_required_fields_suggest_is_valid(version: Version, action: str) -> None:
    schema = schema_of(version, action)
    form = {}
    for field in call_form.fields(schema):
        if not field.required:
            continue
        plain = {"integer": "1", "number": "1.5", "boolean": "true", "json": field.example}
        choices = field.choices or (plain.get(field.kind, "2026-11-25T00:00:00Z"),)
        form[field.name] = choices[0][: field.longest]
    payload = call_form.payload(schema, form)
    findings = Validator(load_schema).findings(version, action, payload, "request")
    texts = findings.texts if findings else ()
    # The smallest example of a list of objects has empty texts in it, which some forbid.
    assert not [text for text in texts if "must contain" in text or "must be" in text], texts


@pytest.mark.parametrize(("version", "action"), COMMANDS)
def test_an_empty_form_has_nothing_but_the_objects_that_must_be(
    version: Version, action: str
) -> None:
    schema = schema_of(version, action)
    payload = call_form.payload(schema, {})
    assert set(payload) <= set(schema.get("required", ()))
    assert not call_form.filled(payload, call_form.fields(schema))


def test_what_was_sent_fills_the_form_and_comes_back() -> None:
    schema = schema_of(V16, "SetChargingProfile")
    schedule = {
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.5}],
        "minChargingRate": 6.5,
    }
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    payload = {"connectorId": 1, "csChargingProfiles": profile}
    shown = call_form.filled(payload, call_form.fields(schema))
    assert shown["csChargingProfiles.chargingSchedule.minChargingRate"] == "6.5"
    assert call_form.payload(schema, shown) == payload


@pytest.mark.parametrize(
    ("action", "form", "sentence"),
    [
        ("UnlockConnector", {"connectorId": "one"}, "connectorId: a number is expected."),
        ("GetConfiguration", {"key": "[1"}, "key: JSON is expected."),
        *(
            (
                "SetChargingProfile",
                {"csChargingProfiles.chargingSchedule.minChargingRate": text},
                "csChargingProfiles.chargingSchedule.minChargingRate: a number is expected.",
            )
            for text in ("NaN", "1e400", "[" * 5000)
        ),
    ],
)
def test_what_cannot_be_read_is_named(action: str, form: dict[str, str], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        call_form.payload(schema_of(V16, action), form)
    assert str(refused.value) == sentence
