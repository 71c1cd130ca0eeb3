"""The pages about the gateway as a whole: overview, connecting, sessions, tags."""

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ocpp_addon.web import sessions
from ocpp_addon.web.guard import VISITOR, is_local
from ocpp_addon.web.site import Site
from ocpp_addon.web.views import ATTEMPTS_SHOWN

SESSIONS_SHOWN = 500  # the spreadsheet has all

# Facts of the field about chargers' settings, cautious since firmwares differ: brand, how the
# address is to be written ("full" with scheme and id, "base" without id, "bare" without scheme
# and id), and what else to know.
BRANDS = (
    ("Alfen", "base", "In its installer app. An address with numbers, not a name."),
    ("Autel", "base", "Wants wss, and may append :443 itself: let the encrypted port be 443."),
    ("Easee", "base", "Choose OCPP in the installer's portal; it replaces Easee's own operator."),
    ("EVBox", "base", "Older ones know only old TLS: use ws in your own network."),
    ("go-e", "full", "In its app under Internet, OCPP. Enter the id in the address."),
    ("Grizzl-E", "full", "It names no sub-protocol and may send broken JSON: both are mended."),
    ("Growatt, Huawei", "base", "Address and charge point id have fields of their own."),
    ("KEBA", "base", "After days without an answer it gives up: restart it then."),
    ("Mennekes", "base", "It may take 15 minutes to dial again."),
    ("myenergi Zappi", "full", "Its maker's cloud connects, so the address must be public (wss)."),
    ("OpenEVSE", "full", "Older firmware knows no password: add it without one."),
    ("StarCharge", "base", "It sends a fixed user name and password: approve what it sends."),
    ("Wallbox", "base", "Address, id and password in separate fields; an empty one is fine."),
    ("WARP, Tinkerforge", "base", "No / at the end. 40 hex digits make a good password."),
    ("Others with one field", "full", "The id is the last part of the address."),
    ("Others with two fields", "base", "They append the id by themselves."),
    ("Others with host and port", "bare", "The path, where one is asked for, is /ocpp."),
)


class Pages:
    """Serve them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._backend = site.backend

    def routes(self) -> list[web.RouteDef]:
        """Return where each page lives."""
        return [
            web.get("/", self.overview),
            web.get("/connect", self.connect),
            web.get("/sessions", self.sessions),
            web.get("/tags", self.tags),
            web.get("/static/{name}", self._site.static),
        ]

    async def overview(self, request: web.Request) -> web.Response:
        """Show the gateway and a card per charger."""
        chargers = self._backend.chargers()
        return self._site.page(
            request,
            "overview.html",
            here="./",
            view="overview",
            health=self._backend.health(),
            waiting=[one for one in chargers if one["approval"] == "pending"],
            chargers=[one for one in chargers if one["approval"] != "pending"],
        )

    async def connect(self, request: web.Request) -> web.Response:
        """Show what to enter in a charger, and what came and failed."""
        places = await self._backend.places()
        hosts = [*places["addresses"], *places["names"]]
        name = request[VISITOR].host  # by which the browser found the way, so chargers may too
        if name and name not in hosts and is_local(name) and name != "localhost":
            hosts.append(name)
        hosts = [f"[{host}]" if ":" in host else host for host in hosts]
        wanted = request.query.get("charger", "")
        doors = [("ws", places["port"]), ("wss", places["tls_port"])]
        return self._site.page(
            request,
            "connect.html",
            here="connect",
            view="connect",
            urls=[f"{way}://{host}:{port}/ocpp" for way, port in doors if port for host in hosts],
            encrypted=places["tls_port"] is not None,
            reachable=any(not host.startswith(("127.", "[::1]")) for host in hosts),
            unknown=places["unknown_chargers"],
            example=wanted or "ID",
            wanted=wanted,
            brands=BRANDS,
            attempts=self._backend.attempts()[:ATTEMPTS_SHOWN],
        )

    async def sessions(self, request: web.Request) -> web.Response:
        """Show charging sessions and their totals."""
        choice = sessions.choice(request.query)
        found = await self._backend.sessions(choice)
        query = {name: request.query.get(name, "") for name in ("charger", "tag", "month")}
        return self._site.page(
            request,
            "sessions.html",
            here="sessions",
            view="sessions",
            chosen=choice,
            month=query["month"],
            query=urlencode({**query, "format": "csv"}),
            chargers=[charger["id"] for charger in self._backend.chargers()],
            tags=await self._backend.tags(),
            totals=sessions.totals(found),
            by_month=sessions.grouped(found, sessions.month_of),
            by_tag=sessions.grouped(found, lambda session: session["tag"] or ""),
            sessions=found[:SESSIONS_SHOWN],
            hidden=max(0, len(found) - SESSIONS_SHOWN),
        )

    async def tags(self, request: web.Request) -> web.Response:
        """Show who may charge."""
        tags: list[dict[str, Any]] = await self._backend.tags()
        places = await self._backend.places()
        return self._site.page(
            request,
            "tags.html",
            here="tags",
            view="sessions",
            policy=places["tag_policy"],
            seen=[tag for tag in tags if tag["status"] == "Unknown"],
            listed=[tag for tag in tags if tag["status"] != "Unknown"],
        )
