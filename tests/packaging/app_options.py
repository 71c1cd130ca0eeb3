"""How the Supervisor judges options by an app's schema: what it stores, and what it refuses."""

import copy
import re
from collections.abc import Mapping
from typing import Any

import voluptuous as vol

TYPE = re.compile(
    r"(?P<name>str|password|bool|email|url|port|device|int|float|match|list)"
    r"(?:\((?P<detail>.*)\))?(?P<optional>\?)?"
)
BOUNDS = re.compile(r"(-?[\d.]+)?,(-?[\d.]+)?")

# Text with bounds could not be saved at all before Supervisor 2026.07.4.
WITH_BOUNDS = {"int": int, "float": float}
WITH_DETAIL = {"match", "list", *WITH_BOUNDS}


def parse(declared: str) -> tuple[str, str | None, bool]:
    """Return name, detail and whether the value may be missing; raises vol.Invalid."""
    found = TYPE.fullmatch(declared)
    if found is None:
        raise vol.Invalid(f"unknown type {declared}")
    name, detail = found["name"], found["detail"]
    if detail is not None and name not in WITH_DETAIL:
        raise vol.Invalid(f"{name} takes no detail here")
    if name in WITH_BOUNDS and detail is not None and not BOUNDS.fullmatch(detail):
        raise vol.Invalid(f"bounds of {declared} cannot be read")
    return name, detail, found["optional"] is not None


def bounds(detail: str) -> tuple[float | None, float | None]:
    """Return both bounds of `int` or `float`, None where one is open."""
    found = BOUNDS.fullmatch(detail)
    assert found is not None, detail
    low, high = (float(text) if text else None for text in found.groups())
    return low, high


def accepted(schema: Any, value: Any, path: list[Any] | None = None) -> Any:
    """Return what is stored for `value`: unknown keys dropped; vol.Invalid names what is wrong."""
    path = path or []
    if isinstance(schema, dict):
        return _group(schema, value, path)
    if isinstance(schema, list):
        if not isinstance(value, list):
            raise vol.Invalid("a list is expected", path)
        return [accepted(schema[0], one, [*path, index]) for index, one in enumerate(value)]
    try:
        return _single(schema, value)
    except vol.Invalid as invalid:
        raise vol.Invalid(invalid.msg, path) from None


def merged(defaults: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return defaults and the user's options, merged deeply."""
    result = copy.deepcopy(dict(defaults))
    for key, value in chosen.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _group(schema: dict[str, Any], value: Any, path: list[Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise vol.Invalid("a group is expected", path)
    stored = {
        key: accepted(schema[key], one, [*path, key]) for key, one in value.items() if key in schema
    }
    for key in schema.keys() - stored.keys():
        declared = schema[key][0] if isinstance(schema[key], list) else schema[key]
        # A nested group is never optional, not even if all its members are.
        if not isinstance(declared, str) or not parse(declared)[2]:
            raise vol.Invalid("missing option", [*path, key])
    return stored


def _single(declared: str, value: Any) -> Any:
    name, detail, _ = parse(declared)
    if value is None:
        raise vol.Invalid("missing required option")
    if name in ("str", "password"):
        return vol.Schema(str)(value)
    if name == "bool":
        return vol.Boolean()(value)
    if name == "port":
        return vol.All(vol.Coerce(int), vol.Range(min=1, max=65535))(value)
    if name in WITH_BOUNDS:
        low, high = bounds(detail) if detail is not None else (None, None)
        return vol.All(vol.Coerce(WITH_BOUNDS[name]), vol.Range(min=low, max=high))(value)
    if name == "list":
        return vol.In((detail or "").split("|"))(str(value))
    if name == "match":
        return vol.Match(detail or "")(str(value))
    raise vol.Invalid(f"the gateway uses no {name}")
