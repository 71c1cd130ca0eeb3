"""Who may come in: what the handshake tests over sockets do not show."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Literal

import bcrypt
import pytest

from ocpp_addon.endpoint import credentials as module
from ocpp_addon.endpoint.admission import (
    NEXT_PASSWORD,
    TURNED_AWAY_LIMIT,
    Admission,
    Knock,
    Refusal,
)
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.identity import RESERVED
from ocpp_addon.endpoint.passwords import OURS, PLAIN, PasswordRecord, Passwords
from tests.support.stand import basic

OLD, NEW = b"old-password-16b", b"new-password-16b"


def knock(secret: bytes | None, charger_id: str = "CP1") -> Knock:
    headers = (basic(charger_id, secret),) if secret is not None else ()
    return Knock(f"/ocpp/{charger_id}", "127.0.0.1", headers, None)


async def test_an_accepted_key_counts_beside_the_old_one_until_it_is_used(tmp_path: Path) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        await credentials.put("CP1", await passwords.hash(OLD))
        await credentials.update_settings(
            "CP1", {NEXT_PASSWORD: (await passwords.hash(NEW)).to_json()}
        )
        assert (await admission.decide(knock(OLD))).authenticated
        assert (await admission.decide(knock(NEW))).authenticated
        with pytest.raises(Refusal) as refused:
            await admission.decide(knock(OLD))
        assert (refused.value.status, refused.value.code) == (401, "wrong_password")
        assert (await admission.decide(knock(NEW))).authenticated
        assert NEXT_PASSWORD not in credentials.settings("CP1")


async def test_a_charger_without_password_gets_one_by_using_its_new_key(tmp_path: Path) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        await credentials.put("CP1", None)
        await credentials.update_settings(
            "CP1", {NEXT_PASSWORD: (await passwords.hash(NEW)).to_json()}
        )
        assert not (await admission.decide(knock(None))).authenticated
        assert not (await admission.decide(knock(b"anything"))).authenticated
        assert (await admission.decide(knock(NEW))).authenticated
        with pytest.raises(Refusal):
            await admission.decide(knock(b"anything"))


async def imported(credentials: Credentials, secret: bytes) -> None:
    """Store a password as another program would have hashed it."""
    text = bcrypt.hashpw(secret, bcrypt.gensalt(4)).decode()
    await credentials.put("CP1", PasswordRecord(PLAIN, text))


async def test_an_imported_password_is_hashed_anew_and_a_next_one_still_counts(
    tmp_path: Path,
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        await imported(credentials, OLD)
        following = (await passwords.hash(NEW)).to_json()
        await credentials.update_settings("CP1", {NEXT_PASSWORD: following})
        assert (await admission.decide(knock(OLD))).authenticated
        record = credentials.password("CP1")
        assert record is not None
        assert record.scheme == OURS
        assert (await admission.decide(knock(NEW))).authenticated
        with pytest.raises(Refusal):
            await admission.decide(knock(OLD))


@pytest.mark.parametrize("forgotten", [True, False])
async def test_who_logs_in_undoes_nothing_that_a_person_did_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        await imported(credentials, OLD)
        other = await passwords.hash(NEW)
        hash_now = passwords.hash

        async def hash_slowly(secret: bytes) -> PasswordRecord:
            if forgotten:
                await credentials.remove("CP1")
            else:
                await credentials.put("CP1", other)
            return await hash_now(secret)

        monkeypatch.setattr(passwords, "hash", hash_slowly)
        with contextlib.suppress(Refusal):
            await admission.decide(knock(OLD))
        assert ("CP1" in credentials) is not forgotten
        assert credentials.password("CP1") == (None if forgotten else other)


@pytest.mark.parametrize("forgotten", [True, False])
async def test_who_uses_a_next_password_undoes_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: bool
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        await credentials.put("CP1", None)
        following = (await passwords.hash(NEW)).to_json()
        await credentials.update_settings("CP1", {NEXT_PASSWORD: following})
        verify_now = passwords.verify

        async def verify_slowly(*arguments: Any) -> bool:
            if forgotten:
                await credentials.remove("CP1")
            else:
                await credentials.update_settings("CP1", {NEXT_PASSWORD: None})
            return await verify_now(*arguments)

        monkeypatch.setattr(passwords, "verify", verify_slowly)
        with contextlib.suppress(Refusal):
            await admission.decide(knock(NEW))
        assert ("CP1" in credentials) is not forgotten
        assert credentials.password("CP1") is None


@pytest.mark.parametrize("following", [True, False])
async def test_who_logs_in_while_a_charger_is_forgotten_brings_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, following: bool
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        if following:
            await credentials.put("CP1", await passwords.hash(OLD))
            record = (await passwords.hash(NEW)).to_json()
            await credentials.update_settings("CP1", {NEXT_PASSWORD: record})
        else:
            await imported(credentials, NEW)
        write, writing, written = module._write, asyncio.Event(), asyncio.Event()

        async def write_slowly(path: Path, content: bytes) -> None:
            writing.set()
            await written.wait()
            await write(path, content)

        monkeypatch.setattr(module, "_write", write_slowly)
        forgetting = asyncio.create_task(credentials.remove("CP1"), name="forget")
        await writing.wait()
        coming = asyncio.create_task(admission.decide(knock(NEW)), name="log in")
        while len(credentials._saving._waiters or ()) == 0:  # the login waits behind the removal
            await asyncio.sleep(0.01)
        written.set()
        await forgetting
        with pytest.raises(Refusal):
            await coming
        assert "CP1" not in credentials


async def test_a_password_that_is_changed_while_it_is_checked_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        await credentials.put("CP1", await passwords.hash(OLD))
        other = await passwords.hash(NEW)
        verify_now = passwords.verify

        async def verify_slowly(*arguments: Any) -> bool:
            right = await verify_now(*arguments)
            await credentials.put("CP1", other)
            return right

        monkeypatch.setattr(passwords, "verify", verify_slowly)
        with pytest.raises(Refusal) as refused:
            await admission.decide(knock(OLD))
        assert refused.value.code == "wrong_password"


async def test_failures_are_slowed_without_hashing(tmp_path: Path) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        await credentials.put("CP1", await passwords.hash(OLD))
        statuses = []
        for _ in range(14):
            with pytest.raises(Refusal) as refused:
                await admission.decide(knock(b"wrong"))
            statuses.append(refused.value.status)
        assert statuses[:11] == [401] * 11
        assert set(statuses[11:]) == {429}


@pytest.mark.parametrize("unknown", ["ask", "refuse"])
async def test_an_id_may_change_its_case(
    tmp_path: Path, unknown: Literal["ask", "refuse"], caplog: pytest.LogCaptureFixture
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, unknown, RESERVED, set)
        await credentials.put("CP1", await passwords.hash(OLD))
        admitted = await admission.decide(knock(OLD, "cp1"))
        assert (admitted.charger_id, admitted.authenticated) == ("CP1", True)
        assert "CP1 connects as cp1" in caplog.text
        assert "user name" not in caplog.text


async def test_odd_names_do_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "ask", RESERVED, set)
        await credentials.put("CP1", None)
        for number in range(50):
            odd = Knock("/ocpp/cp1", "127.0.0.1", (basic(f"user{number}", "x"),), None)
            assert (await admission.decide(odd)).charger_id == "CP1"
    assert "connects as cp1" in caplog.text and "its user name user0" in caplog.text
    assert len(caplog.messages) == 3  # with one that says that more are left out


async def test_who_is_only_called_alike_is_a_stranger(tmp_path: Path) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        await credentials.put("CP1", await passwords.hash(OLD))
        asking = Admission(credentials, passwords, "ask", RESERVED, set)
        for secret in (None, b"wrong"):
            admitted = await asking.decide(knock(secret, "cp1"))
            assert (admitted.charger_id, admitted.pending) == ("cp1", True)
        for _ in range(10):  # but it may not try out passwords
            await asking.decide(knock(b"wrong", "cp1"))
        with pytest.raises(Refusal) as refused:
            await asking.decide(knock(OLD, "cp1"))
        assert refused.value.status == 429
        refusing = Admission(credentials, passwords, "refuse", RESERVED, set)
        await credentials.put("OPEN", None)
        for stranger in ("cp1", "open"):
            with pytest.raises(Refusal, match=f"There is {stranger.upper()}") as refused:
                await refusing.decide(knock(None, stranger))
            assert refused.value.status == 404
        assert (await asking.decide(knock(None, "open"))).charger_id == "OPEN"
        accepting = Admission(credentials, passwords, "accept", RESERVED, set)
        assert (await accepting.decide(knock(OLD, "cp1"))).charger_id == "cp1"


async def test_only_so_many_refusals_are_remembered(tmp_path: Path) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "ask", RESERVED, set)
        for number in range(TURNED_AWAY_LIMIT + 1):
            admission.turn_away(f"CP{number}")
        assert (await admission.decide(knock(None, "CP0"))).pending
        with pytest.raises(Refusal) as refused:
            await admission.decide(knock(None, "CP1"))
        assert (refused.value.status, refused.value.code) == (403, "turned_away")
