"""Names of OCPP 2's variables in one word, such as EVSE[1].Power, for people to read and write."""

import re
from collections.abc import Mapping
from typing import Any

from ocpp_addon.text import printable
from ocpp_addon.web.backend import Refused

# Component, its EVSE and connector, its instance; variable and its instance.
_NAME = re.compile(
    r"(?P<component>[^.\[(]+)(?:\[(?P<evse>\d{1,9})(?:,(?P<connector>\d{1,9}))?\])?"
    r"(?:\((?P<part>[^)]*)\))?\.(?P<variable>[^(]+)(?:\((?P<instance>[^)]*)\))?",
    re.ASCII,
)


def written(place: Mapping[str, Any]) -> str:
    """Return the name of what `component` and `variable` name."""
    words = []
    for named in (place.get("component"), place.get("variable")):
        if not isinstance(named, dict):
            continue
        evse = named.get("evse")
        numbers = [evse.get("id"), evse.get("connectorId")] if isinstance(evse, dict) else []
        where = ",".join(printable(one) for one in numbers if one is not None)
        instance = f"({printable(named['instance'])})" if named.get("instance") else ""
        words.append(f"{printable(named.get('name'))}{f'[{where}]' if where else ''}{instance}")
    return ".".join(words)


def place(name: str) -> dict[str, Any]:
    """Return `component` and `variable` of a name, else raise Refused."""
    match = _NAME.fullmatch(name)
    if match is None:
        sentence = "Write component and variable, such as OCPPCommCtrlr.HeartbeatInterval."
        raise Refused("bad_variable", sentence, 400)
    component: dict[str, Any] = {"name": match["component"]}
    if match["evse"]:
        component["evse"] = {"id": int(match["evse"])}
        if match["connector"]:
            component["evse"]["connectorId"] = int(match["connector"])
    if match["part"]:
        component["instance"] = match["part"]
    variable = {"name": match["variable"]}
    if match["instance"]:
        variable["instance"] = match["instance"]
    return {"component": component, "variable": variable}
