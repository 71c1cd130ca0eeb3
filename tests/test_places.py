"""Where chargers find this machine."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from ocpp_addon.places import Place, Places
from ocpp_addon.supervisor import Supervisor
from tests.packaging.files import CONFIG
from tests.support.fake_supervisor import FakeSupervisor


@pytest.fixture
async def supervisor() -> AsyncIterator[tuple[FakeSupervisor, Supervisor]]:
    fake = FakeSupervisor(CONFIG)
    fake.token = "token"
    async with fake.serve() as url, aiohttp.ClientSession() as session:
        yield fake, Supervisor(session, "token", url)


async def test_elsewhere_it_is_this_machine() -> None:
    place = await Places(None, None).find(33033, None)
    assert (place.port, place.tls_port) == (33033, None)
    assert place.names[0].count(".") >= 1
    assert not [address for address in place.addresses if address.startswith("127.")]


async def test_where_it_listens_is_where_it_is() -> None:
    place = await Places(None, "192.168.1.2").find(1, 2)
    assert place == Place(("192.168.1.2",), (), 1, 2)


async def test_in_home_assistant_it_is_the_host_with_its_ports(
    supervisor: tuple[FakeSupervisor, Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, asked = supervisor
    fake.config = CONFIG | {"ports": {"33033/tcp": 9000, "33034/tcp": None}}

    async def resolved(name: str) -> tuple[str, ...]:
        assert name == "homeassistant.local"
        return ("192.168.1.10",)

    monkeypatch.setattr("ocpp_addon.places._resolved", resolved)
    places = Places(asked, None)
    expected = Place(("192.168.1.10",), ("homeassistant.local",), 9000, None)
    assert await places.find(33033, 33034) == expected
    count = len(fake.asked)
    assert await places.find(33033, 33034) == expected  # kept for a while
    assert len(fake.asked) == count


@pytest.mark.parametrize("state", [{"state": "initialize"}, {"token": "another"}])
async def test_a_silent_supervisor_leaves_the_ports(
    supervisor: tuple[FakeSupervisor, Supervisor], state: dict[str, Any]
) -> None:
    fake, asked = supervisor
    for name, value in state.items():
        setattr(fake, name, value)
    assert await Places(asked, None).find(33033, None) == Place((), (), 33033, None)
