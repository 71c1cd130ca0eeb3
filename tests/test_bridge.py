"""What the hall does between the rooms, beyond carrying messages."""

import json
import logging
from pathlib import Path

import pytest

from tests.support.patience import until
from tests.support.stand import basic, stand
from tests.support.wire import knock, wire

KEY = "00112233445566778899aabbccddeeff00112233"


async def test_a_key_that_a_charger_accepts_is_its_next_password(tmp_path: Path) -> None:
    chargers = [{"id": "CP1", "password": "the-old-password"}]
    async with stand(tmp_path, unknown_chargers="refuse", chargers=chargers) as one:
        settings = one.gateway.credentials.settings
        async with one.charger("CP1", "the-old-password") as charger:
            for status in ("Rejected", "Accepted"):
                payload = {"key": "AuthorizationKey", "value": KEY}
                command = {"Action": "ChangeConfiguration", "Payload": payload}
                await one.watch.publish("ocpp/CP1/Call/x", command)
                call = await charger.receive()
                assert "next_password" not in settings("CP1")
                await charger.send([3, call[1], {"status": status}])
            await until(lambda: "next_password" in settings("CP1"))
        async with one.charger("CP1", KEY) as charger:
            assert (await charger.boot())["status"] == "Accepted"
        assert "next_password" not in settings("CP1")
        assert KEY not in (tmp_path / "chargers.json").read_text()


async def test_a_password_that_a_person_sets_counts_alone(tmp_path: Path) -> None:
    chargers = [{"id": "CP1", "password": "the-old-password"}]
    async with stand(tmp_path, unknown_chargers="refuse", chargers=chargers) as one:
        await one.gateway.membership.expect_password("CP1", b"accepted-long-ago")
        body = {"password": "what-a-person-set"}
        assert (await one.request("PUT", "api/chargers/CP1", body))[0] == 200
        for password, status in (("accepted-long-ago", 401), ("what-a-person-set", 101)):
            header = f"Authorization: {basic('CP1', password)}"
            assert (await knock(one.port, "/ocpp/CP1", header)).status == status


async def test_no_secret_is_logged_even_when_debugging(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker_secret = {"username": "somebody", "password": "the-brokers-password"}
    chargers = [{"id": "CP1", "password": "the-old-password"}]
    header = f"Authorization: {basic('CP1', 'the-old-password')}"
    async with stand(tmp_path) as one:
        mqtt = {"host": "127.0.0.1", "port": one.mosquitto.port, **broker_secret}
        async with (
            one.run(mqtt=mqtt, chargers=chargers, name="second", web_token="the-web-token"),
            wire(one.port, "/ocpp/CP1", header) as charger,
        ):
            payload = {"key": "AuthorizationKey", "value": KEY}
            command = {"Action": "ChangeConfiguration", "Payload": payload}
            await one.watch.publish("ocpp/CP1/Call/x", command)
            call = json.loads(await charger.expect_text())
            await charger.send(json.dumps([3, call[1], {"status": "Accepted"}]))
            settings = one.gateway.credentials.settings
            await until(lambda: "next_password" in settings("CP1"))
            await charger.send(f'[2,"1","DataTransfer",{{"password":"{KEY}"')  # and broken
            await charger.expect_text()
    assert "CP1" in caplog.text
    for secret in (KEY, "the-old-password", "the-brokers-password", "the-web-token"):
        assert secret not in caplog.text
