"""Commands from MQTT: each reaches the charger once, and ends in exactly one outcome."""

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon.bridge import Bridge
from tests.support.patience import until
from tests.support.stand import Charger, Seen, Stand, stand
from tests.support.stand_in import StandIn
from tests.support.wire import PING, wire

REPLY, ERROR = "ocpp/cp/Reply/CP1", "ocpp/cp/Error/CP1"
DOWN = "ocpp/CP1/Call/Reset"


def command(unique_id: object = None, action: str = "Reset", **payload: object) -> dict[str, Any]:
    """Return a command as people publish it; a Reset is a valid one."""
    if action == "Reset" and not payload:
        payload = {"type": "Soft"}
    body = {"Action": action, "Payload": payload}
    return body if unique_id is None else {"MessageTypeId": 2, "UniqueId": unique_id, **body}


def reason(seen: Seen) -> str:
    """Return the reason of a report, which looks as the contract says."""
    report = seen.json
    assert report["MessageTypeId"] == 4
    assert report["ErrorCode"] == "GenericError"
    assert report["ErrorDetails"].pop("origin") == "gateway"
    assert report["ErrorDescription"]
    return str(report["ErrorDetails"]["reason"])


async def quiet(charger: Charger) -> None:
    """See that nothing is on its way to the charger, by what comes behind it."""
    assert (await charger.call("Heartbeat"))[0] == 3


# Outcomes.


async def test_a_command_and_its_result(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command("c1"))
        assert await charger.receive() == [2, "c1", "Reset", {"type": "Soft"}]
        await charger.send([3, "c1", {"status": "Accepted"}])
        seen = await one.watch.expect(REPLY)
        assert seen.json == {
            "MessageTypeId": 3,
            "UniqueId": "c1",
            "Action": "Reset",
            "Payload": {"status": "Accepted"},
        }
        assert [name for name, _ in seen.properties] == ["received-at", "message-id"]
        assert not seen.retain
        assert not one.watch.on(ERROR)


async def test_a_command_and_its_error(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command("c1"))
        await charger.receive()
        await charger.send([4, "c1", "NotSupported", "sorry", {"a": [1]}])
        assert (await one.watch.expect(ERROR)).json == {
            "MessageTypeId": 4,
            "UniqueId": "c1",
            "Action": "Reset",
            "ErrorCode": "NotSupported",
            "ErrorDescription": "sorry",
            "ErrorDetails": {"a": [1]},
        }


@pytest.mark.parametrize("topic", ["ocpp/CP1/a/b", "ocpp/cp/CP1/Reply/x"])
async def test_only_the_payload_matters(tmp_path: Path, topic: str) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(topic, {"Action": "GetConfiguration"})
        kind, unique_id, action, payload = await charger.receive()
        assert (kind, action, payload) == (2, "GetConfiguration", {})
        await charger.send([3, unique_id, {"unknownKey": []}])
        assert (await one.watch.expect(REPLY)).json["UniqueId"] == unique_id


@pytest.mark.parametrize("unique_id", ["x" * 200, 7, 1.5, "ä/+#", ""])
async def test_ids_are_kept_as_they_are(tmp_path: Path, unique_id: object) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command(unique_id))
        assert (await charger.receive())[1] == unique_id
        await charger.send([3, unique_id, {"status": "Accepted"}])
        seen = await one.watch.expect(REPLY)
        assert (seen.json["UniqueId"], seen.json["Action"]) == (unique_id, "Reset")


async def test_one_command_is_outstanding_and_others_wait_in_order(tmp_path: Path) -> None:
    async with stand(tmp_path, queue_limit=3) as one, one.charger() as charger:
        for number in range(6):
            await one.watch.publish(DOWN, command(f"c{number}"))
        # One is with the charger and three wait, so two are one too many.
        full = [await one.watch.expect(ERROR, count) for count in (1, 2)]
        assert [seen.json["UniqueId"] for seen in full] == ["c4", "c5"]
        assert [reason(seen) for seen in full] == ["queue_full"] * 2
        for number in range(4):
            assert (await charger.receive())[1] == f"c{number}"
            await quiet(charger)
            await charger.send([3, f"c{number}", {"status": "Accepted"}])
            assert (await one.watch.expect(REPLY, number + 1)).json["UniqueId"] == f"c{number}"


