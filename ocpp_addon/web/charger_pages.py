"""The pages about one charger: its state, its messages, and commands for it."""

import logging
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from ocpp_addon import __version__
from ocpp_addon.ocpp import jsontext
from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.ocpp.redaction import HIDDEN, redacted
from ocpp_addon.text import printable, utc
from ocpp_addon.web import call_form, calls, frames
from ocpp_addon.web.backend import Refused, SessionChoice
from ocpp_addon.web.configuration import Configurations
from ocpp_addon.web.guard import VISITOR
from ocpp_addon.web.notices import Notice
from ocpp_addon.web.plots import Plots
from ocpp_addon.web.sessions import names_of
from ocpp_addon.web.site import Form, Site, form_of, place

log = logging.getLogger(__name__)

SESSIONS_SHOWN = 10
FRAMES_SHOWN = 40  # at once, to keep the page small


class ChargerPages:
    """Serve them."""

    def __init__(self, site: Site, plots: Plots, configurations: Configurations) -> None:
        self._site = site
        self._plots = plots
        self._backend = site.backend
        self._configurations = configurations

    def routes(self) -> list[web.RouteDef]:
        """Return where each page lives."""
        return [
            web.get("/charger", self.charger),
            web.get("/messages", self.messages),
            web.get("/messages.jsonl", self.export),
            web.get("/call", self.call),
            web.post("/send", self.send),
        ]

    async def charger(self, request: web.Request) -> web.Response:
        """Show one charger."""
        charger_id = request.query.get("id", "")
        charger = self._site.charger(charger_id)
        choice = SessionChoice(charger=charger_id, limit=SESSIONS_SHOWN)
        keys = self._configurations.keys(charger_id)
        return self._site.page(
            request,
            "charger.html",
            view="charger",
            charger_id=charger_id,
            charger=charger,
            sessions=await self._backend.sessions(choice),
            names=names_of(await self._backend.tags()),
            now=utc(datetime.now(UTC)),
            plots=await self._plots.of_today(charger_id),
            keys=keys,
            wanted=next((key for key in keys if key.name == request.query.get("key")), None),
            read_at=self._configurations.read_at(charger_id),
        )

    async def messages(self, request: web.Request) -> web.Response:
        """Show the last frames, newest first."""
        charger_id = request.query.get("charger", "")
        words, only = request.query.get("q", ""), request.query.get("only", "")
        found = [frames.shown(frame) for frame in reversed(self._frames(charger_id))]
        fitting = [
            frame
            for frame in found
            if only in ("", *frame["kinds"])
            and words.lower() in f"{frame.get('action')} {frame['frame']}".lower()
        ]
        limit = None if "all" in request.query else FRAMES_SHOWN
        return self._site.page(
            request,
            "messages.html",
            view="messages",
            charger_id=charger_id,
            charger=self._site.charger(charger_id),
            q=words,
            only=only,
            filters=frames.FILTERS,
            frames=fitting[:limit],
            hidden=len(fitting) - len(fitting[:limit]),
        )

    async def export(self, request: web.Request) -> web.Response:
        """Give the last frames as a file, secrets hidden."""
        charger = self._site.charger(request.query.get("charger", ""))
        names = ("id", "vendor", "model", "firmware", "protocol", "offered_subprotocols")
        head = {"gateway": __version__, **{name: charger[name] for name in names}}
        text = frames.as_lines(head, self._frames(charger["id"]))
        headers = {"Content-Disposition": 'attachment; filename="messages.jsonl"'}
        return web.Response(text=text, content_type="application/jsonl", headers=headers)

    async def call(self, request: web.Request) -> web.Response:
        """Show the form for a command, filled in like an earlier one if that is asked for."""
        charger_id, action = request.query.get("charger", ""), request.query.get("action", "")
        charger = self._site.charger(charger_id)
        notice, payload = self._site.notice(request), {}
        if notice is not None and notice.payload is not None:
            payload = notice.payload
        elif like := request.query.get("like"):
            for frame in self._frames(charger_id):
                if frame["publish"] is not None and str(frame["id"]) == like:
                    action, payload = frame["action"], frame["payload"]
        schema = self._backend.schema(charger_id, action) if action else None
        fields = None if schema is None else call_form.fields(schema)
        return self._site.page(
            request,
            "call.html",
            charger_id=charger_id,
            charger=charger,
            actions=self._backend.actions(charger_id),
            action=action,
            fields=fields,
            values=call_form.filled(payload, fields or []),
            payload=payload,
            notice=notice,
        )

    async def send(self, request: web.Request) -> web.Response:
        """Send a command, filled in by fields or as JSON, and show what came of it."""
        form = await form_of(request)
        charger_id, action = form["charger"], form["action"]
        self._site.charger(charger_id)
        payload: dict[str, Any] = {}
        try:
            payload = self._payload(charger_id, action, form)
            outcome = await self._backend.call(charger_id, action, payload)
        except Refused as refused:
            notice = Notice(str(refused), good=False, payload=payload)
        else:
            notice = Notice(
                calls.in_words(action, outcome),
                good=calls.is_fine(outcome),
                payload=redacted(payload),
                outcome=redacted(_told(outcome)),
            )
        who, told = request[VISITOR].name, printable(notice.text, 200)
        log.info("%s of %s by %s: %s", printable(action), printable(charger_id), who, told)
        return self._site.back(place("call", charger=charger_id, action=action), notice)

    def _payload(self, charger_id: str, action: str, form: Form) -> dict[str, Any]:
        if "payload" in form:
            payload = _written(form["payload"])
        else:
            schema = self._backend.schema(charger_id, action)
            if schema is None:
                raise Refused("bad_action", "There is no such command.", 400)
            given = {key.removeprefix("f."): text for key, text in form.items() if key[:2] == "f."}
            payload = call_form.payload(schema, given)
        if HIDDEN in jsontext.dump(payload):
            raise Refused("hidden", f"Type what is hidden ({HIDDEN}) before you send it.", 400)
        return payload

    def _frames(self, charger_id: str) -> list[dict[str, Any]]:
        found = self._backend.messages(charger_id)
        if found is None:
            raise Refused("not_found", "There is no such charger.", 404)
        return found


def _written(text: str) -> dict[str, Any]:
    try:
        payload = jsontext.load(text or "{}")
    except ValueError:
        raise Refused("bad_json", "The payload is not JSON.", 400) from None
    if not isinstance(payload, dict):
        raise Refused("bad_json", "The payload must be a JSON object.", 400)
    return payload


def _told(outcome: CallResult | CallError) -> dict[str, Any]:
    return outcome.payload if isinstance(outcome, CallResult) else outcome.details
