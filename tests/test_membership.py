"""Who belongs here, where several things happen at once."""

from pathlib import Path
from typing import Any

import pytest

from ocpp_addon.mqtt.outbox import Outbox
from tests.support.stand import stand


async def test_who_is_about_to_come_is_subscribed_when_the_broker_comes_back(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path) as one:
        membership = one.gateway.membership
        await membership.come("CP1", pending=True)
        assert "ocpp/CP1/+/+" in membership.filters()
        await membership.leave("CP1")
        assert "ocpp/CP1/+/+" not in membership.filters()


async def test_a_charger_that_is_forgotten_while_it_is_approved_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one, one.charger("CP1") as charger:
        await charger.boot()
        release, membership = Outbox.release, one.gateway.membership

        async def release_slowly(*arguments: Any) -> None:
            await membership.forget("CP1")
            await release(*arguments)

        monkeypatch.setattr(Outbox, "release", release_slowly)
        waiting = one.gateway.roster.connection("CP1")
        assert waiting is not None
        await membership.approve(waiting)
        await one.empty()
        assert "ocpp/CP1/+/+" not in membership.filters()
        assert [seen.payload for seen in one.watch.on("ocpp/presence/CP1")] in ([], [b""])
