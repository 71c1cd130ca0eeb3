"""The pages about the gateway as a whole: overview, connecting, sessions, tags."""

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ocpp_addon.web import sessions
from ocpp_addon.web.addresses import BRANDS, addresses
from ocpp_addon.web.guard import VISITOR
from ocpp_addon.web.site import Site
from ocpp_addon.web.views import ATTEMPTS_SHOWN

SESSIONS_SHOWN = 100  # the CSV file has all


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
        """Show the gateway and a card per charger; while there is none, how to connect one."""
        waiting, known = self._chargers()
        places = await self._backend.places() if not known else None
        return self._site.page(
            request,
            "overview.html",
            here="./",
            view="overview",
            health=self._backend.health(),
            waiting=waiting,
            chargers=known,
            addresses=addresses(places, request[VISITOR].host) if places else None,
            unknown=places and places["unknown_chargers"],
        )

    async def connect(self, request: web.Request) -> web.Response:
        """Show what to enter in a charger, who waits, and what came and failed."""
        places = await self._backend.places()
        wanted = request.query.get("charger", "")
        return self._site.page(
            request,
            "connect.html",
            here="connect",
            view="connect",
            addresses=addresses(places, request[VISITOR].host),
            unknown=places["unknown_chargers"],
            example=wanted or "ID",
            wanted=wanted,
            brands=BRANDS,
            waiting=self._chargers()[0],
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

    def _chargers(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the chargers that wait for approval, and those that are known."""
        chargers = self._backend.chargers()
        waiting = [one for one in chargers if one["approval"] == "pending"]
        return waiting, [one for one in chargers if one["approval"] != "pending"]
