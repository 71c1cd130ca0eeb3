"""A real broker and this room's connection to it."""

from collections.abc import AsyncIterator

import pytest

from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.link import Address
from tests.support.mosquitto import Mosquitto


@pytest.fixture
async def mosquitto() -> AsyncIterator[Mosquitto]:
    async with Mosquitto() as broker:
        yield broker


def make_broker(
    port: int,
    *,
    username: str | None = None,
    password: str | None = None,
    client_id: str = "ocpp-test",
) -> Broker:
    async def resolve() -> Address:
        return Address("127.0.0.1", port, username, password, None, client_id)

    return Broker(resolve, "ocpp/gateway/test")
