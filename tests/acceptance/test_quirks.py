"""What real chargers do with messages, against the specification, and how it is borne."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.stand import Charger, Stand, stand
from tests.support.wire import BINARY, CLOSE, wire

HEARTBEATS = "ocpp/cp/CP1/Heartbeat"
REPLY, ERROR = "ocpp/cp/Reply/CP1", "ocpp/cp/Error/CP1"
START = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": "2026-11-24T17:00:00Z"}


async def command(one: Stand, charger: Charger, unique_id: str = "c1") -> None:
    """Send the charger a command, and see it arrive."""
    body = {"Action": "ClearCache", "UniqueId": unique_id}
    await one.watch.publish("ocpp/CP1/Call/ClearCache", body)
    assert await charger.receive() == [2, unique_id, "ClearCache", {}]


@pytest.mark.parametrize("text", ["ping", "pong", "", " \r\n", "\0"])
async def test_q16_texts_that_keep_a_link_alive(tmp_path: Path, text: str) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        for _ in range(20):  # more than unreadable ones may come in a row
            await charger.send(text)
        assert (await charger.call("Heartbeat"))[0] == 3
        assert len(one.watch.on(HEARTBEATS)) == 1


@pytest.mark.parametrize(
    "frame",
    [
        b'[2,"1","Heartbeat",{}]',
        b'\xef\xbb\xbf[2,"1","Heartbeat",{}]',
        b'[2,"1","Heartbeat",{}]\0',
        b'\r\n[2,\n\t"1",\r\n"Heartbeat",\n{\n}\n]\r\n\0\0',
    ],
)
async def test_q17_binary_frames_marks_nuls_and_line_breaks(tmp_path: Path, frame: bytes) -> None:
    async with stand(tmp_path) as one, wire(one.port) as charger:
        for kind in ({}, {"kind": BINARY}):
            await charger.send(frame, **kind)
            assert json.loads(await charger.expect_text())[:2] == [3, "1"]
        seen = await one.watch.expect(HEARTBEATS, 2)
        assert seen.json["Payload"] == {}
        assert not seen.marks("repaired")


async def test_q17_line_breaks_inside_texts(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await charger.send('[2,"1","DataTransfer",{"vendorId":"a\nb\tc"}]')
        assert (await charger.receive())[:2] == [3, "1"]
        seen = await one.watch.expect("ocpp/cp/CP1/DataTransfer")
        assert seen.json["Payload"] == {"vendorId": "a\nb\tc"}


@pytest.mark.parametrize(
    ("frame", "payload"),
    [
        ('[2,"1","X",{"values":[,{"a":1}]}]', {"values": [{"a": 1}]}),
        ('[2,"1","X",{"values":[{"a":1},]}]', {"values": [{"a": 1}]}),
        ('[2,"1","X",{"a":1', {"a": 1}),
        ('[2,"1","X",{"a":1}', {"a": 1}),
        ('[2,"1","X",{"transactionId":,"meterStop":5}]', {"transactionId": None, "meterStop": 5}),
        ('[2,"1","X",{"a":1,}]', {"a": 1}),
        ('[2,"1","X",{"a":"not [,{ here",}]', {"a": "not [,{ here"}),
    ],
)
async def test_q18_broken_json(tmp_path: Path, frame: str, payload: Any) -> None:
    for action in ("MeterValues", "StopTransaction"):
        async with stand(tmp_path) as one, one.charger() as charger:
            await charger.send(frame.replace("X", action))
            assert (await charger.receive())[:2] == [3, "1"]
            seen = await one.watch.expect(f"ocpp/cp/CP1/{action}")
            assert seen.json["Payload"] == payload
            assert len(seen.marks("repaired")) == 1
            _, frames = await one.request("GET", "api/chargers/CP1/messages")
            assert frames[0]["repaired"] and not frames[1]["repaired"]


@pytest.mark.parametrize("frame", ['[2,"1","Heartbeat",null]', '[2,"1","Heartbeat"]'])
async def test_q19_no_payload(tmp_path: Path, frame: str) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await charger.send(frame)
        assert (await charger.receive())[:2] == [3, "1"]
        assert (await one.watch.expect(HEARTBEATS)).json["Payload"] == {}
        await command(one, charger)
        await charger.send(frame.replace('2,"1","Heartbeat"', '3,"c1"'))
        assert (await one.watch.expect(REPLY)).json["Payload"] == {}


@pytest.mark.parametrize("unique_id", [5, 1.5, -3, "", "x" * 300, "\ud83d", "a/b+#", "ä\n\0"])
async def test_q20_odd_ids(tmp_path: Path, unique_id: object) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await charger.send([2, unique_id, "Heartbeat", {}])
        assert (await charger.receive())[:2] == [3, unique_id]
        assert (await one.watch.expect(HEARTBEATS)).json["UniqueId"] == unique_id


async def test_q21_ids_that_repeat(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        answers: list[Any] = []
        for _ in range(2):
            async with one.charger() as charger:
                for _ in range(2):
                    start = START | {"meterStart": len(answers)}
                    answers.append(await charger.call("StartTransaction", start, unique_id="1"))
            await one.empty()
        assert len({answer[2]["transactionId"] for answer in answers}) == 4
        seen = [await one.watch.expect("ocpp/cp/CP1/StartTransaction", n) for n in range(1, 5)]
        assert [each.json["Payload"]["meterStart"] for each in seen] == [0, 1, 2, 3]
        assert len({each.marks("message-id")[0] for each in seen}) == 4


async def test_q22_results_for_nothing_and_after_the_time_out(tmp_path: Path) -> None:
    async with stand(tmp_path, call_timeout=0.2) as one, one.charger() as charger:
        await charger.send([3, "nothing", {}])
        orphan = await one.watch.expect(REPLY)
        assert orphan.json == {"MessageTypeId": 3, "UniqueId": "nothing", "Payload": {}}
        assert not orphan.marks("late")
        await command(one, charger)
        await one.watch.expect(ERROR)
        await charger.send([4, "c1", "InternalError", "too slow", {}])
        late = await one.watch.expect(ERROR, 2)
        assert (late.json["Action"], late.marks("late")) == ("ClearCache", ["true"])


@pytest.mark.parametrize("central_system", ["home", "external"])
async def test_q23_calls_that_do_not_wait_for_answers(tmp_path: Path, central_system: str) -> None:
    options: dict[str, Any] = {"central_system": central_system, "answer_timeout": 0.3}
    async with stand(tmp_path, **options) as one, one.charger() as charger:
        await command(one, charger)
        for number in range(10):
            await charger.send([2, str(number), "Heartbeat", {}])
        await charger.send([3, "c1", {"status": "Accepted"}])
        answers = [await charger.receive() for _ in range(10)]
        assert [answer[:2] for answer in answers] == [[3, str(number)] for number in range(10)]
        await one.watch.expect(HEARTBEATS, 10)
        order = [seen.json["UniqueId"] for seen in one.watch.on(HEARTBEATS)]
        assert order == [str(number) for number in range(10)]
        assert (await one.watch.expect(REPLY)).json["Action"] == "ClearCache"


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ('[4,"c1","NotSupported","why",""]', ("NotSupported", "why", {})),
        ('[4,"c1","NotSupported","why",null]', ("NotSupported", "why", {})),
        ('[4,"c1","NotSupported","why"]', ("NotSupported", "why", {})),
        ('[4,"c1","NotSupported"]', ("NotSupported", "", {})),
        ('[4,"c1","Invented","",{"a":1}]', ("Invented", "", {"a": 1})),
        ('[4,"c1","OccurrenceConstraintViolation","",{}]',
         ("OccurrenceConstraintViolation", "", {})),
        ('[4,"c1",17,null,[]]', ("GenericError", "", {})),
    ],
)  # fmt: skip
async def test_q24_incomplete_errors(
    tmp_path: Path, frame: str, told: tuple[str, str, dict[str, Any]]
) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await command(one, charger)
        await charger.send(frame)
        error = (await one.watch.expect(ERROR)).json
        assert error["Action"] == "ClearCache"
        assert (error["ErrorCode"], error["ErrorDescription"], error["ErrorDetails"]) == told


async def test_q25_a_charger_that_answers_no_command(tmp_path: Path) -> None:
    async with stand(tmp_path, call_timeout=0.2) as one, one.charger() as charger:
        for number in range(1, 4):
            await command(one, charger, f"c{number}")
            error = (await one.watch.expect(ERROR, number)).json
            assert error["ErrorDetails"] == {"origin": "gateway", "reason": "timeout"}
            assert (await charger.call("Heartbeat"))[0] == 3


async def test_q26_boots_late_twice_and_during_a_session(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        async with one.charger() as charger:  # never boots, and nobody asks it to
            started = (await charger.call("StartTransaction", START))[2]
            assert started["idTagInfo"]["status"] == "Accepted"
            assert await charger.silence()
        await one.empty()
        async with one.charger() as charger:
            for _ in range(2):
                assert (await charger.boot())["status"] == "Accepted"
            _, [running] = await one.request("GET", "api/sessions")
            assert running["transaction_id"] == started["transactionId"]
            assert running["ended_at"] is None
            stop = {"transactionId": started["transactionId"], "meterStop": 1005,
                    "timestamp": "2026-11-24T18:00:00Z"}  # fmt: skip
            assert (await charger.call("StopTransaction", stop))[0] == 3
            _, [ended] = await one.request("GET", "api/sessions")
            assert (ended["energy_wh"], ended["ended_at"]) == (1000, "2026-11-24T18:00:00.000Z")


@pytest.mark.parametrize("central_system", ["home", "external"])
async def test_q27_calls_before_the_boot_was_accepted(tmp_path: Path, central_system: str) -> None:
    options: dict[str, Any] = {"central_system": central_system, "answer_timeout": 0.3}
    async with stand(tmp_path, **options) as one, one.charger() as charger:
        for action, payload in [
            ("Heartbeat", {}),
            ("Authorize", {"idTag": "T"}),
            ("StatusNotification",
             {"connectorId": 1, "errorCode": "NoError", "status": "Available"}),
            ("StartTransaction", START),
        ]:  # fmt: skip
            assert (await charger.call(action, payload))[0] == 3
        await command(one, charger)


async def test_why_and_how_often_a_charger_was_lost_is_shown(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        async with wire(one.port) as charger:
            for _ in range(10):
                await charger.send("hello")
            assert await charger.expect_close() == 1008
        await one.empty()
        async with wire(one.port):
            _, shown = await one.request("GET", "api/chargers/CP1")
            assert (shown["connected"], shown["last_disconnect"]["count"]) == (True, 1)
            assert shown["last_disconnect"]["reason"] == "10 unreadable messages in a row"
        await one.empty()
        _, shown = await one.request("GET", "api/chargers/CP1")
        assert shown["last_disconnect"]["count"] == 2
        assert shown["last_disconnect"]["reason"] == "the charger closed the connection"
        assert shown["last_seen"] <= shown["last_disconnect"]["at"]


async def test_q43_a_charger_that_hangs_up_when_its_start_is_answered_at_once(
    tmp_path: Path,
) -> None:
    async def start(one: Stand, *, linger: float = 0.0, politely: bool = False) -> float:
        async with wire(one.port) as charger:
            asked = time.monotonic()
            await charger.send(json.dumps([2, "1", "StartTransaction", START]))
            assert "transactionId" in json.loads(await charger.expect_text())[2]
            took = time.monotonic() - asked
            await asyncio.sleep(linger)
            if politely:
                await charger.send(b"\x03\xe8", kind=CLOSE)
                await charger.expect_close()
        await one.empty()
        return took

    async with stand(tmp_path) as one:
        assert await start(one) < 1
        assert await start(one, linger=2.1) < 1  # that was a mere chance
        assert await start(one) < 1
        assert await start(one, politely=True) < 1
        assert await start(one) < 1
        assert await start(one) < 1
        assert await start(one, linger=2.1) >= 1
        assert await start(one) >= 1
    async with stand(tmp_path) as one:
        assert await start(one) >= 1
