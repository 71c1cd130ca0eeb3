"""What all pages share: the frame around them, notices after forms, and static files."""

import hashlib
import mimetypes
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ocpp_addon import __version__
from ocpp_addon.web.backend import Backend, Refused
from ocpp_addon.web.guard import VISITOR, Visitor
from ocpp_addon.web.live import Live
from ocpp_addon.web.logins import Logins
from ocpp_addon.web.notices import Notice, Notices
from ocpp_addon.web.renderer import Renderer

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
NOBODY = Visitor("nobody", "")
# Pages that a form may lead back to; nothing else, or it would lead people anywhere.
_BACK = re.compile(
    r"(\./|(charger|connect|messages|call|sessions|tags)(\?[\w.~%&=+*-]*)?)(#[\w-]*)?", re.ASCII
)


class Form(dict[str, str]):
    """The fields of a form; one that is missing is Refused."""

    def __missing__(self, key: str) -> str:
        raise Refused("bad_form", f"The form lacks its field {key}.", 400)


async def form_of(request: web.Request) -> Form:
    """Return the fields of a form that was sent."""
    return Form({key: str(value) for key, value in (await request.post()).items()})


class Site:
    """Make pages."""

    def __init__(self, backend: Backend, logins: Logins, live: Live, renderer: Renderer) -> None:
        self.backend = backend
        self.logins = logins
        self._live = live
        self._renderer = renderer
        self._notices = Notices()
        self._files = {file.name: file.read_bytes() for file in STATIC.iterdir()}
        content = b"".join(self._files[name] for name in sorted(self._files))
        self._fingerprint = hashlib.sha256(content).hexdigest()[:12]

    def page(
        self,
        request: web.Request,
        template: str,
        *,
        here: str = "",
        view: str = "",
        status: int = 200,
        charger_id: str | None = None,
        notice: Notice | None = None,
        **context: object,
    ) -> web.Response:
        """Return a page; `here` is its place in the menu, `view` what keeps it up to date."""
        visitor = request.get(VISITOR, NOBODY)
        text = self._renderer.render(
            template,
            visitor=visitor,
            form_token=self.logins.form_token(visitor.session),
            version=self._live.version,
            offset=round(
                (datetime.now().astimezone().utcoffset() or timedelta()).total_seconds() / 60
            ),
            gateway_version=__version__,
            fingerprint=self._fingerprint,
            notice=notice or self.notice(request),
            here=here,
            view=view,
            charger_id=charger_id,
            **context,
        )
        # With no-referrer, browsers would send forms with the Origin null.
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
        # Chargers send halves of characters, too: they must not break the page.
        body = text.encode("utf-8", "replace")
        response = web.Response(
            body=body, content_type="text/html", charset="utf-8", status=status, headers=headers
        )
        response.enable_compression()  # where the browser asks for it; ingress compresses by itself
        return response

    def notice(self, request: web.Request) -> Notice | None:
        """Return what came of the form that led to this page, once."""
        return self._notices.take(request.query.get("notice", ""))

    def back(self, place: str, notice: Notice) -> web.Response:
        """Lead on to a page that shows a notice."""
        if not _BACK.fullmatch(place):
            place = "./"
        page, mark, part = place.partition("#")
        separator = "&" if "?" in page else "?"
        location = f"{page}{separator}notice={self._notices.add(notice)}{mark}{part}"
        return web.Response(status=303, headers={"Location": location})

    def error(self, request: web.Request, status: int, sentence: str) -> web.Response:
        """Return a page that says why there is no other, or where to sign in."""
        if status == 401:
            return web.Response(status=303, headers={"Location": "sign-in"})
        return self.page(request, "error.html", status=status, sentence=sentence)

    def charger(self, charger_id: str) -> dict[str, Any]:
        """Return a charger; Refused if there is none."""
        charger = self.backend.charger(charger_id)
        if charger is None:
            raise Refused("not_found", "There is no such charger.", 404)
        return charger

    async def static(self, request: web.Request) -> web.Response:
        """Return a file of the pages; its address changes with what is in it."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        headers = {
            "Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "Cache-Control": "private, max-age=31536000, immutable",
        }
        response = web.Response(body=self._files[name], headers=headers)
        response.enable_compression()
        return response


def is_page(request: web.Request) -> bool:
    """Tell whether a person in a browser asks, rather than a program."""
    path = request.path
    return not path.startswith(("/api/", "/health", "/metrics", "/static/")) and (
        "text/html" in request.headers.get("Accept", "")
    )


def place(page: str, part: str = "", **query: str) -> str:
    """Return the relative address of a page, or of a part of it."""
    return f"{page}?{urlencode(query)}{part and '#'}{part}"
