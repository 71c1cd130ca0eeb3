"""What no charger should send: the connection lives or ends with the right code, and says so."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon.ocpp.session import MALFORMED_LIMIT
from tests.support.patience import until
from tests.support.stand import Stand, stand
from tests.support.wire import BINARY, PING, TEXT, Wire, wire

LARGEST = 128 * 1024


@pytest.fixture(autouse=True)
def _no_traceback(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert not [record for record in caplog.records if record.exc_info]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def works(charger: Wire) -> None:
    """See that the connection lives, and that nothing else is on its way to the charger."""
    await charger.send('[2,"works","Heartbeat",{}]')
    assert json.loads(await charger.expect_text())[:2] == [3, "works"]


def heartbeat(size: int) -> str:
    """Return a Heartbeat of that many bytes."""
    frame = '[2,"big","Heartbeat",{"a":""}]'
    return frame.replace('""', '"' + "x" * (size - len(frame)) + '"')


# (frame, id of the CallError that answers it, or None)
UNREADABLE: list[tuple[str, object]] = [
    ("hello", None),
    ("{}", None),
    ("[]", None),
    ("17", None),
    ("null", None),
    ("[2]", None),
    ('{"MessageTypeId":2,"UniqueId":"1","Action":"Heartbeat","Payload":{}}', None),
    ('["2","1","Heartbeat",{}]', None),
    ('[2,null,"Heartbeat",{}]', None),
    ('[2,["1"],"Heartbeat",{}]', None),
    ('[2,{"a":1},"Heartbeat",{}]', None),
    ('[2,true,"Heartbeat",{}]', None),
    ("[3,null,{}]", None),
    ('[3,"1",[]]', None),
    ("[" * 60_000, None),
    ("[" * 60_000 + "]" * 60_000, None),
    ('[2,"1"]', "1"),
    ('[2,"1",5,{}]', "1"),
    ('[2,"1",["Heartbeat"],{}]', "1"),
    ('[2,"1",{"a":1},{}]', "1"),
    ('[2,"1",null,{}]', "1"),
    ('[2,"1","Heartbeat",[]]', "1"),
    ('[2,"1","Heartbeat","x"]', "1"),
    ('[2,"1","Heartbeat",5]', "1"),
    ('[2,"1","Heartbeat",{},{}]', "1"),
    ('[2,5,"Heartbeat",{"a":1e999}]', 5),
    ('[2,"1","Heartbeat",{"a":-1e999}]', "1"),
    ('[2,"1","Heartbeat",{"a":NaN}]', "1"),
    ('[2,"1","Heartbeat",{"a":Infinity}]', "1"),
    ('[2,"1","Heartbeat",{"a":' + "9" * 5000 + "}]", "1"),
    ('[2,"1","Heartbeat",{"a":' + "[" * 5000 + "]" * 5000 + "}]", "1"),
    ('[2,"1","Heartbeat",{"a":' + '{"a":' * 5000 + "1" + "}" * 5001 + "]", "1"),
    ('[2,"1","Heartbeat",{"a":"cut', "1"),
    ('[2,"1","Heartbeat",{"a":tru}]', "1"),
    ('[2,"1","Heartbeat",{"a":"\\ud8"}]', "1"),
    ('[2,"1","Heartbeat",{}]]', "1"),
    ('[2,"1","Heartbeat",{}][2,"2","Heartbeat",{}]', "1"),
]


async def test_unreadable_frames_are_answered_where_the_id_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand(tmp_path) as one, wire(one.port) as charger:
        for frame, unique_id in UNREADABLE:
            await charger.send(frame)
            if unique_id is not None:
                answer = json.loads(await charger.expect_text())
                assert answer[:3] == [4, unique_id, "FormationViolation"], frame[:60]
                assert len(answer) == 5 and answer[4] == {}
            await works(charger)
        lines = [text for text in caplog.messages if "unreadable message" in text]
        assert 0 < len(lines) <= 5  # a minute
        assert all(len(line) < 300 for line in lines)
        assert {seen.json["Action"] for seen in one.watch.seen if "CP1" in seen.topic and
                seen.topic.startswith("ocpp/cp/CP1")} == {"Heartbeat"}  # fmt: skip


@pytest.mark.parametrize("subprotocol", ["ocpp2.0.1", "ocpp2.1"])
async def test_newer_chargers_hear_of_ids_that_cannot_be_read(
    tmp_path: Path, subprotocol: str
) -> None:
    async with stand(tmp_path) as one, wire(one.port, subprotocol=subprotocol) as charger:
        for frame, unique_id, code in [
            ("hello", "-1", "RpcFrameworkError"),
            ("{}", "-1", "RpcFrameworkError"),
            ('[2,null,"Heartbeat",{}]', "-1", "RpcFrameworkError"),
            ('[2,"1","Heartbeat",[]]', "1", "FormatViolation"),
            ('[9,"1",{}]', "1", "MessageTypeNotSupported"),
        ]:
            await charger.send(frame)
            answer = json.loads(await charger.expect_text())
            assert answer[:3] == [4, unique_id, code], frame
        await works(charger)


async def test_ten_unreadable_frames_in_a_row_end_the_connection(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, wire(one.port) as charger:
        for _ in range(MALFORMED_LIMIT):
            await charger.send("hello")
        assert await charger.expect_close() == 1008
        await one.empty()


async def test_odd_values_reach_mqtt_as_they_are(tmp_path: Path) -> None:
    vendor = {
        "a": 2**70,
        "b": -1e308,
        "c": 0.1,
        "d": "\ud800",
        "e": "line\u2028\x7f\0",
        "f": [[[]]],
    }
    async with stand(tmp_path, validation="off") as one, wire(one.port) as charger:
        frame = [2, "1", "DataTransfer", {"vendorId": "v", "data": vendor}]
        await charger.send(json.dumps(frame))
        seen = await one.watch.expect("ocpp/cp/CP1/DataTransfer")
        assert seen.json["Payload"] == frame[3]
        assert json.loads(await charger.expect_text())[:2] == [3, "1"]


@pytest.mark.parametrize("text", ["\ud800", "\0", "x" * 5000, "'; --", "\x1b[31m", "../../x", ""])
async def test_odd_texts_do_no_harm_anywhere(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    stamp = "2026-11-24T17:00:00Z"
    sampled = [{"value": text, "measurand": text, "unit": text, "phase": text}]
    async with stand(tmp_path) as one, wire(one.port) as charger:
        for action, payload in [
            ("BootNotification", dict.fromkeys(BOOT_TEXTS, text)),
            ("Authorize", {"idTag": text}),
            ("StatusNotification", {"connectorId": 1, "errorCode": text, "status": text}),
            ("StartTransaction", {"connectorId": 1, "idTag": text, "meterStart": 1,
                                  "timestamp": stamp}),
            ("MeterValues", {"connectorId": 1, "transactionId": 1, "meterValue": [
                {"timestamp": text, "sampledValue": sampled}]}),
            ("StopTransaction", {"transactionId": 1, "meterStop": 2, "timestamp": text,
                                 "reason": text, "idTag": text}),
            ("FirmwareStatusNotification", {"status": text}),
            ("SecurityEventNotification", {"type": text, "timestamp": text}),
            ("DataTransfer", {"vendorId": text, "data": text}),
            ("Vendor" + text, {text: text}),
        ]:  # fmt: skip
            await charger.send(json.dumps([2, "1", action, payload]))
            answer = json.loads(await charger.expect_text())
            assert answer[0] == (4 if action.startswith("Vendor") else 3), action
        assert (await one.request("GET", "api/chargers/CP1"))[0] == 200
        assert (await one.request("GET", "api/chargers/CP1/messages"))[0] == 200
        assert (await one.request("GET", "api/tags"))[0] == 200
        assert (await one.request("GET", "api/sessions"))[0] == 200
        seen = [each for each in one.watch.seen if each.topic.startswith("ocpp/cp/CP1/")]
        assert [each.topic.count("/") for each in seen] == [3] * 10
    assert "\x1b" not in caplog.text
    assert all(text.isprintable() for text in caplog.messages)


@pytest.mark.parametrize("name", ["\0", "\ud800", "\uffff", "a\nb", "x" * 70_000, "\x1b[31m"])
async def test_odd_names_do_not_keep_a_message_from_mqtt(tmp_path: Path, name: str) -> None:
    async with stand(tmp_path) as one, wire(one.port) as charger:
        await charger.send(json.dumps([2, "1", "Heartbeat", {name: 1}]))
        assert json.loads(await charger.expect_text())[:2] == [3, "1"]
        seen = await one.watch.expect("ocpp/cp/CP1/Heartbeat")
        assert seen.json["Payload"] == {name: 1}
        [warning] = seen.marks("warning")
        assert warning.isprintable()
        assert not seen.marks("replayed")


BOOT_TEXTS = ("chargePointVendor", "chargePointModel", "chargePointSerialNumber", "firmwareVersion")


@pytest.mark.parametrize("value", [None, True, 5, -1, 2**80, 1e300, [], {}, [[]], [None], "x"])
async def test_wrong_types_are_answered(tmp_path: Path, value: object) -> None:
    keys = {
        "BootNotification": BOOT_TEXTS,
        "Authorize": ("idTag",),
        "StatusNotification": ("connectorId", "errorCode", "status", "timestamp", "info"),
        "StartTransaction": ("connectorId", "idTag", "meterStart", "timestamp", "reservationId"),
        "MeterValues": ("connectorId", "transactionId", "meterValue"),
        "StopTransaction": ("transactionId", "idTag", "meterStop", "timestamp", "reason",
                            "transactionData"),
        "DiagnosticsStatusNotification": ("status",),
        "SignCertificate": ("csr",),
        "DataTransfer": ("vendorId", "messageId", "data"),
    }  # fmt: skip
    async with stand(tmp_path) as one, wire(one.port) as charger:
        for action, names in keys.items():
            await charger.send(json.dumps([2, "1", action, dict.fromkeys(names, value)]))
            assert json.loads(await charger.expect_text())[0] == 3, action
        for values in ([{"timestamp": value, "sampledValue": value}], [{"sampledValue": [value]}],
                       [{"sampledValue": [{"value": value, "unit": value, "phase": value}]}],
                       [value], {"sampledValue": [{"value": "1"}]}):  # fmt: skip
            payload = {"connectorId": 1, "meterValue": values}
            await charger.send(json.dumps([2, "1", "MeterValues", payload]))
            assert json.loads(await charger.expect_text())[0] == 3
        assert (await one.request("GET", "api/chargers/CP1"))[0] == 200


# WebSocket frames.


async def test_binary_frames_with_text_are_read(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, wire(one.port) as charger:
        await charger.send('[2,"b","Heartbeat",{"a":"ä"}]', BINARY)
        kind, answer = await charger.receive()
        assert (kind, json.loads(answer)[:2]) == (TEXT, [3, "b"])
        seen = await one.watch.expect("ocpp/cp/CP1/Heartbeat")
        assert seen.json["Payload"] == {"a": "ä"}
        await charger.send(bytes(range(256)), BINARY)
        await works(charger)


async def test_a_message_may_be_as_large_as_128_kib(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        async with wire(one.port) as charger:
            await charger.send(heartbeat(LARGEST))
            assert json.loads(await charger.expect_text())[:2] == [3, "big"]
            await charger.send(heartbeat(LARGEST + 1))
            assert await charger.expect_close() == 1009
        await one.empty()
        async with wire(one.port) as charger:
            await charger.send(heartbeat(200_000))
            assert await charger.expect_close() == 1009


async def test_fragments_make_one_message(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, wire(one.port) as charger:
        await charger.send('[2,"f","Heart', first=0)
        await charger.send("beat", 0, first=0)
        await charger.send(b"", PING)  # may come between
        await charger.send('",{}]', 0)
        assert json.loads(await charger.expect_text())[:2] == [3, "f"]


@pytest.mark.parametrize(
    ("payload", "kind", "first", "code"),
    [
        (b'[2,"1","Heartbeat",{"a":"\xff"}]', TEXT, 0x80, 1007),
        (b"compressed", TEXT, 0xC0, 1002),  # RSV1
        (b"", 3, 0x80, 1002),  # an opcode that does not exist
        (b"continued", 0, 0x80, 1002),  # and nothing to continue
        (b"x" * 126, PING, 0x80, 1002),  # a ping that is too long
    ],
)
async def test_frames_against_rfc_6455_end_the_connection(
    tmp_path: Path,
    payload: bytes,
    kind: int,
    first: int,
    code: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with stand(tmp_path) as one, wire(one.port) as charger:
        await charger.send(payload, kind, first=first)
        assert await charger.expect_close() == code
        await one.empty()
        assert any("disconnected: a WebSocket error" in text for text in caplog.messages)


# Floods.


def resident() -> int:
    """Return how many MiB of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


async def test_unsolicited_results_do_not_pile_up(tmp_path: Path) -> None:
    async def flood(one: Stand, charger: Wire, count: int) -> None:
        before = published[0]
        for _ in range(count // 500):
            await charger.send_bytes(results)
        while (arrived := published[0]) < before + count:  # however slow the machine is
            await until(lambda: published[0] > arrived)
        await works(charger)
        assert published[0] == before + count

    published = [0]
    frame = b'[3,"x",{"status":"Accepted"}]'
    results = (bytes([0x81, 0x80 | len(frame)]) + bytes(4) + frame) * 500
    async with stand(tmp_path) as one, wire(one.port) as charger:

        def count(seen: object) -> None:
            one.watch.seen.clear()
            published[0] += getattr(seen, "topic", "") == "ocpp/cp/Reply/CP1"

        one.watch.on_message = count
        await flood(one, charger, 2000)
        before = resident()
        await flood(one, charger, 10_000)
        assert resident() - before < 16
        assert len(one.gateway.roster.history("CP1").entries) <= 100  # type: ignore[union-attr]
