"""Plots of a charger's power and energy: which there are, what they tell, and as images."""

import asyncio
from datetime import UTC, datetime, timedelta

from aiohttp import web

from ocpp_addon.web import chart
from ocpp_addon.web.backend import Refused, Sample
from ocpp_addon.web.site import Site
from ocpp_addon.web.words import zone_of

DAY = timedelta(days=1)
UNITS = {"power": "kW", "energy": "kWh"}


class Plots:
    """Make them from samples."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._backend = site.backend

    def routes(self) -> list[web.RouteDef]:
        """Return where they live."""
        return [web.get("/chart.svg", self.chart)]

    async def of_today(self, charger_id: str) -> dict[str, str]:
        """Return which plots there are of the last 24 hours, and what each tells in words."""
        samples = await self._backend.samples(charger_id, datetime.now(UTC) - DAY, None)
        return {what: _in_words(samples, what) for what in UNITS if samples}

    async def chart(self, request: web.Request) -> web.Response:
        """Draw power or energy over a time, by default the last 24 hours."""
        charger_id, what = request.query.get("charger", ""), request.query.get("what", "")
        self._site.charger(charger_id)
        if what not in UNITS:
            raise Refused("bad_plot", "There are plots of power and of energy.", 400)
        ended = _moment(request, "until")
        until = ended or datetime.now(UTC)
        since = _moment(request, "since") or until - DAY
        points = _points(await self._backend.samples(charger_id, since, ended), what)
        zone, narrow = zone_of(request.query.get("offset")), "narrow" in request.query
        drawn = await asyncio.to_thread(
            chart.svg, UNITS[what], points, since, until, zone=zone, narrow=narrow
        )
        # The style of the drawing is inline; as an image it runs nothing and loads nothing.
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(body=drawn, content_type="image/svg+xml", headers=headers)


def _points(samples: list[Sample], what: str) -> list[chart.Point]:
    """Return what is plotted, in thousands: power, or energy since the first sample."""
    values = [(one.at, one.power if what == "power" else one.energy) for one in samples]
    known = [(at, value / 1000) for at, value in values if value is not None]
    first = known[0][1] if known and what == "energy" else 0
    return [(at, round(value - first, 3)) for at, value in known]


def _in_words(samples: list[Sample], what: str) -> str:
    points = _points(samples, what)
    if not points:
        return "no samples yet"
    if what == "energy":
        return f"{points[-1][1]:.2f} kWh"
    now, most = samples[-1].power, max(value for _, value in points)
    known = "" if now is None else f"now {now / 1000:.2f} kW, "
    return f"{known}at most {most:.2f} kW"


def _moment(request: web.Request, name: str) -> datetime | None:
    text = request.query.get(name)
    if not text:
        return None
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not 2000 <= moment.year < 9999:  # room for zones and a day before
        raise Refused("bad_time", f"{name}: a time is expected.", 400)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
