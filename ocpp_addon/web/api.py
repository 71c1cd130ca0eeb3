"""The calls of the HTTP API: bodies become types here, and answers become JSON."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from typing import Any, TypeVar

import voluptuous as vol
from aiohttp import web

from ocpp_addon import checks
from ocpp_addon.ocpp import jsontext
from ocpp_addon.ocpp.messages import CallError
from ocpp_addon.text import printable
from ocpp_addon.web import sessions
from ocpp_addon.web.backend import Backend, Refused, TagEntry
from ocpp_addon.web.guard import HEALTH
from ocpp_addon.web.metrics import CONTENT_TYPE, Metrics

BODY_LIMIT = 64 * 1024
BODY_TIMEOUT = 10.0  # seconds
ID_TAG_LIMIT = 255
_Found = TypeVar("_Found")


def _expiry(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None:
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise vol.Invalid("a time like 2027-01-31T12:00:00Z is expected")


def _optional(check: checks.Check) -> checks.Check:
    """Take null and "" for nothing."""
    return lambda value: None if value in (None, "") else check(value)


_PASSWORD = vol.Schema({vol.Required("password"): _optional(checks.secret)})
_APPROVAL = vol.Schema({vol.Required("connection"): checks.text(64)})
_CALL = vol.Schema(
    {
        vol.Required("action"): vol.All(checks.text(64), vol.Length(min=1, msg="it is empty")),
        vol.Optional("payload", default=dict): dict,
    }
)
_TAG = vol.Schema(
    {
        vol.Optional("status", default="Accepted"): checks.choice(
            "Accepted", "Blocked", "Expired", "Invalid"
        ),
        vol.Optional("name"): _optional(checks.text(100)),
        vol.Optional("parent"): _optional(checks.text(20)),  # OCPP 1.6 allows no more
        vol.Optional("expiry"): _optional(_expiry),
    }
)


class Api:
    """Handle the calls, each in one method, on a Backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._metrics = Metrics(backend)
        self._description = (resources.files("ocpp_addon.web") / "openapi.json").read_bytes()

    def routes(self) -> list[web.RouteDef]:
        """Return where each call lives."""
        charger, tag = "/api/chargers/{id:[^/]+}", "/api/tags/{id:[^/]+}"
        return [
            web.get(HEALTH, self.health),
            web.get("/api/chargers", self.chargers),
            web.get(charger, self.charger),
            web.put(charger, self.put_charger),
            web.delete(charger, self.forget),
            web.post(f"{charger}/approve", self.approve),
            web.post(f"{charger}/refuse", self.refuse),
            web.post(f"{charger}/disconnect", self.disconnect),
            web.post(f"{charger}/call", self.call),
            web.get(f"{charger}/messages", self.messages),
            web.get("/api/tags", self.tags),
            web.get(tag, self.tag),
            web.put(tag, self.put_tag),
            web.delete(tag, self.delete_tag),
            web.get("/api/sessions", self.sessions),
            web.get("/api/sessions/totals", self.totals),
            web.get("/api/attempts", self.attempts),
            web.get("/api/openapi.json", self.description),
            web.get("/metrics", self.metrics),
        ]

    async def health(self, request: web.Request) -> web.Response:
        """Tell how the gateway is; 503 only when chargers cannot be served safely."""
        health = self._backend.health()
        return answer(health, 503 if health["status"] == "unavailable" else 200)

    async def chargers(self, request: web.Request) -> web.Response:
        """List the chargers."""
        return answer(self._backend.chargers())

    async def charger(self, request: web.Request) -> web.Response:
        """Show one charger."""
        return answer(_found(self._backend.charger(_id(request))))

    async def put_charger(self, request: web.Request) -> web.Response:
        """Make a charger known and set its password."""
        charger_id, body = _id(request), await _body(request, _PASSWORD)
        await self._backend.set_password(charger_id, body["password"])
        return answer(self._backend.charger(charger_id) or {})

    async def forget(self, request: web.Request) -> web.Response:
        """Forget a charger."""
        if not await self._backend.forget(_id(request)):
            raise _no_charger()
        return answer({})

    async def approve(self, request: web.Request) -> web.Response:
        """Let in the charger that waits on the connection that the person saw."""
        charger_id, body = _id(request), await _body(request, _APPROVAL)
        await self._backend.approve(charger_id, body["connection"])
        return answer(self._backend.charger(charger_id) or {})

    async def refuse(self, request: web.Request) -> web.Response:
        """Turn a waiting charger away."""
        await self._backend.refuse(_id(request))
        return answer({})

    async def disconnect(self, request: web.Request) -> web.Response:
        """Drop a charger's connection."""
        charger_id = _id(request)
        if not await self._backend.disconnect(charger_id):
            _found(self._backend.charger(charger_id))
            raise Refused("not_connected", "This charger is not connected.", 409)
        return answer({})

    async def call(self, request: web.Request) -> web.Response:
        """Send a Call and wait for its outcome, which is 200 even if the charger refuses."""
        charger_id, body = _id(request), await _body(request, _CALL)
        _found(self._backend.charger(charger_id))
        outcome = await self._backend.call(charger_id, body["action"], body["payload"])
        if isinstance(outcome, CallError):
            return answer(
                {
                    "error": {
                        "code": outcome.code,
                        "description": outcome.description,
                        "details": outcome.details,
                    }
                }
            )
        return answer({"result": outcome.payload})

    async def messages(self, request: web.Request) -> web.Response:
        """Show the last frames of a charger."""
        return answer(_found(self._backend.messages(_id(request))))

    async def tags(self, request: web.Request) -> web.Response:
        """List the tags."""
        return answer(await self._backend.tags())

    async def tag(self, request: web.Request) -> web.Response:
        """Show one tag."""
        wanted = _id(request).lower()  # as which tags are compared
        for tag in await self._backend.tags():
            if tag["idTag"].lower() == wanted:
                return answer(tag)
        raise _no_tag()

    async def put_tag(self, request: web.Request) -> web.Response:
        """Say what a tag may do."""
        id_tag, body = _id(request), await _body(request, _TAG)
        await self._backend.put_tag(checked_tag(id_tag), TagEntry(**body))
        return answer({})

    async def delete_tag(self, request: web.Request) -> web.Response:
        """Forget a tag."""
        if not await self._backend.delete_tag(_id(request)):
            raise _no_tag()
        return answer({})

    async def sessions(self, request: web.Request) -> web.Response:
        """List charging sessions, as JSON or CSV."""
        form = request.query.get("format", "json")
        if form not in ("json", "csv"):
            raise Refused("bad_format", "The format is json or csv.", 400)
        found = await self._backend.sessions(sessions.choice(request.query))
        if form == "json":
            return answer(found)
        headers = {"Content-Disposition": 'attachment; filename="sessions.csv"'}
        return web.Response(text=sessions.as_csv(found), content_type="text/csv", headers=headers)

    async def totals(self, request: web.Request) -> web.Response:
        """Add up charging sessions."""
        found = await self._backend.sessions(sessions.choice(request.query))
        return answer(asdict(sessions.totals(found)))

    async def attempts(self, request: web.Request) -> web.Response:
        """List the connection attempts that failed lately."""
        return answer(self._backend.attempts())

    async def description(self, request: web.Request) -> web.Response:
        """Describe the API."""
        return web.Response(body=self._description, content_type="application/json")

    async def metrics(self, request: web.Request) -> web.Response:
        """Tell Prometheus the figures."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def checked_tag(id_tag: str) -> str:
    """Return a tag that can be listed, else raise Refused."""
    if not 0 < len(id_tag) <= ID_TAG_LIMIT or not id_tag.isprintable():
        sentence = f"A tag has 1 to {ID_TAG_LIMIT} characters, and no control characters."
        raise Refused("bad_tag", sentence, 400)
    return id_tag


def tag_entry(content: Mapping[str, object]) -> TagEntry:
    """Return what `content` says about a tag, else raise Refused."""
    return TagEntry(**_checked(content, _TAG))


def answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a JSON response."""
    return web.json_response(content, status=status, headers=headers, dumps=jsontext.dump)


