import asyncio
import threading

import bcrypt
import pytest

from ocpp_addon.endpoint import passwords as module
from ocpp_addon.endpoint.passwords import (
    IN_HAND,
    VERIFIED_LIMIT,
    WAITING_LINE,
    WAITING_PER_CHARGER,
    Busy,
    PasswordRecord,
    Passwords,
    canonical,
)

COST = 4
KEY = bytes(range(20))
SOUND = "$2b$10$" + "a" * 53


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        (b"", b""),
        (b"secret", b"secret"),
        (b"00" * 15, b"00" * 15),
        (b"00" * 16, bytes(16)),
        (b"0" * 33, b"0" * 33),
        (b"aB" * 20, b"\xab" * 20),
        (b"aB" * 20 + b"\n", b"aB" * 20 + b"\n"),
        (b"g" * 40, b"g" * 40),
        (KEY.hex().encode(), KEY),
        (KEY, KEY),
    ],
)
def test_canonical_form(secret: bytes, form: bytes) -> None:
    assert canonical(secret) == form


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {},
        {"scheme": "bcrypt"},
        {"scheme": "bcrypt", "hash": None},
        {"scheme": "plain", "hash": SOUND},
        {"scheme": "bcrypt", "hash": SOUND + "\n"},
        {"scheme": "bcrypt", "hash": SOUND[:-1]},
        {"scheme": "bcrypt", "hash": SOUND.replace("$2b", "$2x")},
        {"scheme": "bcrypt", "hash": SOUND.replace("10", "03")},
        {"scheme": "bcrypt", "hash": SOUND.replace("10", "15")},
        {"scheme": "bcrypt", "hash": SOUND.replace("10", "١٠")},
    ],
)
def test_records_that_could_never_be_checked_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the password"):
        PasswordRecord.from_json(value)


def test_records_survive_json_and_hide_their_hash() -> None:
    record = PasswordRecord("bcrypt", SOUND)
    assert PasswordRecord.from_json(record.to_json()) == record
    assert SOUND not in repr(record)


@pytest.mark.parametrize(
    ("stored", "sent", "right"),
    [
        (b"secret", b"secret", True),
        (b"secret", b"Secret", False),
        (b"secret", b"secret\0", False),
        (b"a\0b", b"a\0c", False),
        (b"", b"", True),
        (KEY, KEY, True),
        (KEY, KEY.hex().encode(), True),
        (KEY.hex().upper().encode(), KEY, True),
        (b"x" * 100 + b"1", b"x" * 100 + b"2", False),
        (b"x" * 100, b"x" * 100, True),
    ],
)
async def test_own_scheme(stored: bytes, sent: bytes, right: bool) -> None:
    async with Passwords(COST) as passwords:
        record = await passwords.hash(stored)
        assert record.scheme == "bcrypt-sha256"
        assert await passwords.verify("CP1", record, sent) is right
        assert not passwords.needs_upgrade(record)


@pytest.mark.parametrize(
    ("stored", "sent", "right"),
    [
        (b"secret", b"secret", True),
        (b"secret", b"wrong", False),
        (KEY, KEY, True),
        (KEY, KEY.hex().encode(), True),
        (KEY.hex().encode(), KEY.hex().encode(), True),
        (b"x" * 72, b"x" * 73, False),
        (b"0" * 72, b"0" * 80, False),
    ],
)
@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
async def test_imported_hashes(stored: bytes, sent: bytes, right: bool, prefix: str) -> None:
    text = bcrypt.hashpw(stored, bcrypt.gensalt(COST)).decode().replace("$2b$", f"${prefix}$")
    record = PasswordRecord("bcrypt", text)
    async with Passwords(COST) as passwords:
        assert await passwords.verify("CP1", record, sent) is right
        assert passwords.needs_upgrade(record)


async def test_a_hash_without_a_sound_salt_fits_no_secret() -> None:
    async with Passwords(COST) as passwords:
        record = PasswordRecord("bcrypt", "$2b$04$" + "!" * 53)
        assert not await passwords.verify("CP1", record, b"secret")


async def test_a_record_of_another_cost_is_to_be_replaced() -> None:
    async with Passwords(COST) as cheap, Passwords(COST + 1) as dear:
        assert dear.needs_upgrade(await cheap.hash(b"secret"))


class Checks:
    """Stands for bcrypt: counts checks, and holds them until `go`."""

    def __init__(self) -> None:
        self.count = 0
        self.running = 0
        self.most = 0
        self.started = threading.Event()
        self.go = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, record: PasswordRecord, secret: bytes) -> bool:
        with self._lock:
            self.count += 1
            self.running += 1
            self.most = max(self.most, self.running)
        self.started.set()
        self.go.wait(30)
        with self._lock:
            self.running -= 1
        return secret == b"right"


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    checks = Checks()
    monkeypatch.setattr(module, "_check", checks)
    return checks


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


RECORD = PasswordRecord("bcrypt-sha256", SOUND)
OTHER = PasswordRecord("bcrypt-sha256", SOUND[:-1] + "b")


