"""Names of variables there and back."""

from typing import Any

import pytest

from ocpp_addon.web import variables
from ocpp_addon.web.backend import Refused

NAMES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Ctrlr.Interval", {"name": "Ctrlr"}, {"name": "Interval"}),
    ("EVSE[1].Power", {"name": "EVSE", "evse": {"id": 1}}, {"name": "Power"}),
    (
        "Connector[2,1](left).Available(now)",
        {"name": "Connector", "evse": {"id": 2, "connectorId": 1}, "instance": "left"},
        {"name": "Available", "instance": "now"},
    ),
    ("A.b.c", {"name": "A"}, {"name": "b.c"}),
]


@pytest.mark.parametrize(("name", "component", "variable"), NAMES)
def test_there_and_back(name: str, component: dict[str, Any], variable: dict[str, Any]) -> None:
    place = {"component": component, "variable": variable}
    assert variables.written(place) == name
    assert variables.place(name) == place


@pytest.mark.parametrize("name", ["", "Interval", "A[x].b", ".b", "a."])
def test_what_names_no_variable(name: str) -> None:
    with pytest.raises(Refused, match="such as"):
        variables.place(name)


def test_odd_places() -> None:
    odd: dict[str, Any] = {"component": {"name": None, "evse": {}}, "variable": 7}
    assert variables.written(odd) == "None"