async def test_calls_of_the_two_sides_may_cross(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command("same"))
        assert (await charger.receive())[0] == 2
        assert (await charger.call("Heartbeat", unique_id="same"))[0] == 3
        await charger.send([3, "same", {"status": "Accepted"}])
        assert (await one.watch.expect(REPLY)).json["Action"] == "Reset"


async def test_a_timeout_and_the_late_answer(tmp_path: Path) -> None:
    async with stand(tmp_path, call_timeout=0.3) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command("slow"))
        await one.watch.publish(DOWN, command("next"))
        assert (await charger.receive())[1] == "slow"
        seen = await one.watch.expect(ERROR)
        assert (seen.json["UniqueId"], reason(seen)) == ("slow", "timeout")
        assert (await charger.receive())[1] == "next"
        await charger.send([3, "slow", {"status": "Rejected"}])
        await charger.send([3, "next", {"status": "Accepted"}])
        late, right = [await one.watch.expect(REPLY, count) for count in (1, 2)]
        assert (late.json["UniqueId"], late.json["Action"]) == ("slow", "Reset")
        assert late.marks("late") == ["true"]
        assert (right.json["UniqueId"], right.marks("late")) == ("next", [])
        assert len(one.watch.on(ERROR)) == 1


async def test_commands_for_a_charger_that_is_away(tmp_path: Path) -> None:
    async with stand(tmp_path, chargers=[{"id": "CP1"}]) as one:
        await one.watch.publish(DOWN, command("c1"))
        seen = await one.watch.expect(ERROR)
        assert (seen.json["UniqueId"], reason(seen)) == ("c1", "offline")
        assert seen.json["Action"] == "Reset"
        async with one.charger() as charger:
            await quiet(charger)


