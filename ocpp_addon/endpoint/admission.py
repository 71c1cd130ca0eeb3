"""Who may come in: the decision about one handshake, before any WebSocket exists."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ocpp_addon.endpoint import handshake, identity
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.lines import Lines
from ocpp_addon.endpoint.passwords import Busy, PasswordRecord, Passwords
from ocpp_addon.endpoint.throttle import Throttle
from ocpp_addon.errors import StorageError
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

ACCEPTED_LIMIT = 5000  # known chargers from which on no stranger becomes known by itself
PENDING_LIMIT = 20  # chargers that wait for approval at the same time
ODDITY_LINES = 2  # about the names of one charger in a window
LINES_WINDOW = 60.0  # seconds
NAMES_LIMIT = 1000  # chargers about whose names lines were written
TURNED_AWAY_LIMIT = 1000  # ids that a person has refused
RETRY_AFTER = "30"
NEXT_PASSWORD = "next_password"  # setting: the record of a key that the charger has yet to use
ONLY_THIS = {NEXT_PASSWORD: None}  # what a person says last counts


@dataclass(frozen=True)
class Knock:
    """The parts of a request that decide."""

    raw_path: str
    address: str
    authorization: tuple[str, ...] = field(repr=False)
    origin: str | None
    gone: Callable[[], bool] = lambda: False  # whether whoever knocked has hung up


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
        self._lines = Lines(log, ODDITY_LINES, LINES_WINDOW, NAMES_LIMIT)
        self._turned_away: dict[str, None] = {}

    def turn_away(self, charger_id: str) -> None:
        """Refuse a stranger from now on, until it is made known or the gateway restarts."""
        self._turned_away[charger_id] = None
        if len(self._turned_away) > TURNED_AWAY_LIMIT:
            del self._turned_away[next(iter(self._turned_away))]

    async def set_password(self, charger_id: str, secret: bytes | None) -> None:
        """Make a charger known; without a secret anyone may use its id. Raises StorageError."""
        record = await self._passwords.hash(secret) if secret else None
        await self._credentials.put(charger_id, record, ONLY_THIS)
        self._turned_away.pop(charger_id, None)

    async def expect_password(self, charger_id: str, secret: bytes) -> None:
        """Let a charger log in with a new secret too, and with nothing else once it has done so.

        For a key that the charger accepted (security whitepaper A01.FR.03). Raises StorageError.
        """
        record = await self._passwords.hash(secret)
        await self._credentials.update_settings(charger_id, {NEXT_PASSWORD: record.to_json()})

    async def decide(self, knock: Knock) -> Admitted:
        """Return who comes in; raises Refusal, or ConnectionResetError when it has hung up."""
        if not handshake.origin_allowed(knock.origin):
            raise Refusal(403, "browser_origin", "Web pages may not connect here.")
        sent, credentials, broken = self._who(knock)
        charger_id = sent if sent in self._credentials else self._in_other_case(sent)
        if charger_id is None:
            return await self._stranger(sent, credentials, broken)
        try:
            authenticated = await self._proof(charger_id, knock, credentials, broken)
        except Refusal as refusal:
            if charger_id == sent or refusal.status != 401:
                raise
            return await self._stranger(sent, credentials, broken)  # only its name is alike
        if authenticated and charger_id not in self._credentials:  # forgotten meanwhile
            return await self._stranger(sent, credentials, broken)
        if charger_id != sent:
            text = "%s connects as %s: its id is written in another case now"
            self._warn(charger_id, text, sent)
        if credentials is not None and credentials.user not in (None, charger_id, sent):
            self._warn(charger_id, "%s: its user name %s differs from its id", credentials.user)
        secret = credentials.secret if credentials is not None else None
        return Admitted(charger_id, secret, authenticated, pending=False)

    def _warn(self, charger_id: str, text: str, name: str | None) -> None:
        self._lines.add(charger_id, logging.WARNING, text, printable(charger_id), printable(name))

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

    def _in_other_case(self, sent: str) -> str | None:
        """Return the known charger that may be meant: new firmware writes some ids otherwise."""
        known = self._credentials.find_case_insensitive(sent)
        if known is None or sent in self._turned_away or self._unknown_chargers == "accept":
            return None
        provable = self._credentials.protected(known)
        return known if provable or self._unknown_chargers == "ask" else None

    async def _stranger(
        self,
        charger_id: str,
        credentials: handshake.Basic | None,
        broken: handshake.BadCredentials | None,
    ) -> Admitted:
        secret = credentials.secret if credentials is not None else None
        if self._unknown_chargers == "accept":
            if len(self._credentials.ids()) >= ACCEPTED_LIMIT:
                headers = {"Retry-After": RETRY_AFTER}
                raise Refusal(
                    503, "known_full", "Too many chargers are known.", charger_id, headers
                )
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
        if charger_id in self._turned_away:
            raise Refusal(403, "turned_away", "A person refused this charger.", charger_id)
        if broken is not None:
            raise Refusal(400, "bad_credentials", str(broken), charger_id)
        waiting = self._pending()
        if charger_id not in waiting and len(waiting) >= PENDING_LIMIT:
            sentence = "Too many new chargers wait for approval."
            raise Refusal(503, "pending_full", sentence, charger_id, {"Retry-After": RETRY_AFTER})
        return Admitted(charger_id, secret, authenticated=False, pending=True)

    async def _proof(
        self,
        charger_id: str,
        knock: Knock,
        credentials: handshake.Basic | None,
        broken: handshake.BadCredentials | None,
    ) -> bool:
        """Tell whether a known charger has proved who it is; raises Refusal if it has to."""
        if self._credentials.protected(charger_id):
            await self._authenticate(charger_id, knock, credentials, broken)
            return True
        if credentials is None:
            return False
        return await self._has_next_password(charger_id, credentials.secret, knock.gone)

    async def _authenticate(
        self,
        charger_id: str,
        knock: Knock,
        credentials: handshake.Basic | None,
        broken: handshake.BadCredentials | None,
    ) -> None:
        challenge = {"WWW-Authenticate": 'Basic realm="OCPP"'}
        now = asyncio.get_running_loop().time
        key = (charger_id, knock.address)
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
        secret = credentials.secret
        if record is not None and await self._is_right(charger_id, record, secret, knock.gone):
            if self._credentials.password(charger_id) not in (record, None):  # meanwhile
                return await self._authenticate(charger_id, knock, credentials, broken)
            if self._passwords.needs_upgrade(record):
                await self._upgrade(charger_id, record, secret)
        elif not await self._has_next_password(charger_id, secret, knock.gone):
            self._failures.count(key, now())
            raise Refusal(401, "wrong_password", "The password is wrong.", charger_id, challenge)
        self._failures.forget(key)

    async def _has_next_password(
        self, charger_id: str, secret: bytes, gone: Callable[[], bool]
    ) -> bool:
        """Tell whether a charger uses the key that it was given last; then only that one counts.

        Until then its old one goes on working, as it may have said Accepted and stored nothing.
        """
        try:
            record = PasswordRecord.from_json(
                self._credentials.settings(charger_id).get(NEXT_PASSWORD)
            )
        except ValueError:
            return False
        if not await self._is_right(charger_id, record, secret, gone):
            return False

        def still_next() -> bool:
            return self._credentials.settings(charger_id).get(NEXT_PASSWORD) == record.to_json()

        if not await self._store(charger_id, record, {NEXT_PASSWORD: None}, still_next):
            return False
        log.info("%s uses its new password", printable(charger_id))
        return True

    async def _upgrade(self, charger_id: str, record: PasswordRecord, secret: bytes) -> None:
        """Replace a record of another kind, unless a person has changed something meanwhile."""
        better = await self._passwords.hash(secret)
        await self._store(
            charger_id, better, {}, lambda: self._credentials.password(charger_id) == record
        )

    async def _is_right(
        self, charger_id: str, record: PasswordRecord, secret: bytes, gone: Callable[[], bool]
    ) -> bool:
        try:
            return await self._passwords.verify(charger_id, record, secret, gone)
        except Busy:
            sentence = "Too many chargers log in at once."
            headers = {"Retry-After": RETRY_AFTER}
            raise Refusal(503, "busy", sentence, charger_id, headers) from None

    async def _store(
        self,
        charger_id: str,
        record: PasswordRecord,
        changes: dict[str, None],
        still: Callable[[], bool],
    ) -> bool:
        """Store a password unless a person has done something meanwhile; False tells so."""
        try:
            return await self._credentials.put(charger_id, record, changes, still=still)
        except StorageError as error:  # what is stored goes on working
            log.warning("%s: its password could not be stored: %s", printable(charger_id), error)
            return True