async def test_right_secrets_are_remembered_wrong_ones_are_not(checks: Checks) -> None:
    checks.go.set()
    async with Passwords(COST) as passwords:
        for record, charger_id, secret, right, count in [
            (RECORD, "CP1", b"right", True, 1),
            (RECORD, "CP1", b"right", True, 1),
            (RECORD, "CP2", b"right", True, 2),
            (RECORD, "CP1", b"wrong", False, 3),
            (RECORD, "CP1", b"wrong", False, 4),
            (OTHER, "CP1", b"right", True, 5),
            (RECORD, "CP1", b"right", True, 6),
        ]:
            assert await passwords.verify(charger_id, record, secret) is right
            assert checks.count == count


async def test_remembers_a_bounded_number(checks: Checks) -> None:
    checks.go.set()
    async with Passwords(COST) as passwords:
        for number in range(VERIFIED_LIMIT + 1):
            await passwords.verify(f"CP{number}", RECORD, b"right")
        assert len(passwords._verified) == VERIFIED_LIMIT
        await passwords.verify(f"CP{VERIFIED_LIMIT}", RECORD, b"right")
        assert checks.count == VERIFIED_LIMIT + 1
        await passwords.verify("CP0", RECORD, b"right")
        assert checks.count == VERIFIED_LIMIT + 2
        assert not passwords._turns and not passwords._checking


async def test_one_check_per_charger_at_a_time(checks: Checks) -> None:
    async with Passwords(COST) as passwords, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(passwords.verify("CP1", RECORD, b"right"))
            for _ in range(WAITING_PER_CHARGER)
        ]
        await settle()
        with pytest.raises(Busy):
            await passwords.verify("CP1", RECORD, b"right")
        checks.go.set()
        assert all([await task for task in tasks])
    assert (checks.count, checks.most) == (1, 1)


async def test_different_secrets_of_one_charger_take_turns(checks: Checks) -> None:
    async with Passwords(COST) as passwords, asyncio.TaskGroup() as group:
        for secret in (b"a", b"b", b"right"):
            group.create_task(passwords.verify("CP1", RECORD, secret))
        await settle()
        checks.go.set()
    assert (checks.count, checks.most) == (3, 1)


async def test_the_waiting_line_is_bounded(checks: Checks) -> None:
    async with Passwords(COST) as passwords:
        async with asyncio.TaskGroup() as group:
            for number in range(IN_HAND + WAITING_LINE):
                group.create_task(passwords.verify(f"CP{number}", RECORD, b"wrong"))
            await settle()
            with pytest.raises(Busy):
                await passwords.verify("CP", RECORD, b"right")
            checks.go.set()
        assert await passwords.verify("CP", RECORD, b"right")
        assert checks.most == 2


async def test_who_gives_up_waiting_frees_no_thread_that_still_works(checks: Checks) -> None:
    async with Passwords(COST) as passwords:
        given_up = asyncio.create_task(passwords.verify("CP", RECORD, b"right"))
        await asyncio.to_thread(checks.started.wait, 30)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert not passwords._turns and not passwords._checking
        async with asyncio.TaskGroup() as group:
            for number in range(IN_HAND - 1 + WAITING_LINE):
                group.create_task(passwords.verify(f"CP{number}", RECORD, b"wrong"))
            await settle()
            with pytest.raises(Busy):
                await passwords.verify("CP", RECORD, b"right")
            checks.go.set()


async def test_nobody_waits_for_long(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORTEST_WAIT", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.02)
    async with Passwords(COST) as passwords, asyncio.TaskGroup() as group:
        for number in range(IN_HAND):
            group.create_task(passwords.verify(f"CP{number}", RECORD, b"wrong"))
        await settle()
        with pytest.raises(Busy):
            await passwords.verify("CP", RECORD, b"right")
        checks.go.set()
    assert checks.count == IN_HAND
    assert not passwords._waiting


async def test_whoever_has_hung_up_costs_no_check(checks: Checks) -> None:
    async with Passwords(COST) as passwords, asyncio.TaskGroup() as group:
        for number in range(IN_HAND):
            group.create_task(passwords.verify(f"CP{number}", RECORD, b"wrong"))
        await settle()
        gone = [
            asyncio.create_task(passwords.verify(f"gone{n}", RECORD, b"right", lambda: True))
            for n in range(IN_HAND + 1)
        ]
        await settle()
        checks.go.set()
        await asyncio.wait(gone)
        assert all(isinstance(one.exception(), ConnectionResetError) for one in gone)
        assert await passwords.verify("CP", RECORD, b"right")
    assert checks.count == IN_HAND + 1


async def test_the_event_loop_runs_on_during_a_check(checks: Checks) -> None:
    async with Passwords(COST) as passwords, asyncio.TaskGroup() as group:
        task = group.create_task(passwords.verify("CP1", RECORD, b"right"))
        await asyncio.to_thread(checks.started.wait, 30)
        assert not task.done()
        checks.go.set()
