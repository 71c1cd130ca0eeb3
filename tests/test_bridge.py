"""What the hall does between the rooms, beyond carrying messages."""

from pathlib import Path

from tests.stand import stand, until

KEY = "00112233445566778899aabbccddeeff00112233"


async def test_a_key_that_a_charger_accepts_is_its_next_password(tmp_path: Path) -> None:
    chargers = [{"id": "CP1", "password": "the-old-password"}]
    async with stand(tmp_path, unknown_chargers="refuse", chargers=chargers) as one:
        settings = one.gateway.endpoint.credentials.settings
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
