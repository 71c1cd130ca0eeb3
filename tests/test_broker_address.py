"""Where the broker is, and who we are there."""

import re
from pathlib import Path

from ocpp_addon.broker_address import BrokerAddress, client_id
from ocpp_addon.config import MqttSettings


def test_the_client_id_is_stable_and_harmless(tmp_path: Path) -> None:
    one = client_id("ma/in+#", tmp_path)
    assert one == client_id("ma/in+#", tmp_path)
    assert one != client_id("ma/in+#", tmp_path / "other")
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,23}", one)


async def test_without_options_and_supervisor_it_is_this_machine(tmp_path: Path) -> None:
    address = await BrokerAddress(MqttSettings(), None, "main", tmp_path).find()
    assert (address.host, address.port, address.tls) == ("127.0.0.1", 1883, None)
    assert address.client_id == client_id("main", tmp_path)


async def test_what_the_options_say_counts(tmp_path: Path) -> None:
    mqtt = MqttSettings("broker", 8883, "me", "secret", tls=True, client_id="ours")
    address = await BrokerAddress(mqtt, None, "main", tmp_path).find()
    assert (address.host, address.port, address.username) == ("broker", 8883, "me")
    assert (address.password, address.client_id) == ("secret", "ours")
    assert address.tls is not None