async def test_commands_end_with_their_connection(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        async with one.charger() as charger:
            await one.watch.publish(DOWN, command("c1"))
            await one.watch.publish(DOWN, command("c2"))
            await charger.receive()
        seen = [await one.watch.expect(ERROR, count) for count in (1, 2)]
        assert [(each.json["UniqueId"], reason(each)) for each in seen] == [
            ("c1", "disconnected"),
            ("c2", "disconnected"),
        ]
        async with one.charger() as charger:
            await charger.send([3, "c1", {"status": "Accepted"}])
            orphan = await one.watch.expect(REPLY)
            assert "Action" not in orphan.json


async def test_stopping_ends_commands_and_drops_sockets_without_close_frames(
    tmp_path: Path,
) -> None:
    async with stand(tmp_path) as one:
        async with one.run(name="second"), wire(one.port, "/ocpp/CP1") as charger:
            await one.watch.publish(DOWN, command("c1"))
            await charger.expect_text()
            ended = asyncio.create_task(charger.expect_close())
        assert await ended is None
        seen = await one.watch.expect(ERROR)
        assert (seen.json["UniqueId"], reason(seen)) == ("c1", "disconnected")
        await until(lambda: one.watch.on("ocpp/gateway/second")[-1].payload == b"offline")
        assert one.watch.on("ocpp/presence/CP1")[-1].payload == b"offline"


async def test_a_stop_reports_what_the_charger_has_answered_just_before(tmp_path: Path) -> None:
    """With a broker that hangs, each message before the answer takes a moment to be stored."""
    async with stand(tmp_path) as one:
        async with one.run(name="second") as gateway, one.charger() as charger:
            await one.watch.publish(DOWN, command("c1"))
            await charger.receive()
            one.mosquitto.suspend()
            for number in range(50):
                await charger.send([2, str(number), "Heartbeat", {}])
            await charger.send([3, "c1", {"status": "Accepted"}])
            history = gateway.roster.history("CP1")
            await until(lambda: history and history.entries[-1].text.startswith('[3, "c1"'))
            await gateway.endpoint.close()
            assert not gateway.roster.connections  # nothing is on its way to the disk any more
        one.mosquitto.resume()
        async with one.run(name="third"):
            seen = await one.watch.expect(REPLY)
            assert (seen.json["UniqueId"], seen.json["Action"]) == ("c1", "Reset")
            assert not one.watch.on(ERROR)


async def test_a_mistake_of_ours_costs_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stand(tmp_path) as one, wire(one.port, "/ocpp/CP1") as charger:
        reached, gone_on = asyncio.Event(), asyncio.Event()

        async def fail(*_: object) -> None:
            reached.set()
            await gone_on.wait()
            raise ValueError("boom")

        monkeypatch.setattr(Bridge, "publish", fail)
        await one.watch.publish(DOWN, command("a"))
        assert json.loads(await charger.expect_text())[1] == "a"
        await charger.send('[2,"1","Heartbeat",{}]')
        await reached.wait()
        await charger.send('[3,"a",{"status":"Accepted"}]')
        history = one.gateway.roster.history("CP1")
        await until(lambda: history is not None and len(history.entries) == 3)
        gone_on.set()
        assert (await one.watch.expect(REPLY)).json["UniqueId"] == "a"


async def test_every_command_of_a_burst_has_one_outcome(tmp_path: Path) -> None:
    ids = [f"c{number}" for number in range(200)]

    async def obey(charger: Charger) -> None:
        while True:
            frame = await charger.receive()
            await charger.send([3, frame[1], {"status": "Accepted"}])

    async with stand(tmp_path) as one, one.charger() as charger:
        obeying = asyncio.create_task(obey(charger))
        await asyncio.gather(*(one.watch.publish(DOWN, command(name)) for name in ids))

        def outcomes() -> Counter[str]:
            return Counter(
                seen.json["UniqueId"] for seen in one.watch.on(REPLY) + one.watch.on(ERROR)
            )

        await until(lambda: outcomes().total() >= len(ids))
        obeying.cancel()
        assert outcomes() == Counter(ids)
        assert {reason(seen) for seen in one.watch.on(ERROR)} <= {"queue_full"}


async def test_commands_reach_their_charger_alone(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger("A") as first, one.charger("B") as second:
        await one.watch.publish("ocpp/A/x/y", command("a"))
        await one.watch.publish("ocpp/B/x/y", command("b"))
        assert (await first.receive())[1] == "a"
        assert (await second.receive())[1] == "b"
        await quiet(first)
        await quiet(second)


# What is refused.


@pytest.mark.parametrize(
    ("payload", "unique_id", "action"),
    [
        (b"", "-1", None),
        (b"Reset", "-1", None),
        (b"[]", "-1", None),
        (b"\xff\xfe", "-1", None),
        (b'{"Action":"Reset","Payload":{"a":NaN}}', "-1", None),
        (b'{"Action":"Reset","Payload":{"a":1e999}}', "-1", None),
        (b'{"Action":"Reset","Payload":' + b"[" * 5000 + b"]" * 5000 + b"}", "-1", None),
        (b'{"Action":"Reset","Payload":{"a":"' + b"x" * 140_000 + b'"}}', "-1", None),
        (b'{"MessageTypeId":2,"UniqueId":"5"}', "5", None),
        (b'{"MessageTypeId":"2","UniqueId":"5","Action":"Reset"}', "5", "Reset"),
        (b'{"MessageTypeId":true,"UniqueId":"5","Action":"Reset"}', "5", "Reset"),
        (b'{"MessageTypeId":9,"UniqueId":5,"Action":"Reset"}', 5, "Reset"),
        (b'{"UniqueId":["5"],"Action":"Reset"}', "-1", "Reset"),
        (b'{"UniqueId":true,"Action":"Reset"}', "-1", "Reset"),
        (b'{"UniqueId":"5","Action":["Reset"]}', "5", None),
        (b'{"UniqueId":"5","Action":"Reset","Payload":[]}', "5", "Reset"),
        (b'{"MessageTypeId":3,"Payload":{}}', "-1", None),
        (b'{"MessageTypeId":4,"UniqueId":"5"}', "5", None),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, bytes) else "",
)
async def test_unreadable_commands(
    tmp_path: Path, payload: bytes, unique_id: object, action: str | None
) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(DOWN, payload)
        seen = await one.watch.expect(ERROR)
        assert reason(seen) == "invalid"
        assert seen.json["UniqueId"] == unique_id
        assert seen.json.get("Action") == action
        await quiet(charger)


async def test_retained_commands(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command("r1"), retain=True)
        seen = await one.watch.expect(ERROR)
        assert (seen.json["UniqueId"], reason(seen)) == ("r1", "retained")
        await one.watch.publish(DOWN, b"", retain=True)  # which removes it
        await one.watch.publish(DOWN, b"")
        assert reason(await one.watch.expect(ERROR, 2)) == "invalid"
        await quiet(charger)
        assert len(one.watch.on(ERROR)) == 2


async def test_a_retained_answer_is_not_sent(tmp_path: Path) -> None:
    async with stand(tmp_path, central_system="external") as one, one.charger() as charger:
        answer = {"MessageTypeId": 3, "UniqueId": "old", "Payload": {}}
        await one.watch.publish(DOWN, answer, retain=True)
        await one.watch.publish(DOWN, answer | {"UniqueId": "new"})
        assert await charger.receive() == [3, "new", {}]


# Asked by someone who wants to know.


async def test_the_outcome_also_goes_to_the_response_topic(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        asked: dict[str, Any] = {"response_topic": "my/answers", "correlation": b"\x00\xff"}
        await one.watch.publish(DOWN, command("c1"), **asked)
        await charger.receive()
        await charger.send([3, "c1", {"status": "Accepted"}])
        private = await one.watch.expect("my/answers")
        public = await one.watch.expect(REPLY)
        assert private.json == public.json
        assert private.correlation == b"\x00\xff"
        # Reports go there as well.
        await one.watch.publish(DOWN, b"unreadable", **asked)
        report = await one.watch.expect("my/answers", 2)
        assert (reason(report), report.correlation) == ("invalid", b"\x00\xff")
        await one.watch.expect(ERROR)


@pytest.mark.parametrize(
    "topic",
    [
        "ocpp/CP1/Call/Reset",
        "ocpp/CP2/Call/Reset",
        "ocpp/cp/CP1/Reply/x",
        "ocpp/presence/CP1",
        "ocpp/gateway/main",
        "ocpp/state/CP1/1",
        "ocpp/set/CP1/1/charging",
        "homeassistant/device/x/config",
        "$SYS/x",
        "a$b",
    ],
)
async def test_response_topics_that_could_do_harm(tmp_path: Path, topic: str) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command("c1"), response_topic=topic, correlation=b"x")
        seen = await one.watch.expect(ERROR)
        assert (seen.json["UniqueId"], reason(seen)) == ("c1", "invalid")
        await quiet(charger)
        assert not [each for each in one.watch.on(topic) if b"GenericError" in each.payload]


class Redelivery(StandIn):
    """Stand between gateway and broker, and deliver each message with QoS 1 once more."""

    def __init__(self, broker: int) -> None:
        self._broker = broker

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker)

        async def upwards() -> None:
            while data := await reader.read(65536):
                to_broker.write(data)
            to_broker.close()

        async def downwards() -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    head, body = await self._packet(broker)
                    writer.write(head + body)
                    if head[0] >> 4 == 3 and head[0] & 0x06 == 0x02:  # PUBLISH, QoS 1
                        writer.write(bytes([head[0] | 0x08]) + head[1:] + body)  # DUP
            writer.close()

        with contextlib.suppress(ConnectionError):
            await asyncio.gather(upwards(), downwards())

    async def _packet(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        head, length, shift = await reader.readexactly(1), 0, 0
        while True:
            digit = await reader.readexactly(1)
            head += digit
            length |= (digit[0] & 0x7F) << shift
            shift += 7
            if digit[0] < 0x80:
                return head, await reader.readexactly(length)


async def test_a_redelivered_command_is_executed_once(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, Redelivery(one.mosquitto.port) as between:
        broker = {"host": "127.0.0.1", "port": between.port}
        async with one.run(mqtt=broker, name="second"), one.charger() as charger:
            for _ in range(2):  # the same command published twice is two commands
                await one.watch.publish(DOWN, command("c1"))
                assert (await charger.receive())[1] == "c1"
                await quiet(charger)
                await charger.send([3, "c1", {"status": "Accepted"}])
            await one.watch.expect(REPLY, 2)
            assert not one.watch.on(ERROR)


# Answers from MQTT.


async def test_at_home_answers_from_mqtt_to_answered_calls_are_dropped(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        await charger.call("Heartbeat", unique_id="h1")
        await one.watch.publish(DOWN, {"MessageTypeId": 3, "UniqueId": "h1", "Payload": {}})
        await one.watch.publish(DOWN, {"MessageTypeId": 3, "UniqueId": "else", "Payload": {"a": 1}})
        assert await charger.receive() == [3, "else", {"a": 1}]


async def test_outside_the_first_answer_counts_and_the_built_in_one_comes_late(
    tmp_path: Path,
) -> None:
    options = {"central_system": "external", "answer_timeout": 0.4}
    async with stand(tmp_path, **options) as one, one.charger() as charger:
        answer = {"MessageTypeId": 3, "Payload": {"currentTime": "2026-01-01T00:00:00Z"}}
        await charger.send([2, "h1", "Heartbeat", {}])
        await one.watch.expect("ocpp/cp/CP1/Heartbeat")
        await one.watch.publish(DOWN, answer | {"UniqueId": "h1"})
        assert await charger.receive() == [3, "h1", {"currentTime": "2026-01-01T00:00:00Z"}]
        assert not one.watch.on("ocpp/cp/Answer/CP1")
        # Nobody answers this one: the built-in central system does, and an answer after it is void.
        assert (await charger.call("Heartbeat", unique_id="h2"))[0] == 3
        built_in = await one.watch.expect("ocpp/cp/Answer/CP1")
        assert built_in.json["UniqueId"] == "h2"
        await one.watch.publish(DOWN, answer | {"UniqueId": "h2"})
        await one.watch.publish(DOWN, {"MessageTypeId": 4, "UniqueId": "x", "ErrorCode": "E"})
        assert await charger.receive() == [4, "x", "E", "", {}]


# OCPP 2.1.


async def test_sends_and_result_errors_of_2_1_pass(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger(subprotocols=("ocpp2.1",)) as charger:
        await charger.send([6, "s1", "NotifyPeriodicEventStream", {"id": 1}])
        seen = await one.watch.expect("ocpp/cp/CP1/NotifyPeriodicEventStream")
        assert seen.json == {
            "MessageTypeId": 6,
            "UniqueId": "s1",
            "Action": "NotifyPeriodicEventStream",
            "Payload": {"id": 1},
        }
        await charger.send([5, "r1", "FormatViolation", "bad", {"a": 1}])
        seen = await one.watch.expect(ERROR)
        assert seen.json == {
            "MessageTypeId": 5,
            "UniqueId": "r1",
            "ErrorCode": "FormatViolation",
            "ErrorDescription": "bad",
            "ErrorDetails": {"a": 1},
        }
        send = {"MessageTypeId": 6, "UniqueId": "s2", "Action": "Something", "Payload": {"b": 2}}
        await one.watch.publish(DOWN, send)
        assert await charger.receive() == [6, "s2", "Something", {"b": 2}]
        error = {"MessageTypeId": 5, "UniqueId": "r2", "ErrorCode": "FormatViolation"}
        await one.watch.publish(DOWN, error)
        assert await charger.receive() == [5, "r2", "FormatViolation", "", {}]


async def test_older_chargers_get_no_messages_of_2_1(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, one.charger() as charger:
        send = {"MessageTypeId": 6, "UniqueId": "s1", "Action": "Something", "Payload": {}}
        await one.watch.publish(DOWN, send)
        await one.watch.publish(DOWN, {"MessageTypeId": 5, "UniqueId": "1", "ErrorCode": "E"})
        await one.watch.publish(DOWN, command("c1"))
        assert (await charger.receive())[1] == "c1"


async def test_pings_go_out_while_a_command_waits(tmp_path: Path) -> None:
    async with stand(tmp_path, ping_interval=0.2) as one, wire(one.port, "/ocpp/CP1") as charger:
        await one.watch.publish(DOWN, command("c1"))
        kinds = [(await charger.receive())[0] for _ in range(3)]
        assert PING in kinds


async def call_over_http(one: Stand, body: dict[str, Any]) -> tuple[int, Any]:
    return await one.request("POST", "api/chargers/CP1/call", body)


async def test_a_call_over_http_waits_in_the_same_line_and_shows_on_mqtt(tmp_path: Path) -> None:
    async with stand(tmp_path, call_timeout=0.5) as one, one.charger() as charger:
        await one.watch.publish(DOWN, command("first"))
        asked = asyncio.create_task(call_over_http(one, {"action": "ClearCache"}))
        assert (await charger.receive())[1] == "first"
        await charger.send([3, "first", {"status": "Accepted"}])
        frame = await charger.receive()
        assert frame[2:] == ["ClearCache", {}]
        await charger.send([3, frame[1], {"status": "Rejected"}])
        assert await asked == (200, {"result": {"status": "Rejected"}})
        assert json.loads((await one.watch.expect(REPLY, 2)).payload)["Action"] == "ClearCache"
        status, outcome = await call_over_http(one, {"action": "ClearCache"})
        assert status == 200
        assert outcome["error"]["details"] == {"origin": "gateway", "reason": "timeout"}
