"""Signing in with the token, and out again."""

import logging

from aiohttp import web

from ocpp_addon.web.guard import VISITOR, cookie_name
from ocpp_addon.web.logins import SESSION_LENGTH
from ocpp_addon.web.notices import Notice
from ocpp_addon.web.site import Site

log = logging.getLogger(__name__)


class SignIn:
    """Give and take back the session cookie."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[web.RouteDef]:
        """Return where it lives."""
        return [
            web.get("/sign-in", self.ask),
            web.post("/sign-in", self.sign_in),
            web.post("/sign-out", self.sign_out),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """Ask for the token."""
        return self._site.page(request, "sign_in.html")

    async def sign_in(self, request: web.Request) -> web.Response:
        """Begin a session if the token is right."""
        address = request[VISITOR].address
        token = str((await request.post()).get("token", ""))
        if not self._site.logins.fits(token, address):
            log.warning("Somebody at %s tried to sign in with a wrong token", address)
            text = "That is not the token. After many wrong ones, wait a minute."
            notice = Notice(text, good=False)
            return self._site.page(request, "sign_in.html", status=401, notice=notice)
        log.info("Somebody at %s signed in", address)
        response = web.Response(status=303, headers={"Location": "./"})
        response.set_cookie(
            cookie_name(request),
            self._site.logins.open(),
            max_age=int(SESSION_LENGTH),
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session."""
        self._site.logins.close(request[VISITOR].session)
        response = web.Response(status=303, headers={"Location": "sign-in"})
        response.del_cookie(cookie_name(request))
        return response
