"""Orders by MQTT and from the page, to chargers on real sockets."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon import controls
from ocpp_addon.errors import StorageError
from ocpp_addon.gateway import Gateway
from ocpp_addon.home.questions import OrderFailed
from ocpp_addon.web.backend import Refused
from tests.support.obedient import Obedient, Rule
from tests.support.patience import until
from tests.support.stand import Stand, stand


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "QUIET", 0.0)
    monkeypatch.setattr(controls, "GAP", 0.0)


def accepts(action: str, payload: Any) -> Any:
    return {"configurationKey": []} if action == "GetConfiguration" else {"status": "Accepted"}


@contextlib.asynccontextmanager
async def connected(
    one: Stand, rule: Rule = accepts, charger_id: str = "CP1"
) -> AsyncIterator[Obedient]:
    async with one.charger(charger_id) as charger:
        await charger.boot()
        await charger.call("StatusNotification", {
            "connectorId": 1, "errorCode": "NoError", "status": "Available"
        })  # fmt: skip
        obedient = Obedient(charger, rule)
        serving = asyncio.create_task(obedient.serve())
        try:
            yield obedient
        finally:
            serving.cancel()
            await asyncio.wait({serving})


async def order(gateway: Gateway, connector: int, key: str, value: str) -> None:
    await gateway.management.set("CP1", connector, key, value)


async def test_an_order_by_mqtt_reaches_the_charger(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, connected(one) as charger:
        await one.watch.publish("ocpp/set/CP1/1/charging", b"ON")
        await until(lambda: charger.asked)
        [(action, payload)] = charger.asked
        assert action == "RemoteStartTransaction"
        [tag] = [tag for tag in await one.gateway.management.tags() if tag.get("name")]
        assert payload == {"connectorId": 1, "idTag": tag["idTag"]}


async def test_a_retained_order_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand(tmp_path) as one, connected(one) as charger:
        await one.watch.publish("ocpp/set/CP1/1/unlock", b"PRESS", retain=True)
        await until(lambda: "a retained order is ignored" in caplog.text)
        await order(one.gateway, 0, "restart", "PRESS")
        assert [action for action, _ in charger.asked] == ["Reset"]


async def test_an_unfit_order_is_a_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand(tmp_path) as one, connected(one) as charger:
        await one.watch.publish("ocpp/set/CP1/1/charging", b"\xff\n")
        await until(lambda: "is not ON or OFF" in caplog.text)
        assert "\n" not in caplog.messages[-1]
        assert charger.asked == []


async def test_the_page_learns_why_an_order_failed(tmp_path: Path) -> None:
    async with stand(tmp_path, call_timeout=0.3) as one:
        async with connected(one) as charger:
            await order(one.gateway, 1, "available", "OFF")
            with pytest.raises(Refused) as refused:
                await order(one.gateway, 1, "available", "maybe")
            assert (refused.value.code, refused.value.status) == ("bad_value", 400)
            charger.rule = lambda action, payload: {"status": "Rejected"}
            with pytest.raises(
                Refused, match="refuses to unlock the connector: Rejected"
            ) as refused:
                await order(one.gateway, 1, "unlock", "PRESS")
            assert (refused.value.code, refused.value.status) == ("refused", 409)
            charger.rule = lambda action, payload: None
            with pytest.raises(Refused, match="no answer") as refused:
                await order(one.gateway, 1, "unlock", "PRESS")
            assert (refused.value.code, refused.value.status) == ("timeout", 504)
        await one.empty()
        with pytest.raises(Refused, match="not connected") as refused:
            await order(one.gateway, 1, "unlock", "PRESS")
        assert (refused.value.code, refused.value.status) == ("offline", 409)
        with pytest.raises(Refused) as refused:
            await one.gateway.management.set("CP2", 1, "unlock", "PRESS")
        assert refused.value.status == 404


async def test_a_charger_that_waits_for_approval_gets_no_orders(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one, one.charger() as charger:
        await charger.boot()
        with pytest.raises(Refused, match="waits for approval") as refused:
            await order(one.gateway, 0, "restart", "PRESS")
        assert refused.value.code == "pending_approval"


async def test_one_question_at_a_time_and_of_the_same_kind_the_newest(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, connected(one) as charger:
        charger.go_on.clear()
        first = asyncio.create_task(order(one.gateway, 1, "current_limit", "6"))
        await until(lambda: charger.asked)
        later = [
            asyncio.create_task(order(one.gateway, 1, "current_limit", str(amperes)))
            for amperes in (7, 8, 9)
        ]
        other = asyncio.create_task(order(one.gateway, 0, "restart", "PRESS"))
        await asyncio.sleep(0.2)
        assert len(charger.asked) == 1
        charger.go_on.set()
        await asyncio.gather(first, later[2], other)
        for superseded in later[:2]:
            with pytest.raises(Refused, match="newer order"):
                await superseded
        limits = [
            payload["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"]
            for action, payload in charger.asked
            if action == "SetChargingProfile"
        ]
        assert limits == [6.0, 9.0]
        assert charger.asked[-1][0] == "Reset"


async def test_too_many_orders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "WAITING_LIMIT", 1)
    async with stand(tmp_path) as one, connected(one) as charger:
        charger.go_on.clear()
        first = asyncio.create_task(order(one.gateway, 0, "restart", "PRESS"))
        await until(lambda: charger.asked)
        second = asyncio.create_task(order(one.gateway, 1, "unlock", "PRESS"))
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await order(one.gateway, 0, "refresh", "PRESS")
        assert (refused.value.code, refused.value.status) == ("queue_full", 503)
        charger.go_on.set()
        await asyncio.gather(first, second)


async def test_a_charger_that_has_just_connected_is_left_in_peace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "QUIET", 1.0)
    async with stand(tmp_path) as one, connected(one) as charger:
        connection = one.gateway.roster.connection("CP1")
        assert connection is not None
        await order(one.gateway, 0, "restart", "PRESS")
        assert connection.age >= 1
        assert charger.asked


async def test_a_charger_is_not_hurried_by_orders_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "GAP", 0.2)
    moments = []

    def note(action: str, payload: Any) -> Any:
        moments.append(asyncio.get_running_loop().time())
        return accepts(action, payload)

    async with stand(tmp_path) as one, connected(one, note):
        for value in ("OFF", "ON", "OFF"):
            await order(one.gateway, 1, "available", value)
    assert all(later - earlier >= 0.19 for earlier, later in itertools.pairwise(moments))
    assert len(moments) == 3


async def test_what_was_learnt_of_a_charger_outlives_the_gateway(tmp_path: Path) -> None:
    def only_level_0(action: str, payload: Any) -> Any:
        if action == "GetConfiguration":
            return {"configurationKey": [
                {"key": "ChargeProfileMaxStackLevel", "readonly": True, "value": "9"}
            ]}  # fmt: skip
        level = payload["csChargingProfiles"]["stackLevel"]
        return {"status": "Rejected" if level else "Accepted"}

    async with stand(tmp_path) as one, connected(one, only_level_0) as charger:
        await order(one.gateway, 1, "current_limit", "16")
        assert len(charger.asked) == 3
    async with stand(tmp_path) as one, connected(one, only_level_0) as charger:
        await order(one.gateway, 1, "current_limit", "10")
        assert len(charger.asked) == 2
        await one.gateway.management.forget("CP1")
    async with stand(tmp_path) as one, connected(one, only_level_0) as charger:
        await order(one.gateway, 1, "current_limit", "10")
        assert len(charger.asked) == 3


async def test_a_running_session_is_stopped_by_its_transaction(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as socket:
        await socket.boot()
        started = await socket.call("StartTransaction", {
            "connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-11-24T00:00:00Z"
        })  # fmt: skip
        charger = Obedient(socket, accepts)
        serving = asyncio.create_task(charger.serve())
        await order(one.gateway, 1, "charging", "OFF")
        expected = {"transactionId": started[2]["transactionId"]}
        assert charger.asked == [("RemoteStopTransaction", expected)]
        serving.cancel()


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (StorageError("The disk is full."), "storage", 503),
        (ValueError("a mistake"), "stopped", 409),
    ],
)
async def test_a_failure_of_ours_is_told_and_the_next_order_is_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, status: int
) -> None:
    async def fail(*_: object) -> None:
        raise error

    async with stand(tmp_path) as one, connected(one) as charger:
        with monkeypatch.context() as broken:
            broken.setattr(one.gateway.home, "situation", fail)
            with pytest.raises(Refused) as refused:
                await order(one.gateway, 0, "restart", "PRESS")
        assert (refused.value.code, refused.value.status) == (code, status)
        await order(one.gateway, 0, "restart", "PRESS")
        assert [action for action, _ in charger.asked] == ["Reset"]


async def test_who_starts_from_afar_needs_no_card_on_the_list(tmp_path: Path) -> None:
    async with stand(tmp_path, tag_policy="list") as one, connected(one) as charger:
        await order(one.gateway, 1, "charging", "ON")
        tag = charger.asked[0][1]["idTag"]
        for id_tag, status in ((tag, "Accepted"), ("card", "Invalid")):
            told = await charger.say("Authorize", {"idTag": id_tag})
            assert told["idTagInfo"]["status"] == status
        await order(one.gateway, 1, "charging", "ON")
        assert charger.asked[1][1]["idTag"] == tag


async def test_a_stop_of_the_gateway_leaves_no_order_waiting(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, connected(one) as charger:
        charger.go_on.clear()
        waiting = asyncio.create_task(
            one.gateway.management._controls.set("CP1", "0", "restart", "PRESS")
        )
        await until(lambda: charger.asked)
        await one.gateway.endpoint.close()
        with pytest.raises(OrderFailed, match="connection ended"):
            await waiting
