"""How secrets of chargers are hashed and checked; knows no files, no requests and no chargers."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import random
import re
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import bcrypt

COST = 10  # 60 ms on a PC, 300 ms on a small board
THREADS = 2  # more of them make the event loop wait
NICENESS = 2  # of these threads
IN_HAND = 2 * THREADS  # checks given to the threads: one each to do, one to go on with
WAITING_LINE = 2048  # checks before that, of all chargers
LONGEST_WAIT = 25.0  # seconds there: many clients give a handshake up after 30
SHORTEST_WAIT = 15.0  # drawn in between, so that a crowd is not sent away, and back, all at once
WAITING_PER_CHARGER = 4  # so that one id cannot fill the line
VERIFIED_LIMIT = 4096  # secrets remembered as right
LONGEST_PLAIN = 72  # bytes that bcrypt itself takes

OURS = "bcrypt-sha256"  # bcrypt over base64(SHA-256(canonical secret))
PLAIN = "bcrypt"  # imported: bcrypt over the secret
_HASH = re.compile(r"\$2[aby]\$(\d\d)\$.{53}")
_HEX_KEY = re.compile(rb"(?:[0-9A-Fa-f]{2}){16,}")


class Busy(Exception):
    """Tell that too many checks are waiting: the charger should come again later."""


def canonical(secret: bytes) -> bytes:
    """Return the form in which secrets are compared.

    Chargers send a key either as its bytes or as the hex digits that a person typed
    (OCPP-J 6.2.2, errata J 3.10), so 32 or more digits, an even number, become bytes.
    """
    return bytes.fromhex(secret.decode()) if _HEX_KEY.fullmatch(secret) else secret


@dataclass(frozen=True)
class PasswordRecord:
    """Hold what is stored of a secret. Raises ValueError when it could never be checked."""

    scheme: str
    hash: str = field(repr=False)

    def __post_init__(self) -> None:
        form = _HASH.fullmatch(self.hash)
        if self.scheme not in {OURS, PLAIN}:
            raise ValueError("the password has an unknown scheme")
        if form is None or not self.hash.isascii() or not 4 <= int(form[1]) <= 14:
            raise ValueError("the password is no bcrypt hash of a cost from 4 to 14")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `to_json` gave; raises ValueError."""
        match value:
            case {"scheme": str(scheme), "hash": str(text)}:
                return cls(scheme, text)
        raise ValueError("the password is not an object with scheme and hash")

    def to_json(self) -> dict[str, str]:
        """Return the record as a JSON object."""
        return {"scheme": self.scheme, "hash": self.hash}


class Passwords:
    """Hash and check secrets in two threads of its own, never on the event loop."""

    def __init__(self, cost: int = COST) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(
            THREADS, thread_name_prefix="bcrypt", initializer=_give_way
        )
        self._hands = asyncio.Semaphore(IN_HAND)
        self._waiting = 0
        self._checking: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = {}
        # A keyed hash of id and secret -> the password hash it was right for.
        self._verified: OrderedDict[bytes, str] = OrderedDict()
        self._key = secrets.token_bytes(32)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is waiting and wait for the checks that run (a fraction of a second)."""
        self._threads.shutdown(cancel_futures=True)

    async def hash(self, secret: bytes) -> PasswordRecord:
        """Return a new record for `secret`."""
        return await asyncio.wrap_future(self._threads.submit(_hash, secret, self._cost))

    async def verify(
        self,
        charger_id: str,
        record: PasswordRecord,
        secret: bytes,
        gone: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Tell whether `secret` is right.

        Raises Busy when too many are waiting, or it has waited too long; ConnectionResetError
        if it is `gone` when it is its turn: chargers that give up must not cost time.
        """
        key = self._cache_key(charger_id, secret)
        if self._is_verified(key, record):
            return True
        if self._checking[charger_id] >= WAITING_PER_CHARGER:
            raise Busy
        self._checking[charger_id] += 1
        try:
            async with self._turns.setdefault(charger_id, asyncio.Lock()):
                if self._is_verified(key, record):
                    return True
                if not await self._in_thread(lambda: _check(record, secret), gone):
                    return False
        finally:
            self._checking[charger_id] -= 1
            if not self._checking[charger_id]:
                del self._checking[charger_id]
                del self._turns[charger_id]
        self._verified[key] = record.hash
        if len(self._verified) > VERIFIED_LIMIT:
            self._verified.popitem(last=False)
        return True

    def needs_upgrade(self, record: PasswordRecord) -> bool:
        """Tell whether `record` should be replaced by a new one at the next success."""
        return record.scheme != OURS or not record.hash.startswith(f"$2b${self._cost:02d}$")

    def _cache_key(self, charger_id: str, secret: bytes) -> bytes:
        text = charger_id.encode("utf-8", "surrogatepass") + b"\0" + secret
        return hmac.digest(self._key, text, "sha256")

    def _is_verified(self, key: bytes, record: PasswordRecord) -> bool:
        if self._verified.get(key) != record.hash:
            return False
        self._verified.move_to_end(key)
        return True

    async def _in_thread(self, check: Callable[[], bool], gone: Callable[[], bool]) -> bool:
        if self._waiting >= WAITING_LINE:
            raise Busy
        self._waiting += 1
        try:
            async with asyncio.timeout(random.uniform(SHORTEST_WAIT, LONGEST_WAIT)):
                await self._hands.acquire()
        except TimeoutError:
            raise Busy from None
        finally:
            self._waiting -= 1
        if gone():
            self._hands.release()
            raise ConnectionResetError("the charger has hung up")
        loop = asyncio.get_running_loop()
        job = self._threads.submit(check)
        # By the thread and not by who waits: an awaiting task may be cancelled while its check
        # still runs.
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._hands.release))
        return await asyncio.wrap_future(job)


def _give_way() -> None:
    """Let the event loop go first: chargers that are in must not notice those that come."""
    with contextlib.suppress(OSError, AttributeError):
        # On Linux this is about the thread alone.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _prepared(secret: bytes) -> bytes:
    # bcrypt takes 72 bytes at most; this makes 44 of any secret.
    return base64.b64encode(hashlib.sha256(canonical(secret)).digest())


def _hash(secret: bytes, cost: int) -> PasswordRecord:
    return PasswordRecord(OURS, bcrypt.hashpw(_prepared(secret), bcrypt.gensalt(cost)).decode())


def _check(record: PasswordRecord, secret: bytes) -> bool:
    if record.scheme == OURS:
        candidates = {_prepared(secret)}
    else:
        candidates = {form for form in (secret, canonical(secret)) if len(form) <= LONGEST_PLAIN}
    stored = record.hash.encode()
    try:
        return any(bcrypt.checkpw(candidate, stored) for candidate in candidates)
    except ValueError:
        return False  # looks like a hash and is none: its salt does not decode
