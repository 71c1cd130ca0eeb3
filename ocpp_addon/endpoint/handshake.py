"""What the headers of a charger's request say: version, credentials, origin, address. Pure."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from ocpp_addon.ocpp.version import V16, VERSIONS, Version

LONGEST_CREDENTIALS = 1024  # characters of an Authorization header

_WITH_PATH = re.compile(r"https?://[^/\s]+/\S*", re.IGNORECASE)

Network = IPv4Network | IPv6Network

_SPOKEN = {version.subprotocol: version for version in VERSIONS}


@dataclass(frozen=True, slots=True)
class Choice:
    """Tell what is spoken: `version` None = nothing in common, `spelling` None = echo nothing."""

    version: Version | None
    spelling: str | None
    offered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Basic:
    """Hold HTTP Basic credentials; the secret is bytes, never assumed to be text."""

    user: str | None
    secret: bytes = field(repr=False)


class BadCredentials(ValueError):
    """Tell why an Authorization header cannot be read; never repeats any of it."""


def choose_subprotocol(header_lines: Sequence[str]) -> Choice:
    """Pick the first sub-protocol of the client's list that we speak (RFC 6455 4.2.2).

    Case is ignored and the client's spelling kept. A client that offers none speaks 1.6.
    """
    offered = tuple(
        name for line in header_lines for part in line.split(",") if (name := part.strip())
    )
    if not offered:
        return Choice(V16, None, ())
    for name in offered:
        version = _SPOKEN.get(name.lower())
        if version is not None:
            return Choice(version, name, offered)
    return Choice(None, None, offered)


def basic(header_lines: Sequence[str], charger_id: str | None) -> Basic | None:
    """Read HTTP Basic credentials; None where no header came, BadCredentials where it is broken.

    Ids may contain a colon and keys any byte (OCPP-J 6.2.2), so a user name equal to `charger_id`
    is recognised as a whole; any other one ends at the first colon.
    """
    if not header_lines:
        return None
    if len(header_lines) > 1:
        raise BadCredentials("The request has more than one Authorization header.")
    decoded = _decoded(header_lines[0])
    if charger_id is not None:
        prefix = charger_id.encode("utf-8", "surrogatepass") + b":"
        if decoded.startswith(prefix):
            return Basic(charger_id, decoded[len(prefix) :])
    user, colon, secret = decoded.partition(b":")
    if not colon:
        raise BadCredentials("The credentials have no colon between user name and password.")
    return Basic(user.decode(errors="replace") or None, secret)


def origin_allowed(origin: str | None) -> bool:
    """Tell whether a request may come from a charger: web pages may not connect here.

    Browsers send scheme and host of the page, nothing behind them, or `null` (RFC 6454 6.2).
    Libraries in chargers send nothing, `file://`, or a whole URL, such as that of their source.
    """
    if origin is None:
        return True
    origin = origin.strip()
    return origin.lower() in {"", "file://"} or _WITH_PATH.fullmatch(origin) is not None


def client_address(remote: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address of a charger, which proxies of a `trusted` network may have forwarded.

    `remote` is who connected, `forwarded` are the lines of X-Forwarded-For. What is no address
    ends the chain: the last one before it counts.
    """
    client = remote
    chain = [part.strip() for part in ",".join(forwarded).split(",") if part.strip()]
    # From the nearest on: the first that is no trusted proxy is the client.
    for text in reversed(chain):
        if not _is_in(client, trusted):
            break
        address = _address(text)
        if address is None:
            break
        client = str(address)
    return client


def _is_in(text: str, networks: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _decoded(header: str) -> bytes:
    if len(header) > LONGEST_CREDENTIALS:
        raise BadCredentials("The Authorization header is too long.")
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise BadCredentials("The Authorization header is not of the kind Basic.")
    token = token.strip().rstrip("=")
    try:
        # Some chargers leave the padding out.
        return base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadCredentials("The Authorization header is not valid base64.") from None
