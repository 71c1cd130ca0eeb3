"""The inbox: stored, then emptied where the options came from, and not before."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ocpp_addon import supervisor
from ocpp_addon.config import ChargerOption
from ocpp_addon.endpoint.admission import NEXT_PASSWORD
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.endpoint.passwords import Passwords
from ocpp_addon.errors import StorageError
from ocpp_addon.inbox import Inbox
from ocpp_addon.supervisor import Supervisor
from tests.packaging.files import CONFIG
from tests.support.fake_supervisor import FakeSupervisor

CHARGERS = (ChargerOption("CP1", "s3cret-key"), ChargerOption("CP2"))
GIVEN: list[dict[str, Any]] = [{"id": "CP1", "password": "s3cret-key"}, {"id": "CP2"}]


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    async with Passwords(cost=4) as passwords:
        yield passwords


@pytest.fixture
def options(tmp_path: Path) -> Path:
    file = tmp_path / "options.json"
    file.write_text(json.dumps({"log_level": "info", "chargers": GIVEN}))
    return file


async def test_stores_hashes_and_removes_passwords_from_the_file(
    tmp_path: Path, options: Path, passwords: Passwords
) -> None:
    store = tmp_path / "chargers.json"
    for _ in range(2):  # the second start finds them in the store
        credentials = await Credentials.load(store)
        inbox = Inbox(CHARGERS, options, None)
        await inbox.take_in(credentials, passwords)
        await inbox.run()
        assert json.loads(options.read_text()) == {"log_level": "info", "chargers": []}
    assert options.stat().st_mode & 0o077 == 0
    assert "s3cret-key" not in store.read_text()
    assert store.stat().st_mode & 0o777 == 0o600
    record = credentials.password("CP1")
    assert record is not None
    assert await passwords.verify("CP1", record, b"s3cret-key")
    assert credentials.password("CP2") is None


async def test_a_new_password_replaces_the_old_one(tmp_path: Path, passwords: Passwords) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    for secret in ("old-secret", "new-secret"):
        inbox = Inbox([ChargerOption("CP1", secret)], None, None)
        await inbox.take_in(credentials, passwords)
    record = credentials.password("CP1")
    assert record is not None
    assert await passwords.verify("CP1", record, b"new-secret")
    assert not await passwords.verify("CP1", record, b"old-secret")


@pytest.mark.parametrize("password", [None, "s3cret-key"])
async def test_a_charger_whose_record_is_spoilt_is_put_anew(
    tmp_path: Path, passwords: Passwords, password: str | None
) -> None:
    store = tmp_path / "chargers.json"
    spoilt = {"CP1": {"password": "plain text", "settings": {}}}
    store.write_text(json.dumps({"version": 1, "chargers": spoilt}))
    credentials = await Credentials.load(store)
    await Inbox([ChargerOption("CP1", password)], None, None).take_in(credentials, passwords)
    assert (await Credentials.load(store)).problem is None
    assert credentials.protected("CP1") is (password is not None)


async def test_a_new_password_of_the_options_counts_alone(
    tmp_path: Path, passwords: Passwords
) -> None:
    credentials = await Credentials.load(tmp_path / "chargers.json")
    await credentials.put("CP1", None, {NEXT_PASSWORD: (await passwords.hash(b"old")).to_json()})
    await Inbox([ChargerOption("CP1", "s3cret-key")], None, None).take_in(credentials, passwords)
    assert credentials.settings("CP1") == {}


async def test_empties_the_options_in_home_assistant_once_it_is_ready(
    tmp_path: Path, passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01,) * 100)
    home = FakeSupervisor(CONFIG)
    home.chosen = {"chargers": GIVEN, "heartbeat_interval": 77}
    home.start_app(tmp_path)
    home.state = "setup"
    credentials = await Credentials.load(tmp_path / "chargers.json")
    async with home.serve() as url, aiohttp.ClientSession() as session:
        ours = Supervisor(session, home.token, url)
        inbox = Inbox(CHARGERS, tmp_path / "options.json", ours)
        await inbox.take_in(credentials, passwords)
        assert "s3cret-key" not in (tmp_path / "options.json").read_text()
        assert home.options["chargers"] == GIVEN
        home.state = "running"
        await inbox.run()
    assert home.options["chargers"] == []
    assert home.options["heartbeat_interval"] == 77


async def test_says_when_a_person_has_to_empty_them(
    tmp_path: Path,
    passwords: Passwords,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01,))
    home = FakeSupervisor(CONFIG)
    async with home.serve() as url, aiohttp.ClientSession() as session:
        inbox = Inbox(CHARGERS, None, Supervisor(session, "wrong token", url))
        await inbox.take_in(await Credentials.load(tmp_path / "chargers.json"), passwords)
        await inbox.run()
    assert "could not be removed from the options, please do that" in caplog.text
    assert "s3cret-key" not in caplog.text


async def test_what_is_not_stored_stays_in_the_options(
    tmp_path: Path,
    options: Path,
    passwords: Passwords,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse(*_: object) -> None:
        raise StorageError("The disk is full.")

    credentials = await Credentials.load(tmp_path / "chargers.json")
    monkeypatch.setattr(credentials, "put", refuse)
    inbox = Inbox(CHARGERS, options, None)
    await inbox.take_in(credentials, passwords)
    assert json.loads(options.read_text())["chargers"] == GIVEN
    assert "are not stored: The disk is full." in caplog.text


async def test_an_empty_inbox_asks_nobody() -> None:
    home = FakeSupervisor(CONFIG)
    async with home.serve() as url, aiohttp.ClientSession() as session:
        await Inbox((), None, Supervisor(session, "t", url)).run()
    assert home.asked == []
