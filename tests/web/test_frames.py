"""Frames in words."""

import json
import shlex
from typing import Any

import pytest

from ocpp_addon.web import frames
from tests.web.conftest import FRAME


@pytest.mark.parametrize(
    ("payload", "gist"),
    [
        ({}, ""),
        ({"connectorId": 1, "status": "X", "timestamp": "2026"}, "connectorId 1, status X"),
        (
            {"meterValue": [{"timestamp": "x", "sampledValue": [
                {"value": "7360", "measurand": "Power.Active.Import", "unit": "W", "phase": "L1"},
                {"value": "5"}]}]},
            "Power.Active.Import L1 7360 W, Energy.Active.Import.Register 5",
        ),
        (
            {"meterValue": [{"sampledValue": [
                {"value": 7, "measurand": "SoC", "unitOfMeasure": {"unit": "Percent"}}]}]},
            "SoC 7 Percent",
        ),
        ({"configurationKey": [{"key": "A", "value": "1"}, {"key": "B"}]}, "A = 1, key B"),
        ({"a": ["x", "y"], "b": {"c": 0}, "d": None, "e": False}, "a x, a y, c 0, e False"),
        ({f"k{number}": number for number in range(20)}, "k0 0, k1 1, k2 2, k3 3, k4 4, k5 5"),
        ({"long": "x" * 500}, "long " + "x" * 135),
    ],
)  # fmt: skip
def test_gists(payload: Any, gist: str) -> None:
    found = frames.shown(FRAME | {"payload": payload})["gist"]
    assert found == gist


def test_meanings_and_kinds() -> None:
    def kinds(**changes: Any) -> tuple[str, list[str]]:
        shown = frames.shown(FRAME | changes)
        return shown["meaning"], shown["kinds"]

    assert kinds() == ("", ["received"])
    assert kinds(type=3, direction="sent") == ("answer", ["sent"])
    error = {"code": "InternalError", "description": ""}
    assert kinds(type=4, error=error) == ("error", ["received", "odd"])
    assert kinds(type=6) == ("message", ["received"])
    assert kinds(repaired=["a brace was missing"]) == ("", ["received", "odd"])
    unreadable = {key: value for key, value in FRAME.items() if key not in ("type", "payload")}
    shown = frames.shown(unreadable)
    assert (shown["meaning"], shown["kinds"], shown["gist"]) == (
        "unreadable",
        ["received", "odd"],
        "",
    )


def test_a_command_can_be_pasted_into_a_shell() -> None:
    payload = {"Action": "DataTransfer", "Payload": {"data": 'it\'s "$HOME" `x` \n ü'}}
    publish = {"topic": "ocpp/RDAM 123/Call/DataTransfer", "payload": payload}
    command = frames.shown(FRAME | {"publish": publish})["command"]
    words = shlex.split(command)
    assert words[:3] == ["mosquitto_pub", "-t", "ocpp/RDAM 123/Call/DataTransfer"]
    assert json.loads(words[4]) == payload
