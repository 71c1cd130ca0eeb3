"""Who may talk to the HTTP API, judged by peer, Host, Origin and token before any handler."""

import hmac
import ipaddress
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from ocpp_addon.web.backend import Refused

INGRESS_PEER = "172.30.32.2"
LOOPBACK = frozenset({"127.0.0.1", "::1"})
REQUESTED_WITH = "ocpp-gateway"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
HEALTH = "/health"

# Names that no public DNS answers for, so no stranger's page can be rebound to them.
LOCAL_SUFFIXES = (".localhost", ".local", ".lan", ".home.arpa", ".internal")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Guard:
    """Let requests pass or raise Refused.

    In Home Assistant (`ingress`) its proxy has authenticated the person; elsewhere the token
    does, and without one only this machine gets in. `host` is the name or address that the API
    was told to listen on.
    """

    ingress: bool = False
    token: str | None = field(default=None, repr=False)
    ingress_peer: str = INGRESS_PEER
    host: str = ""

    def check(self, request: web.Request) -> None:
        """Raise Refused unless the request may be served."""
        peer = _peer(request)
        own_host = request.headers.get("Host", "")
        if self.ingress and peer == self.ingress_peer:
            # Only this peer is believed: anybody else could forge the header. Of a chain of
            # proxies the first one knows what the browser asked for.
            forwarded = request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip()
            _check_origin(request, forwarded or own_host, any_port=True)
        else:
            if peer not in LOOPBACK and (self.ingress or self.token is None):
                raise Refused("forbidden", "This address may not talk to the gateway.", 403)
            _check_host(own_host, self.host)
            _check_origin(request, own_host, any_port=False)
            if not (peer in LOOPBACK and request.path == HEALTH and request.method in READS):
                self._check_token(request)
        if (
            request.method not in READS
            and request.headers.get("X-Requested-With") != REQUESTED_WITH
        ):
            # A foreign page cannot send it: browsers would ask us first (CORS), and get no.
            sentence = f"Changes need the header X-Requested-With: {REQUESTED_WITH}."
            raise Refused("csrf", sentence, 403)

    def _check_token(self, request: web.Request) -> None:
        if self.token is None or self.ingress:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode())
        if scheme.lower() != "bearer" or not right:
            raise Refused("unauthorized", "The token of the option web_token is needed.", 401)


def _peer(request: web.Request) -> str:
    """Return the address of the other end, never what a header claims."""
    peer = (request.remote or "").partition("%")[0]
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _check_host(host: str, own_name: str) -> None:
    """Refuse a name that a stranger may own: a page of his could talk to us (DNS rebinding)."""
    name, _ = _authority(host)
    if name is None or not (_is_local(name) or name == own_name.lower()):
        raise Refused("bad_host", "Open the gateway by its address or its local name.", 403)


def _is_local(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        own = socket.gethostname().lower()
        return "." not in name or name == own or name.endswith(LOCAL_SUFFIXES)
    return True


def _check_origin(request: web.Request, host: str, *, any_port: bool) -> None:
    """Refuse requests that a page of another host made.

    With `any_port` the host may lack its port: common reverse proxies drop it.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return
    scheme, _, authority = origin.partition("://")
    default = DEFAULT_PORTS.get(scheme)
    its_name, its_port = _authority(authority)
    name, port = _authority(host)
    same_port = (its_port or default) == (port or default) or (any_port and port is None)
    if default is None or its_name is None or its_name != name or not same_port:
        raise Refused("bad_origin", "A page of another host may not talk to the gateway.", 403)


def _authority(text: str) -> tuple[str | None, int | None]:
    """Return name and port of `host[:port]`; no name if it is something else."""
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return None, None
    if parts.netloc != text or "@" in text or not parts.hostname:
        return None, None
    return parts.hostname.rstrip("."), port
