"""Who may come in: what the handshake tests over sockets do not show."""

from pathlib import Path

import pytest

from ocpp_addon.endpoint.admission import (
    NEXT_PASSWORD,
    TURNED_AWAY_LIMIT,
    Admission,
    Knock,
    Refusal,
)
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.identity import RESERVED
from ocpp_addon.endpoint.passwords import Passwords
from tests.stand import basic

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


async def test_an_id_that_differs_in_case_gets_a_hint(tmp_path: Path) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    await credentials.put("CP1", None)
    async with Passwords(cost=4) as passwords:
        admission = Admission(credentials, passwords, "refuse", RESERVED, set)
        with pytest.raises(Refusal, match="There is CP1") as refused:
            await admission.decide(knock(None, "cp1"))
        assert refused.value.status == 404


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
