"""Who has signed in with the token, and the tokens that prove a form to be ours."""

import asyncio
import hmac
import secrets

SESSIONS_LIMIT = 64
SESSION_LENGTH = 30 * 86_400.0  # seconds; a restart ends all sessions
FAILURES_LIMIT = 10  # wrong tokens from one address within
FAILURES_WINDOW = 60.0  # seconds
ADDRESSES_LIMIT = 1024


class Logins:
    """Keep sessions in memory, the oldest go first; times are the loop's."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._key = secrets.token_bytes(32)
        self._sessions: dict[str, float] = {}
        self._failures: dict[str, list[float]] = {}

    @property
    def needed(self) -> bool:
        """Tell whether there is a token at all."""
        return self._token is not None

    def fits(self, token: str, address: str) -> bool:
        """Tell whether this is the token; False while too many wrong ones come from there."""
        if self._token is None:
            return False
        if self.is_blocked(address):
            return False
        if hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            return True
        failures = self._failures.pop(address, [])
        self._failures[address] = [*failures, asyncio.get_running_loop().time()]
        if len(self._failures) > ADDRESSES_LIMIT:
            del self._failures[next(iter(self._failures))]
        return False

    def is_blocked(self, address: str) -> bool:
        """Tell whether too many wrong tokens came from there lately."""
        now = asyncio.get_running_loop().time()
        recent = [at for at in self._failures.get(address, ()) if now - at < FAILURES_WINDOW]
        if address in self._failures:
            self._failures[address] = recent
        return len(recent) >= FAILURES_LIMIT

    def open(self) -> str:
        """Begin a session and return its name, which only its browser may know."""
        session = secrets.token_urlsafe(32)
        now = asyncio.get_running_loop().time()
        self._sessions[session] = now + SESSION_LENGTH
        if len(self._sessions) > SESSIONS_LIMIT:
            del self._sessions[next(iter(self._sessions))]
        return session

    def is_open(self, session: str) -> bool:
        """Tell whether a session runs."""
        until = self._sessions.get(session)
        return until is not None and asyncio.get_running_loop().time() < until

    def close(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(session, None)

    def form_token(self, session: str) -> str:
        """Return what our forms carry in this session, and pages of others cannot know."""
        return hmac.new(self._key, session.encode("utf-8", "replace"), "sha256").hexdigest()

    def is_our_form(self, session: str, form_token: str) -> bool:
        """Tell whether a form was made for this session."""
        expected = self.form_token(session).encode()
        return hmac.compare_digest(form_token.encode("utf-8", "replace"), expected)
