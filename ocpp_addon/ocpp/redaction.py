"""Hide secrets in messages, for all that is shown to people or leaves with a bug report."""

import re
from typing import Any

from ocpp_addon.ocpp import jsontext
from ocpp_addon.ocpp.repair import repair

HIDDEN = "•••"

# Not `idToken`: that is a driver's card, without which nobody understands a session.
_WORDS = r"authorizationkey|passw(?:or)?d|passphrase|psk|private_?key|secret|(?<!id)token"
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
# Bounded, or a long text without a scheme would take the square of its length.
_USER_INFO = re.compile(r"([a-z][a-z0-9+.-]{0,31}://)[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)
_PAIR = re.compile(rf"((?:{_WORDS})[\"'\\]*\s*[:=]\s*[\"'\\]*)[^\"'\\\s,;&}}]+", re.IGNORECASE)
# One of these is in every text that the patterns above match: most texts need no closer look.
_HINTS = ("authorizationkey", "passw", "passphrase", "psk", "vate", "secret", "token")
_VALUES = ("value", "attributeValue", "actualValue")  # of a key of 1.6, of a variable of 2.x


def redacted_text(text: str) -> str:
    """Return the text of a frame without its secrets, however broken the frame is."""
    for is_broken in (False, True):
        try:
            frame = jsontext.load(repair(text)[0] if is_broken else text)
            shown = redacted(frame)
            return text if shown == frame else jsontext.dump(shown)
        except (ValueError, TypeError, RecursionError):
            continue
    # No structure to go by: show nothing rather than a secret.
    return HIDDEN if _SECRET_NAME.search(text) else _in_text(text)


def redacted(value: Any) -> Any:
    """Hide what looks like a secret: values under or beside a telling name, passwords in texts."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, str):
        return _in_text(value)
    if not isinstance(value, dict):
        return value
    hidden = {name for name, item in value.items() if _is_secret(name) and _is_leaf(item)}
    if "password" in value:  # of a VPN (2.x): its key is as secret
        hidden |= {"key"} & value.keys()
    names = [value.get("key"), _name_of(value.get("variable"))]
    if any(isinstance(name, str) and _is_secret(name) for name in names):
        hidden |= {name for name in _VALUES if name in value}
        attributes = value.get("variableAttribute")  # of a report of 2.x
        if isinstance(attributes, list):
            value = value | {"variableAttribute": [_without_value(item) for item in attributes]}
    return {name: HIDDEN if name in hidden else redacted(item) for name, item in value.items()}


def _in_text(text: str) -> str:
    if "://" in text:
        text = _USER_INFO.sub(rf"\1{HIDDEN}@", text)
    return _PAIR.sub(rf"\1{HIDDEN}", text) if _may_be_secret(text) else text


def _is_secret(name: str) -> bool:
    return _may_be_secret(name) and _SECRET_NAME.search(name) is not None


def _may_be_secret(text: str) -> bool:
    folded = text.casefold()  # long s and the like match, too
    return any(hint in folded for hint in _HINTS)


def _without_value(attribute: Any) -> Any:
    if isinstance(attribute, dict) and "value" in attribute:
        return attribute | {"value": HIDDEN}
    return attribute


def _is_leaf(item: Any) -> bool:
    return not isinstance(item, dict | list)


def _name_of(variable: Any) -> Any:
    return variable.get("name") if isinstance(variable, dict) else None
