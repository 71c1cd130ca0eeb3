"""What the forms of the pages do: each leads back to its page with a sentence about the outcome."""

import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, tzinfo

from aiohttp import web

from ocpp_addon.errors import GatewayError
from ocpp_addon.text import printable
from ocpp_addon.web import calls
from ocpp_addon.web.api import checked_tag, tag_entry
from ocpp_addon.web.backend import Backend, Refused
from ocpp_addon.web.configuration import Configurations
from ocpp_addon.web.guard import VISITOR
from ocpp_addon.web.notices import Notice
from ocpp_addon.web.site import Form, Site, form_of, place
from ocpp_addon.web.words import zone_of

log = logging.getLogger(__name__)

# Without what looks alike: people type it into chargers.
ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
PASSWORD_LENGTH = 20
AMPERES_LIMIT = 500

# Buttons of a connector or a charger: key and value of the command, and what to say.
COMMANDS = {
    "start": ("charging", "ON", "It was asked to start charging."),
    "stop": ("charging", "OFF", "It was asked to stop charging."),
    "unlock": ("unlock", "PRESS", "It was asked to unlock the plug."),
    "refresh": ("refresh", "PRESS", "It was asked for its state."),
    "restart": ("restart", "SOFT", "It was asked to restart once it is idle."),
    "hard-restart": ("restart", "HARD", "It was asked to restart at once."),
}

_NOW = {"Accepted": "may charge now", "Blocked": "is blocked now"}

Outcome = tuple[str, Notice]


