"""Hold payloads against the JSON schemas of their OCPP version; knows no files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import fastjsonschema

from ocpp_addon.ocpp.messages import Payload
from ocpp_addon.ocpp.timestamp import read_timestamp
from ocpp_addon.ocpp.version import Version

MAX_FINDINGS = 8
MAX_FINDING_LENGTH = 200

LoadSchema = Callable[[Version, str], Mapping[str, Any] | None]
Direction = Literal["request", "response"]

# Type of the broken rule to the error code of OCPP-J 4.2.3; the rest are property constraints.
_TYPE_RULES = frozenset({"type"})
_OCCURRENCE_RULES = frozenset({"required", "minItems", "maxItems", "uniqueItems"})
_FORMATION_RULES = frozenset({"additionalProperties", "false"})

# Time stamps by our own rule; the other formats of the schemas are no reason to complain.
_FORMATS: dict[str, str | Callable[[Any], bool]] = {
    "date-time": lambda value: read_timestamp(value) is not None,
    "uri": lambda value: True,
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a payload: an error code of its version, and sentences."""

    code: str
    texts: tuple[str, ...]


class Validator:
    """Check payloads; each schema is compiled when it is first needed, and kept.

    `load(version, name)` gives the schema of that file name without its ending, or None. The
    names are a closed set, so what is kept is bounded.
    """

    def __init__(self, load: LoadSchema) -> None:
        self._load = load
        self._compiled: dict[tuple[str, str], Callable[[Payload], Any] | None] = {}

    def findings(
        self, version: Version, action: str, payload: Payload, direction: Direction
    ) -> Findings | None:
        """Return what is wrong with a payload; None if nothing is."""
        name = action + ("Response" if direction == "response" else version.request_suffix)
        check = self._check(version, name)
        if check is None and direction == "request" and version.has_send:
            check = self._check(version, action)  # the Sends of 2.1 have no suffix
        if check is None:
            return Findings("NotImplemented", (f"no schema of OCPP {version.number} names it",))
        try:
            check(payload)
        except fastjsonschema.JsonSchemaValuesException as broken:
            return _findings(broken.errors, version)
        except fastjsonschema.JsonSchemaValueException as broken:
            return _findings([broken], version)
        except (ValueError, OverflowError, RecursionError):
            # An integer of thousands of digits is beyond the arithmetic of multipleOf.
            return Findings("PropertyConstraintViolation", ("a number is out of any range",))
        return None

    def prepare(self, version: Version, names: tuple[str, ...]) -> None:
        """Compile schemas ahead of need; may take a second, so call it off the event loop."""
        for name in names:
            self._check(version, name)

    def _check(self, version: Version, name: str) -> Callable[[Payload], Any] | None:
        key = (version.schemas, name)
        if key in self._compiled:
            return self._compiled[key]
        schema = self._load(version, name)
        if schema is None:
            return None
        # Defaults would be written into the payload, which is to stay as the charger sent it.
        check = fastjsonschema.compile(
            dict(schema), formats=_FORMATS, use_default=False, fast_fail=False
        )
        self._compiled[key] = check
        return check


def _findings(errors: list[fastjsonschema.JsonSchemaValueException], version: Version) -> Findings:
    rule = errors[0].rule
    if rule in _TYPE_RULES:
        code = "TypeConstraintViolation"
    elif rule in _OCCURRENCE_RULES:
        code = version.occurrence
    elif rule in _FORMATION_RULES:
        code = version.formation
    else:
        code = "PropertyConstraintViolation"
    texts = [error.message.removeprefix("data.") for error in errors[:MAX_FINDINGS]]
    return Findings(code, tuple(text[:MAX_FINDING_LENGTH] for text in texts))
