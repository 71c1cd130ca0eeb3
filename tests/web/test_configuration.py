"""What is kept of chargers' configurations."""

from typing import Any

from ocpp_addon.web import configuration as module
from ocpp_addon.web.configuration import Configurations, Key


def keys(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"configurationKey": [{"key": key, "value": value} for key, value in pairs]}


def report(name: str, value: str, **others: Any) -> dict[str, Any]:
    item = {
        "component": {"name": "EVSE", "evse": {"id": 1}},
        "variable": {"name": name, "instance": "x"},
        "variableAttribute": [
            {"type": "Target", "value": "9"},
            {"value": value, "mutability": "ReadOnly"},
        ],
    }
    return {"reportData": [item], **others}


def test_two_readings_are_compared() -> None:
    kept = Configurations()
    assert kept.keys("CP1") == [] and kept.read_at("CP1") is None
    assert kept.add("CP1", keys(("a", "1"), ("b", "1"))) == 2
    kept.add("CP1", keys(("a", "2"), ("c", "1")))
    assert kept.keys("CP1") == [
        Key("a", "2", False, "1", True),
        Key("c", "1", False, None, True),
    ]
    assert kept.read_at("CP1") is not None


def test_a_key_that_is_read_alone_joins_the_others() -> None:
    kept = Configurations()
    kept.add("CP1", keys(("a", "1"), ("b", "1")))
    kept.add("CP1", keys(("a", "2")))
    assert [(key.name, key.value, key.changed) for key in kept.keys("CP1")] == [
        ("a", "2", True),
        ("b", "1", False),
    ]


def test_a_report_comes_in_parts() -> None:
    kept = Configurations()
    kept.heed("CP1", "NotifyReport", report("Power", "1"))  # nobody asked
    kept.expect("CP1")
    kept.heed("CP1", "NotifyReport", report("Power", "7", tbc=True))
    kept.heed("CP1", "NotifyEvent", report("Power", "8"))
    assert kept.keys("CP1") == []
    kept.heed("CP1", "NotifyReport", report("Current", "16"))
    assert kept.keys("CP1") == [
        Key("EVSE[1].Current(x)", "16", True, "16", False),
        Key("EVSE[1].Power(x)", "7", True, "7", False),
    ]


def test_variables_of_ocpp_2() -> None:
    kept = Configurations()
    place = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
    kept.add("CP1", {"getVariableResult": [place | {"attributeStatus": "UnknownVariable"}]})
    [key] = kept.keys("CP1")
    assert (key.name, key.value) == ("OCPPCommCtrlr.HeartbeatInterval", "(UnknownVariable)")


def test_odd_answers_and_limits() -> None:
    kept = Configurations()
    kept.add("CP1", {"configurationKey": [7, {"key": None, "value": 9}], "getVariableResult": 1})
    assert [(key.name, key.value) for key in kept.keys("CP1")] == [("None", "9")]
    kept.add("CP2", keys(*((f"k{number}", "1") for number in range(module.KEYS_LIMIT + 1))))
    assert len(kept.keys("CP2")) == module.KEYS_LIMIT
    for number in range(module.CHARGERS_LIMIT):
        kept.add(f"other{number}", keys(("a", "1")))
        kept.expect(f"other{number}")
    kept.expect("one more")
    assert kept.keys("CP1") == []


def test_secrets_are_not_kept() -> None:
    kept = Configurations()
    kept.add("CP1", keys(("AuthorizationKey", "secret-word"), ("b", "1")))
    assert "secret-word" not in str(kept.keys("CP1"))
    kept.expect("CP2")
    kept.heed("CP2", "NotifyReport", report("BasicAuthPassword", "secret-word"))
    assert "BasicAuthPassword" in str(kept.keys("CP2"))
    assert "secret-word" not in str(kept.keys("CP2"))
