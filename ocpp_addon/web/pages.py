"""The pages about the gateway as a whole: overview, connecting, sessions, tags."""

from typing import Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from ocpp_addon.web import sessions
from ocpp_addon.web.guard import VISITOR, is_local, is_loopback
from ocpp_addon.web.site import Site
from ocpp_addon.web.views import ATTEMPTS_SHOWN

SESSIONS_SHOWN = 100  # the CSV file has all


class Brand(NamedTuple):
    """How a brand wants the address: "full" with scheme and id, "base" without the id, "bare"
    without both; and what else to know. Firmwares differ, so these are starting points."""

    name: str
    form: str
    hint: str
    encrypted: bool = False


BRANDS = (
    Brand("ABB Terra AC", "base", "The id is the serial number. It may take a quarter of an hour."),
    Brand("Alfen", "bare", "Its path is /ocpp/. Use an address with numbers, not a name."),
    Brand("Autel", "base", "It may append :443 itself: let that port lead here.", encrypted=True),
    Brand("Easee", "base", "OCPP is activated through its API; the operator's goes away."),
    Brand("EVBox", "base", "Older ones know only old encryption: use ws in your own network."),
    Brand("go-e", "full", "In its app under Internet, OCPP."),
    Brand("Grizzl-E", "base", "Older ones want host and port alone, without ws://."),
    Brand("Growatt, Huawei", "base", "Address and charge point id have fields of their own."),
    Brand("KEBA", "base", "After seven days without an answer it gives up until restarted."),
    Brand("Mennekes", "base", "It may take a quarter of an hour to dial again."),
    Brand("myenergi Zappi", "full", "Its cloud connects: a public name is needed.", encrypted=True),
    Brand("OpenEVSE", "full", "Older firmware knows no password: add it without one."),
    Brand("StarCharge", "base", "It sends a fixed user name and password: approve what it sends."),
    Brand("Wallbox", "base", "No password, or one of 16 to 20 characters. It restarts then."),
    Brand("WARP, Tinkerforge", "base", "No / at the end. 40 hex digits make a good password."),
    Brand("Others with one field", "full", "The id is the last part of the address."),
    Brand("Others with two fields", "base", "They append the id by themselves."),
    Brand("Others with host and port", "bare", "The path, where one is asked for, is /ocpp."),
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
        if name and is_local(name) and not (hosts and is_loopback(name)):
            hosts = [*dict.fromkeys([*hosts, name])]
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
            reachable=any(not is_loopback(host.strip("[]")) for host in hosts),
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
        tags = await self._backend.tags()
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
            tags=tags,
            names=sessions.names_of(tags),
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
