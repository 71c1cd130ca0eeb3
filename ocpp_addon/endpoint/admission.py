"""Who may come in: the decision about one handshake, before any WebSocket exists."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ocpp_addon.endpoint import handshake, identity
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.passwords import Busy, Passwords
from ocpp_addon.endpoint.throttle import Throttle
from ocpp_addon.errors import StorageError
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

PENDING_LIMIT = 20  # chargers that wait for approval at the same time
RETRY_AFTER = "30"


@dataclass(frozen=True)
class Knock:
    """The parts of a request that decide."""

    raw_path: str
    address: str
    authorization: tuple[str, ...] = field(repr=False)
    origin: str | None


@dataclass(frozen=True)
class Admitted:
    """A charger that may come in; `pending` if a person has yet to approve it."""

    charger_id: str
    secret: bytes | None = field(repr=False)
    authenticated: bool
    pending: bool


class Refusal(Exception):
    """Refuse a handshake with an HTTP status; `code` is that of the list of failed attempts."""

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        charger_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.charger_id = charger_id
        self.headers = headers or {}


class Admission:
    """Decide by id, credentials and what is to be done with strangers."""

    def __init__(
        self,
        credentials: Credentials,
        passwords: Passwords,
        unknown_chargers: Literal["ask", "accept", "refuse"],
        reserved: frozenset[str],
        pending: Callable[[], set[str]],
    ) -> None:
        self._credentials = credentials
        self._passwords = passwords
        self._unknown_chargers = unknown_chargers
        self._reserved = reserved
        self._pending = pending
        self._failures = Throttle(10, 60, 60)

    async def decide(self, knock: Knock) -> Admitted:
        """Return who comes in; raises Refusal."""
        if not handshake.origin_allowed(knock.origin):
            raise Refusal(403, "browser_origin", "Web pages may not connect here.")
        charger_id, credentials, broken = self._who(knock)
        if charger_id not in self._credentials:
            return await self._stranger(charger_id, credentials, broken)
        authenticated = False
        if self._credentials.protected(charger_id):
            await self._authenticate(charger_id, knock.address, credentials, broken)
            authenticated = True
            if charger_id not in self._credentials:  # forgotten while its password was checked
                return await self._stranger(charger_id, credentials, broken)
        if credentials is not None and credentials.user not in (None, charger_id):
            log.warning(
                "%s: its user name %s differs from its id",
                printable(charger_id),
                printable(credentials.user),
            )
        secret = credentials.secret if credentials is not None else None
        return Admitted(charger_id, secret, authenticated, pending=False)

    def _who(
        self, knock: Knock
    ) -> tuple[str, handshake.Basic | None, handshake.BadCredentials | None]:
        broken = None
        credentials = None
        try:
            credentials = handshake.basic(knock.authorization, None)
        except handshake.BadCredentials as error:
            broken = error
        try:
            user = credentials.user if credentials is not None else None
            charger_id = identity.charger_id(knock.raw_path, user, self._reserved)
        except identity.UnusableId as error:
            raise Refusal(400, error.code, str(error)) from None
        if broken is None:
            credentials = handshake.basic(knock.authorization, charger_id)
        return charger_id, credentials, broken

    async def _stranger(
        self,
        charger_id: str,
        credentials: handshake.Basic | None,
        broken: handshake.BadCredentials | None,
    ) -> Admitted:
        secret = credentials.secret if credentials is not None else None
        if self._unknown_chargers == "accept":
            try:
                await self._credentials.put(charger_id, None)
            except StorageError:
                sentence = "New chargers cannot be stored now."
                raise Refusal(503, "busy", sentence, charger_id) from None
            log.info("%s: a new charger is let in without a password", printable(charger_id))
            return Admitted(charger_id, secret, authenticated=False, pending=False)
        if self._unknown_chargers == "refuse":
            sentence = f"No charger is known as {printable(charger_id)}."
            similar = self._credentials.find_case_insensitive(charger_id)
            if similar is not None:
                sentence += f" There is {printable(similar)}: upper and lower case count."
            raise Refusal(404, "unknown_charger", sentence, charger_id)
        if broken is not None:
            raise Refusal(400, "bad_credentials", str(broken), charger_id)
        waiting = self._pending()
        if charger_id not in waiting and len(waiting) >= PENDING_LIMIT:
            sentence = "Too many new chargers wait for approval."
            raise Refusal(503, "pending_full", sentence, charger_id, {"Retry-After": RETRY_AFTER})
        return Admitted(charger_id, secret, authenticated=False, pending=True)

    async def _authenticate(
        self,
        charger_id: str,
        address: str,
        credentials: handshake.Basic | None,
        broken: handshake.BadCredentials | None,
    ) -> None:
        challenge = {"WWW-Authenticate": 'Basic realm="OCPP"'}
        now = asyncio.get_running_loop().time
        key = (charger_id, address)
        wait = self._failures.blocked(key, now())
        if wait:
            sentence = "Too many wrong passwords."
            headers = {"Retry-After": str(int(wait) + 1)}
            raise Refusal(429, "throttled", sentence, charger_id, headers)
        if broken is not None:
            self._failures.count(key, now())
            raise Refusal(401, "bad_credentials", str(broken), charger_id, challenge)
        if credentials is None:
            raise Refusal(401, "missing_password", "A password is needed.", charger_id, challenge)
        record = self._credentials.password(charger_id)
        try:
            right = record is not None and await self._passwords.verify(
                charger_id, record, credentials.secret
            )
        except Busy:
            sentence = "Too many chargers log in at once."
            headers = {"Retry-After": RETRY_AFTER}
            raise Refusal(503, "busy", sentence, charger_id, headers) from None
        if not right or record is None:
            self._failures.count(key, now())
            raise Refusal(401, "wrong_password", "The password is wrong.", charger_id, challenge)
        self._failures.forget(key)
        if self._passwords.needs_upgrade(record):
            await self._upgrade(charger_id, credentials.secret)

    async def _upgrade(self, charger_id: str, secret: bytes) -> None:
        try:
            await self._credentials.put(charger_id, await self._passwords.hash(secret))
        except StorageError as error:  # the imported hash goes on working
            log.warning("%s: its password could not be stored anew: %s", charger_id, error)
