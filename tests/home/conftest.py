"""A central system on a real database, and time that the tests choose."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ocpp_addon.database import Database
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.tags import TagPolicy

NOW = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)

OpenCentral = Callable[..., Awaitable[CentralSystem]]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "gateway.db", CentralSystem.TABLES)
    yield opened
    await opened.close()


@pytest.fixture
async def open_central(database: Database) -> AsyncIterator[OpenCentral]:
    """Open a central system; each further one is what a restart would find."""
    async with AsyncExitStack() as stack:

        async def opener(tag_policy: TagPolicy = "accept") -> CentralSystem:
            central = await CentralSystem.open(
                database, tag_policy=tag_policy, heartbeat_interval=300
            )
            stack.push_async_callback(central.close)
            return central

        yield opener


@pytest.fixture
async def central(open_central: OpenCentral) -> CentralSystem:
    return await open_central()
