"""Frames for people: what they mean in a line, and how to send them again."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ocpp_addon.ocpp import jsontext

GIST_LIMIT = 140  # characters
FACTS_LIMIT = 6
_DULL = frozenset({"timestamp", "currentTime", "transactionId"})  # for a line about a message
ENERGY = "Energy.Active.Import.Register"  # what a sampled value is that names no measurand
_MEANINGS = {3: "answer", 4: "error", 5: "error", 6: "message"}

# What the inspector can be narrowed to.
FILTERS = {
    "": "everything",
    "received": "from the charger",
    "sent": "to the charger",
    "odd": "errors, findings and repairs",
}


def shown(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return a frame with its meaning, and with how to publish it where it was a command."""
    publish = frame.get("publish")
    command = None
    if publish is not None:
        topic, body = shlex.quote(publish["topic"]), shlex.quote(json.dumps(publish["payload"]))
        command = f"mosquitto_pub -t {topic} -m {body}"
    meaning = _MEANINGS.get(frame.get("type", 2), "") if "type" in frame else "unreadable"
    kinds = [frame["direction"]]
    if frame["repaired"] or frame["warnings"] or "error" in frame or "type" not in frame:
        kinds.append("odd")
    told = {"meaning": meaning, "gist": _gist(frame), "kinds": kinds, "command": command}
    return {"action": None, **frame, **told}  # what cannot be read has no action


def as_lines(head: Mapping[str, Any], frames: list[dict[str, Any]]) -> str:
    """Return frames as JSON Lines for a bug report, after a line that says whose they are."""
    return "".join(jsontext.dump(line) + "\n" for line in (head, *frames))


def _gist(frame: Mapping[str, Any]) -> str:
    if "error" in frame:
        return f"{frame['error']['code']} {frame['error']['description']}".strip()[:GIST_LIMIT]
    facts = []
    for fact in _facts("", frame.get("payload", {})):
        facts.append(fact)
        if len(facts) == FACTS_LIMIT:
            break
    return ", ".join(facts)[:GIST_LIMIT]


def _facts(name: str, value: Any) -> Iterator[str]:
    """Yield what a payload says, as far as it fits in a line: measurements before all else."""
    if isinstance(value, list):
        for item in value:
            yield from _facts(name, item)
    elif isinstance(value, dict):
        if "value" in value and isinstance(value.get("key"), str):
            yield f"{value['key']} = {value['value']}"
        elif "value" in value and not isinstance(value["value"], dict | list):
            yield _measurement(value)
        else:
            for key, item in value.items():
                if key not in _DULL:
                    yield from _facts(key, item)
    elif value not in ("", None):
        yield f"{name} {value}"


def _measurement(sample: Mapping[str, Any]) -> str:
    unit = sample.get("unit") or ""
    if isinstance(sample.get("unitOfMeasure"), dict):
        unit = sample["unitOfMeasure"].get("unit") or ""
    words = [sample.get("measurand") or ENERGY, sample.get("phase"), sample["value"], unit]
    return " ".join(str(word) for word in words if word not in (None, ""))
