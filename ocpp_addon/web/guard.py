"""Who may talk to the gateway over HTTP, judged before any handler: by peer, Host and Origin,
by token or session, and where something changes by a header or a form of ours."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from aiohttp import web

from ocpp_addon.text import printable
from ocpp_addon.web.backend import Refused
from ocpp_addon.web.logins import Logins

INGRESS_PEER = "172.30.32.2"
LOOPBACK = frozenset({"127.0.0.1", "::1"})
REQUESTED_WITH = "ocpp-gateway"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
HEALTH = "/health"
OPEN = ("/sign-in", "/static/")  # what a person needs who has not signed in yet
FORM_TOKEN = "form_token"
FORM_TIMEOUT = 10.0  # seconds

# Names that no public DNS answers for, so no stranger's page can be rebound to them.
LOCAL_SUFFIXES = (".localhost", ".local", ".lan", ".home.arpa", ".internal")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Visitor:
    """Who asks: a name for the log, and the session that forms are bound to.

    `host` is the name or address by which the browser found the way here.
    """

    name: str
    address: str
    host: str = ""
    session: str = field(default="", repr=False)
    signed_in: bool = False  # with the token, in a browser
    stranger: bool = False  # who may see only what is open to everybody


VISITOR = web.RequestKey("visitor", Visitor)


@dataclass(frozen=True)
class Guard:
    """Let requests pass or raise Refused.

    In Home Assistant (`ingress`) its proxy has authenticated the person; elsewhere the token
    does, and without one only this machine gets in. `host` is the name or address that the API
    was told to listen on.
    """

    ingress: bool = False
    logins: Logins = field(default_factory=lambda: Logins(None))
    ingress_peer: str = INGRESS_PEER
    host: str = ""

    def check(self, request: web.Request) -> Visitor:
        """Return who asks; raises Refused unless the request may be served."""
        peer = _peer(request)
        own_host = host = request.headers.get("Host", "")
        if self.ingress and peer == self.ingress_peer:
            # Only this peer is believed: anybody else could forge the header. Of a chain of
            # proxies the first one knows what the browser asked for.
            forwarded = request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip()
            host = forwarded or own_host
            _check_origin(request, host, any_port=True)
            visitor = _user_of_home_assistant(request)
        else:
            if peer not in LOOPBACK and (self.ingress or not self.logins.needed):
                raise Refused("forbidden", "This address may not talk to the gateway.", 403)
            _check_host(own_host, self.host)
            _check_origin(request, own_host, any_port=False)
            visitor = self._direct(request, peer)
        if not (
            request.method in READS
            or request.headers.get("X-Requested-With") == REQUESTED_WITH
            or is_form(request)
        ):
            # A foreign page cannot send it: browsers would ask us first (CORS), and get no.
            sentence = f"Changes need the header X-Requested-With: {REQUESTED_WITH}."
            raise Refused("csrf", sentence, 403)
        return replace(visitor, host=_authority(host)[0] or "")

    async def check_form(self, request: web.Request, visitor: Visitor) -> None:
        """Raise Refused unless the form was made here, for this visitor's session."""
        try:
            async with asyncio.timeout(FORM_TIMEOUT):
                form = await request.post()
        except TimeoutError:
            raise Refused("timeout", "The form did not arrive in time.", 408) from None
        except (ValueError, LookupError):  # no UTF-8, or a character set that nobody knows
            raise Refused("bad_form", "The form cannot be read.", 400) from None
        if not self.logins.is_our_form(visitor.session, str(form.get(FORM_TOKEN, ""))):
            sentence = "This form is too old, or not ours: open its page again and repeat it."
            raise Refused("csrf", sentence, 403)

    def _direct(self, request: web.Request, peer: str) -> Visitor:
        if not self.logins.needed or self.ingress:
            return Visitor("somebody on this machine", peer)
        session = request.cookies.get(cookie_name(request), "")
        if self.logins.is_open(session):
            return Visitor(f"somebody signed in at {peer}", peer, session=session, signed_in=True)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.logins.fits(given.strip(), peer):
            return Visitor(f"a program with the token at {peer}", peer)
        is_health = peer in LOOPBACK and request.path == HEALTH and request.method in READS
        if is_health or request.path.startswith(OPEN):
            return Visitor(f"somebody at {peer}", peer, stranger=True)
        if scheme.lower() != "bearer":
            raise Refused("unauthorized", "The token of the option web_token is needed.", 401)
        if self.logins.is_blocked(peer):
            raise Refused("throttled", "Too many wrong tokens came from here: wait a minute.", 429)
        raise Refused("unauthorized", "That is not the token of the option web_token.", 401)


def is_form(request: web.Request) -> bool:
    """Tell whether a request is a form of a page, which carries a token in its body."""
    return (
        request.method == "POST"
        and request.content_type == "application/x-www-form-urlencoded"
        and not request.path.startswith("/api/")
    )


def cookie_name(request: web.Request) -> str:
    """Return the name of the session cookie: browsers send it to all ports of a host."""
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    return f"ocpp-gateway-{port}"


def _user_of_home_assistant(request: web.Request) -> Visitor:
    """Return the person whom the ingress names."""
    user_id = _header(request, "X-Remote-User-Id")
    name = _header(request, "X-Remote-User-Display-Name") or _header(request, "X-Remote-User-Name")
    session = f"{request.headers.get('X-Ingress-Path', '')}|{user_id}"
    shown = printable(name or user_id or "somebody in Home Assistant")
    return Visitor(shown, _peer(request), session=session)


def _header(request: web.Request, name: str) -> str:
    raw = request.headers.get(name, "").encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace")


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
    if name is None or not (is_local(name) or name == own_name.lower()):
        raise Refused("bad_host", "Open the gateway by its address or its local name.", 403)


def is_local(name: str) -> bool:
    """Tell whether a name is an address, or one that no public DNS answers for."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        own = socket.gethostname().lower()
        return "." not in name or name == own or name.endswith(LOCAL_SUFFIXES)
    return True


def is_loopback(name: str) -> bool:
    """Tell whether a name leads to this machine alone."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


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
