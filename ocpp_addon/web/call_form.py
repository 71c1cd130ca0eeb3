"""A form for any Call, made from its JSON schema, and what was filled in as a payload."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ocpp_addon.ocpp import jsontext
from ocpp_addon.web.backend import Refused

DEPTH_LIMIT = 3  # objects within objects beyond it are written as JSON
HELP_LIMIT = 200
SKIPPED = "customData"  # vendors' own additions: possible with the JSON form

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One field; `name` is its path in the payload, with dots."""

    name: str
    kind: str  # text, integer, number, boolean, choice or json
    required: bool
    choices: tuple[str, ...] = ()
    longest: int | None = None
    help: str = ""
    example: str = ""


def fields(schema: Schema) -> list[Field]:
    """Return the fields for a payload, required ones of each object first."""
    return list(_fields(schema, schema, "", True, 0))


def filled(payload: Mapping[str, Any], made: list[Field]) -> dict[str, str]:
    """Return what the fields show for a payload."""
    shown = {}
    for field in made:
        value: Any = payload
        for step in field.name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is not None:
            shown[field.name] = value if isinstance(value, str) else json.dumps(value)
    return shown


def payload(schema: Schema, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the payload that was filled in; Refused names the field that cannot be read."""
    made = _skeleton(schema, schema, 0)
    for field in fields(schema):
        text = form.get(field.name, "")
        if not text.strip():
            continue
        try:
            value = _value(field, text)
        except ValueError:
            expected = {"json": "JSON", "boolean": "true or false"}.get(field.kind, "a number")
            raise Refused("bad_field", f"{field.name}: {expected} is expected.", 400) from None
        *parents, last = field.name.split(".")
        place = made
        for step in parents:
            place = place.setdefault(step, {})
        place[last] = value
    return made


def _skeleton(root: Schema, schema: Schema, depth: int) -> dict[str, Any]:
    """Return the objects that must be there, also where nothing in them is filled in."""
    needed = {
        name: _resolved(root, schema["properties"][name])
        for name in schema.get("required", ())
        if name in schema.get("properties", {})
    }
    return {
        name: _skeleton(root, inner, depth + 1)
        for name, inner in needed.items()
        if _has_fields(inner, depth)
    }


def _has_fields(schema: Schema, depth: int) -> bool:
    """Tell whether an object is shown as fields of its own."""
    return schema.get("type") == "object" and "properties" in schema and depth < DEPTH_LIMIT


def _value(field: Field, text: str) -> Any:
    match field.kind:
        case "integer":
            return int(text)
        case "number" | "boolean" | "json":
            return jsontext.load(text)
    return text


def _fields(root: Schema, schema: Schema, path: str, required: bool, depth: int) -> Iterator[Field]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    needed = frozenset(schema.get("required", ()))
    for name in sorted(properties, key=lambda name: name not in needed):
        if name == SKIPPED:
            continue
        inner = _resolved(root, properties[name])
        where, must = path + name, required and name in needed
        if _has_fields(inner, depth):
            yield from _fields(root, inner, where + ".", must, depth + 1)
        else:
            yield _field(root, inner, where, must)


def _field(root: Schema, schema: Schema, name: str, required: bool) -> Field:
    about = " ".join(str(schema.get("description", "")).split())[:HELP_LIMIT]
    if "enum" in schema:
        return Field(name, "choice", required, tuple(map(str, schema["enum"])), help=about)
    kind = schema.get("type")
    if kind == "string":
        return Field(name, "text", required, longest=schema.get("maxLength"), help=about)
    if kind in ("integer", "number", "boolean"):
        return Field(name, kind, required, help=about)
    example = json.dumps(_example(root, schema, 0), indent=1)
    return Field(name, "json", required, help=about, example=example)


def _example(root: Schema, schema: Schema, depth: int) -> Any:
    """Return the smallest value of a schema, as a pattern to type over."""
    schema = _resolved(root, schema)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "array" and depth < 2 * DEPTH_LIMIT:
        return [_example(root, schema.get("items", {}), depth + 1)]
    if kind == "object" and depth < 2 * DEPTH_LIMIT:
        properties = schema.get("properties", {})
        return {
            name: _example(root, properties.get(name, {}), depth + 1)
            for name in schema.get("required", ())
        }
    return {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}.get(
        str(kind), ""
    )


def _resolved(root: Schema, schema: Schema) -> Schema:
    """Follow a reference within the document, as the schemas of 2.x have."""
    while "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema
