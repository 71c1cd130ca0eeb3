"""Checks of single option values: the value in, what the settings hold out, or vol.Invalid.

Messages end a sentence that starts with the key: "<key>: <message>." They repeat numbers and
choices, and never another text, since any text may be a secret in the wrong place.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

import voluptuous as vol

from ocpp_addon.text import printable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Check = Callable[[Any], Any]


def number(low: float, high: float, *, whole: bool = True) -> Check:
    """Check a number in a range, both ends included."""
    expected = f"a {'whole ' if whole else ''}number from {low} to {high} is expected"

    def check(value: Any) -> float:
        right = isinstance(value, int) or (not whole and isinstance(value, float))
        if not right or isinstance(value, bool):
            raise vol.Invalid(expected)
        if not low <= value <= high:
            raise vol.Invalid(expected + (f", not {value}" if abs(value) < 10**9 else ""))
        return value  # type: ignore[no-any-return]  # narrowed above

    return check


def switch(value: object) -> bool:
    """Check a truth value."""
    if not isinstance(value, bool):
        raise vol.Invalid("true or false is expected")
    return value


def choice(*choices: str) -> Check:
    """Check one word of a few."""

    def check(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise vol.Invalid(f"one of {', '.join(choices)} is expected")

    return check


def secret(value: object) -> str:
    """Check a password: any text that can be encoded."""
    if not isinstance(value, str):
        raise vol.Invalid("a text is expected")
    if len(value) > 256 or any("\ud800" <= character <= "\udfff" for character in value):
        raise vol.Invalid("a text of at most 256 characters is expected")
    return value


def token(value: object) -> str:
    """Check a secret that travels in an HTTP header."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,256}", value):
        raise vol.Invalid("1 to 256 letters, digits and signs without blanks are expected")
    return value


def text(longest: int = 256) -> Check:
    """Check a text of one printable line."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise vol.Invalid("a text is expected")
        if len(value) > longest:
            raise vol.Invalid(f"at most {longest} characters are expected, not {len(value)}")
        if not value.isprintable():
            raise vol.Invalid("a text without control characters is expected")
        return value

    return check


def level(value: object) -> str:
    """Check a text that becomes one level of a topic, or a client id."""
    checked: str = text(64)(value)
    if set(checked) & set("/+#$"):
        raise vol.Invalid("a text without / + # and $ is expected")
    return checked


def host(value: object) -> str:
    """Check the name or address of a machine."""
    checked: str = text()(value)
    try:
        ipaddress.ip_address(checked)
    except ValueError:
        if not re.fullmatch(r"[\w.-]+", checked):
            raise vol.Invalid(
                "a host name or address is expected, without scheme, port or user"
            ) from None
    return checked


def network(value: object) -> Network:
    """Check an address, or a network in CIDR form."""
    try:
        return ipaddress.ip_network(text()(value), strict=False)
    except ValueError:
        raise vol.Invalid("an address or network such as 192.168.1.0/24 is expected") from None


def template(variables: tuple[str, ...], *, wildcards: bool = False) -> Check:
    """Check a topic that may hold `${variable}`, and MQTT's wildcards where it is a filter."""
    known = [f"${{{variable}}}" for variable in variables]

    def check(value: object) -> str:
        topic: str = text(1024)(value)
        for found in re.findall(r"\$(?:\{[^}]*\}?)?", topic):
            if found not in known:
                what = f"{printable(found)} means nothing here"
                raise vol.Invalid(f"{what} (known: {', '.join(known) or 'none'})")
        if not wildcards and set(topic) & set("+#"):
            raise vol.Invalid("a topic without the wildcards + and # is expected")
        *front, last = topic.split("/")
        if not all(_is_level(one) for one in front) or not (last == "#" or _is_level(last)):
            raise vol.Invalid("+ must be a whole level and # the whole last level")
        return topic

    return check


def _is_level(one: str) -> bool:
    return one == "+" or not set(one) & set("+#")


def items(each: Check) -> Check:
    """Check a list of which `each` checks every item."""
    schema = vol.Schema([each])

    def check(value: object) -> tuple[object, ...]:
        if not isinstance(value, list | tuple):
            raise vol.Invalid("a list is expected")
        return tuple(schema(list(value)))

    return check


def group(make: Callable[..., Any], members: Mapping[str, Check], required: str = "") -> Check:
    """Check an object and return what `make` builds of its members; blank ones count as absent."""

    def unless_blank(check: Check) -> Check:
        # Home Assistant stores what a person left empty as null or as an empty text.
        return lambda value: None if value is None or value == "" else check(value)

    schema = vol.Schema({name: unless_blank(check) for name, check in members.items()})

    def check(value: object) -> object:
        if not isinstance(value, Mapping):
            raise vol.Invalid("a group of options is expected")
        for key in value:
            if key not in members:
                close = difflib.get_close_matches(str(key), members, n=1)
                hint = f", did you mean {close[0]}" if close else ""
                raise vol.Invalid("there is no such option" + hint, [key])
        given = {key: item for key, item in schema(dict(value)).items() if item is not None}
        for key in required.split():
            if key not in given:
                raise vol.Invalid("it is missing", [key])
        return make(**given)

    return check