def _id(request: web.Request) -> str:
    return request.match_info["id"]


def _no_charger() -> Refused:
    return Refused("not_found", "There is no such charger.", 404)


def _no_tag() -> Refused:
    return Refused("not_found", "There is no such tag.", 404)


def _found(value: _Found | None) -> _Found:
    if value is None:
        raise _no_charger()
    return value


async def _body(request: web.Request, schema: vol.Schema) -> dict[str, Any]:
    """Return the checked body; Refused says what is wrong without repeating any value."""
    if request.content_type != "application/json":
        raise Refused("unsupported_media_type", "The body must be application/json.", 415)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            raw = await request.read()
    except TimeoutError:
        raise Refused("timeout", "The body did not arrive in time.", 408) from None
    try:
        content = jsontext.load(raw.decode("utf-8-sig"))
    except ValueError:
        raise Refused("bad_json", "The body is not JSON.", 400) from None
    if not isinstance(content, dict):
        raise Refused("bad_request", "The body must be a JSON object.", 400)
    return _checked(content, schema)


def _checked(content: Mapping[str, object], schema: vol.Schema) -> dict[str, Any]:
    try:
        checked: dict[str, Any] = schema(content)
    except vol.MultipleInvalid as error:
        first = error.errors[0]
        key = ".".join(printable(part) for part in first.path)
        raise Refused("bad_request", f"{key}: {first.error_message}.", 400) from None
    return checked