class Actions:
    """Do what a form asks for."""

    def __init__(self, site: Site, configurations: Configurations) -> None:
        self._site = site
        self._backend: Backend = site.backend
        self._configurations = configurations

    def routes(self) -> list[web.RouteDef]:
        """Return where each form goes."""
        forms = {
            "approve": self.approve,
            "refuse": self.refuse,
            "add-charger": self.add_charger,
            "command": self.command,
            "disconnect": self.disconnect,
            "diagnostics": self.diagnostics,
            "forget": self.forget,
            "set-password": self.set_password,
            "read-configuration": self.read_configuration,
            "write-configuration": self.write_configuration,
            "put-tag": self.put_tag,
            "delete-tag": self.delete_tag,
        }
        return [web.post(f"/{name}", self._handler(name, does)) for name, does in forms.items()]

    async def approve(self, form: Form) -> Outcome:
        """Let a waiting charger in."""
        await self._backend.approve(form["charger"], form["connection"])
        return "./", Notice(f"{form['charger']} is approved.")

    async def refuse(self, form: Form) -> Outcome:
        """Turn a waiting charger away."""
        await self._backend.refuse(form["charger"])
        text = f"{form['charger']} is refused until the gateway restarts or you add it yourself."
        return "./", Notice(text)

    async def add_charger(self, form: Form) -> Outcome:
        """Make a charger known."""
        charger_id = form["charger"].strip()
        known = self._backend.charger(charger_id)
        if known is not None and known["approval"] == "approved":
            raise Refused("known", f"{printable(charger_id)} is known already.", 409)
        password = None if form.get("open") else form.get("password") or _new_password()
        await self._backend.set_password(charger_id, password)
        where = place("connect", charger=charger_id)
        return where, _kept(f"{charger_id} may connect now.", form, password)

    async def command(self, form: Form) -> Outcome:
        """Do what a button of a connector or of a charger says."""
        charger_id, connector = form["charger"], _number(form.get("connector", "0"))
        where = form.get("back") or place("charger", id=charger_id)
        if form["do"] == "limit":
            amperes = _amperes(form["amperes"])
            await self._backend.set(charger_id, connector, "current_limit", f"{amperes:g}")
            return where, Notice(f"{charger_id}: the limit is {amperes:g} A now.")
        if form["do"] not in COMMANDS:
            raise Refused("bad_command", "There is no such command.", 400)
        key, value, sentence = COMMANDS[form["do"]]
        await self._backend.set(charger_id, connector, key, value)
        return where, Notice(f"{charger_id}: {sentence}")

    async def disconnect(self, form: Form) -> Outcome:
        """Drop a charger's connection."""
        if not await self._backend.disconnect(form["charger"]):
            raise Refused("not_connected", "This charger is not connected.", 409)
        text = "The connection is dropped: most chargers connect anew."
        return place("charger", id=form["charger"]), Notice(text)

    async def diagnostics(self, form: Form) -> Outcome:
        """Let a charger upload its log."""
        charger = self._site.charger(form["charger"])
        asked = calls.diagnostics(charger["protocol"] or "1.6", form["location"].strip())
        return place("charger", id=charger["id"]), await self._told(charger["id"], asked)

    async def forget(self, form: Form) -> Outcome:
        """Forget a charger."""
        if form.get("sure") != "yes":
            raise Refused("not_sure", "Tick that you are sure, then try again.", 400)
        if not await self._backend.forget(form["charger"]):
            raise Refused("not_found", "There is no such charger.", 404)
        return "./", Notice(f"{form['charger']} is forgotten.")

    async def set_password(self, form: Form) -> Outcome:
        """Change a password here, or let the charger take a new one."""
        charger = self._site.charger(form["charger"])
        charger_id = charger["id"]
        where = place("charger", id=charger_id)
        if form.get("open"):
            await self._backend.set_password(charger_id, None)
            return where, Notice("No password is needed any more.")
        password = form.get("password") or _new_password()
        if not form.get("provision"):
            await self._backend.set_password(charger_id, password)
            return where, _kept("The new password holds from now on.", form, password)
        if not 16 <= len(password.encode()) <= 20:  # security whitepaper, A00.FR.205
            sentence = "A password that is sent to a charger has 16 to 20 characters."
            raise Refused("bad_password", sentence, 400)
        asked = calls.write_password(charger["protocol"] or "1.6", password)
        outcome = await self._backend.call(charger_id, *asked)
        if not calls.is_fine(outcome):
            told = calls.in_words("Sending the password", outcome)
            return where, Notice(f"{told} Nothing has changed.", good=False)
        # It is learnt where outcomes pass by, and the old one holds until the charger uses it.
        sentence = "The charger accepted the new password. The old one holds until it is used."
        return where, _kept(sentence, form, password)

    async def read_configuration(self, form: Form) -> Outcome:
        """Read one key of a charger or all; of OCPP 2 all come later, as a report."""
        charger = self._site.charger(form["charger"])
        charger_id, protocol = charger["id"], charger["protocol"] or "1.6"
        where = place("charger", "configuration", id=charger_id)
        if name := form.get("key", "").strip():
            asked = calls.read_configuration(protocol, name)
        else:
            asked = calls.read_all(protocol, secrets.randbelow(2**31))
        if asked[0] == "GetBaseReport":
            self._configurations.expect(charger_id)
        outcome = await self._backend.call(charger_id, *asked)
        if asked[0] == "GetBaseReport" and calls.is_fine(outcome):
            text = "The charger sends its variables now: they show up here as they arrive."
            return where, Notice(text)
        payload = calls.result(outcome)
        if payload is None or asked[0] == "GetBaseReport":
            return where, Notice(calls.in_words(asked[0], outcome), good=False)
        count = self._configurations.add(charger_id, payload)
        return where, Notice(f"The charger told {count} key{'' if count == 1 else 's'}.")

    async def write_configuration(self, form: Form) -> Outcome:
        """Write one key of a charger, and read what it has become."""
        charger = self._site.charger(form["charger"])
        charger_id, protocol = charger["id"], charger["protocol"] or "1.6"
        name = form["key"].strip()
        asked = calls.write_configuration(protocol, name, form["value"])
        notice = await self._told(charger_id, asked)
        if notice.good:
            asked = calls.read_configuration(protocol, name)
            payload = calls.result(await self._backend.call(charger_id, *asked))
            if payload is not None:
                self._configurations.add(charger_id, payload)
        return place("charger", "configuration", id=charger_id), notice

    async def put_tag(self, form: Form) -> Outcome:
        """List a tag."""
        id_tag = checked_tag(form["tag"].strip())
        wishes = {key: form.get(key, "") for key in ("name", "parent")}
        expiry = _with_zone(form.get("expiry", ""), zone_of(form.get("offset")))
        entry = tag_entry({"status": form["status"], "expiry": expiry, **wishes})
        await self._backend.put_tag(id_tag, entry)
        return "tags", Notice(f"{entry.name or id_tag} {_NOW.get(entry.status, 'is listed now')}.")

    async def delete_tag(self, form: Form) -> Outcome:
        """Forget a tag."""
        if not await self._backend.delete_tag(form["tag"]):
            raise Refused("not_found", "There is no such tag.", 404)
        return "tags", Notice(f"{form['tag']} is removed.")

    async def _told(self, charger_id: str, asked: calls.Asked) -> Notice:
        outcome = await self._backend.call(charger_id, *asked)
        return Notice(calls.in_words(asked[0], outcome), good=calls.is_fine(outcome))

    def _handler(
        self, name: str, does: Callable[[Form], Awaitable[Outcome]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            form = await form_of(request)
            try:
                where, notice = await does(form)
            except GatewayError as error:
                where, notice = _origin(name, form), Notice(str(error), good=False)
            subject = form.get("charger") or form.get("tag", "")
            who, what = request[VISITOR].name, printable(f"{name} {form.get('do', '')}".strip())
            told = printable(notice.text, 200)
            log.info("%s of %s by %s: %s", what, printable(subject), who, told)
            return self._site.back(where, notice)

        return handle


def _origin(name: str, form: Form) -> str:
    """Return the page that a form stands on."""
    if "back" in form:
        return form["back"]
    if name in ("approve", "refuse"):
        return "./"
    if name == "add-charger":
        return place("connect", charger=form.get("charger", ""))
    return place("charger", id=form["charger"]) if "charger" in form else "tags"


def _new_password() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(PASSWORD_LENGTH))


def _kept(sentence: str, form: Form, password: str | None) -> Notice:
    """Show a password that was made up; one that the person chose is known to them."""
    return Notice(sentence, secret=None if form.get("password") else password)


def _with_zone(text: str, zone: tzinfo | None) -> str:
    """Return a time of a form with a zone, or that of the gateway, where it has none."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment.astimezone() if zone is None else moment.replace(tzinfo=zone)).isoformat()
    except (ValueError, OverflowError):
        return text  # whoever reads it says what is wrong


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused("bad_number", "A number is expected.", 400) from None


def _amperes(text: str) -> float:
    try:
        amperes = float(text.replace(",", "."))
    except ValueError:
        amperes = math.nan
    if not 0 <= amperes <= AMPERES_LIMIT:
        sentence = f"The limit is a number of amperes from 0 to {AMPERES_LIMIT}."
        raise Refused("bad_limit", sentence, 400)
    return amperes
