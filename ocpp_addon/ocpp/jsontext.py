"""Read and write JSON within limits: what is read here can be written again, and nothing else."""

import json
import math
import re
from typing import Any

MAX_DEPTH = 64

_HUGE = re.compile(r"[0-9][eE]\+?[0-9]{3}|(?<![0-9])[0-9]{300}")


def load(text: str) -> Any:
    """Return the value of a JSON text; raise ValueError, and nothing else, for all the rest.

    NaN, infinities, floats beyond 64 bits, integers beyond Python's limit of digits and nesting
    beyond MAX_DEPTH are refused: they could not be written again. Control characters inside
    strings are let in, as some chargers send them bare.
    """
    if _too_deep(text):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    return (_DECODER_OF_HUGE if _HUGE.search(text) else _DECODER).decode(text)


def dump(value: Any) -> str:
    """Return the compact JSON text of a value; raise ValueError or TypeError if it has none."""
    text = _ENCODER.encode(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: legal in JSON, but only as an escape
        return _ASCII_ENCODER.encode(value)
    return text


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in "]}":
            depth -= 1
    return False


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_no_constant, strict=False)
_DECODER_OF_HUGE = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, strict=False)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ASCII_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
