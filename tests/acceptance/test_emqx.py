"""What a user of EMQX's OCPP gateway relies on: its topics, and nobody answers but MQTT."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.mosquitto import Mosquitto
from tests.support.patience import until
from tests.support.stand import Charger, Stand, Watch, stand
from tests.support.wire import PING, PONG, TEXT, Wire, knock, wire

EMQX: dict[str, Any] = {
    "central_system": "external",
    "answer_timeout": 0,
    "validation": "off",
    "heartbeat_interval": 60,
    "topics": {
        "upstream": "ocpp/cp/${clientid}",
        "reply": "ocpp/cp/${clientid}/Reply",
        "error": "ocpp/cp/${clientid}/Reply",
        "downstream": ["ocpp/cs/${clientid}"],
    },
}
# Of the 4.4 plugin's documentation, its contradictions resolved.
PLUGIN = {
    **EMQX,
    "topics": {
        "upstream": "ocpp/cp/${cid}/${action}",
        "upstream_overrides": [
            {"action": "BootNotification", "topic": "ocpp/cp/${cid}/Notify/BootNotification"}
        ],
        "reply": "ocpp/cp/Reply/${cid}",
        "error": "ocpp/cp/Error/${cid}",
        "downstream": ["ocpp/cs/${cid}/+/+"],
    },
}
VENDOR = {"chargePointVendor": "vendor1", "chargePointModel": "model1"}
ACCEPTED = {"currentTime": "2023-06-21T14:20:39+00:00", "interval": 300, "status": "Accepted"}


def boot(unique_id: str) -> list[Any]:
    """Return the BootNotification of the cases."""
    return [2, unique_id, "BootNotification", VENDOR]


def ack(unique_id: str) -> dict[str, Any]:
    """Return its answer as it is published on MQTT."""
    return {"MessageTypeId": 3, "UniqueId": unique_id, "Payload": ACCEPTED}


def keepalive(one: Stand, charger_id: str) -> float:
    connection = one.gateway.roster.connection(charger_id)
    assert connection is not None
    return connection.liveness.heartbeat_interval


async def works(one: Stand, charger: Charger, charger_id: str) -> None:
    """See that messages go through in both directions, and that nothing else is on its way."""
    topic = f"ocpp/cp/{charger_id}"
    count = len(one.watch.on(topic)) + 1
    await charger.send([2, f"works-{count}", "Heartbeat", {}])
    await one.watch.expect(topic, count)
    answer = {"MessageTypeId": 3, "UniqueId": f"works-{count}", "Payload": {}}
    await one.watch.publish(f"ocpp/cs/{charger_id}", answer)
    assert await charger.receive() == [3, f"works-{count}", {}]


# The main suite.


async def test_a_boot_answer_adjusts_the_keepalive(tmp_path: Path) -> None:
    async with stand(tmp_path, **EMQX) as one:
        async with one.charger("client1") as charger:
            await charger.send(boot("3335862321"))
            await one.watch.expect("ocpp/cp/client1")
            assert keepalive(one, "client1") == 60
            await one.watch.publish("ocpp/cs/client1", ack("3335862321"))
            assert await charger.receive() == [3, "3335862321", ACCEPTED]
            await until(lambda: keepalive(one, "client1") == 300)
            # Of any other status it is the wait until the next boot.
            rejected = ack("2") | {"Payload": ACCEPTED | {"status": "Rejected", "interval": 5}}
            await charger.send(boot("2"))
            await one.watch.expect("ocpp/cp/client1", 2)
            await one.watch.publish("ocpp/cs/client1", rejected)
            assert (await charger.receive())[2]["status"] == "Rejected"
            await works(one, charger, "client1")
            assert keepalive(one, "client1") == 300
        await one.empty()
        async with one.charger("client1"):  # and need not boot again
            assert keepalive(one, "client1") == 300
        await one.empty()


async def test_a_call_arrives_on_the_upstream_topic(tmp_path: Path) -> None:
    async with stand(tmp_path, **EMQX) as one, one.charger("authz-up-allowed") as charger:
        await charger.send(boot("authz-up-allowed-id"))
        seen = await one.watch.expect("ocpp/cp/authz-up-allowed")
        assert seen.json == {
            "MessageTypeId": 2,
            "UniqueId": "authz-up-allowed-id",
            "Action": "BootNotification",
            "Payload": VENDOR,
        }
        assert await charger.silence()


async def test_an_answer_reaches_the_charger_though_it_never_called(tmp_path: Path) -> None:
    async with stand(tmp_path, **EMQX) as one, one.charger("authz-dn-allowed") as charger:
        # Subscribed before the handshake completed, so there is nothing to wait for.
        await one.watch.publish("ocpp/cs/authz-dn-allowed", ack("authz-dn-allowed-id"))
        assert await charger.receive() == [3, "authz-dn-allowed-id", ACCEPTED]


async def test_the_same_answer_is_delivered_as_often_as_it_comes(tmp_path: Path) -> None:
    async with stand(tmp_path, **EMQX) as one:
        async with one.charger("client1") as charger:
            await charger.send(boot("again"))
            for _ in range(20):
                await one.watch.publish("ocpp/cs/client1", ack("again"))
                assert await charger.receive() == [3, "again", ACCEPTED]
        await one.empty()


async def test_changing_one_charger_leaves_the_connection_of_another(tmp_path: Path) -> None:
    async with stand(tmp_path, **EMQX) as one, one.charger("client1") as charger:
        status, _ = await one.request("PUT", "api/chargers/client2", {"password": "secret-key"})
        assert status == 200
        await charger.send(boot("1"))
        await one.watch.expect("ocpp/cp/client1")
        await one.watch.publish("ocpp/cs/client1", ack("1"))
        assert await charger.receive() == [3, "1", ACCEPTED]


async def test_connections_are_counted(tmp_path: Path) -> None:
    async with stand(tmp_path, **EMQX) as one:

        async def connected() -> object:
            _, health = await one.request("GET", "health")
            assert health["broker"] == "connected"
            return health["chargers"]["connected"]

        assert await connected() == 0
        async with one.charger("client1") as charger:
            await charger.send(boot("1"))
            await one.watch.expect("ocpp/cp/client1")
            assert await connected() == 1
        await one.empty()
        assert await connected() == 0


async def test_a_charger_without_password_may_send_a_wrong_one(tmp_path: Path) -> None:
    chargers = [{"id": "authn-disabled", "password": "good-password"}]
    async with stand(tmp_path, **EMQX, chargers=chargers) as one:
        with pytest.raises(InvalidStatus) as refused:
            async with one.charger("authn-disabled", "bad-password"):
                pass
        assert refused.value.response.status_code == 401
        await one.request("PUT", "api/chargers/authn-disabled", {"password": None})
        async with one.charger("authn-disabled", "bad-password") as charger:
            await works(one, charger, "authn-disabled")


# The walk-through of the documentation.


@pytest.mark.parametrize(
    ("options", "charger_id", "boots", "others", "downstream"),
    [
        (
            EMQX,
            "chargePointSim",
            "ocpp/cp/chargePointSim",
            "ocpp/cp/chargePointSim",
            "ocpp/cs/chargePointSim",
        ),
        (
            PLUGIN,
            "CP001",
            "ocpp/cp/CP001/Notify/BootNotification",
            "ocpp/cp/CP001/StatusNotification",
            "ocpp/cs/CP001/Reply/BootNotification",
        ),
    ],
    ids=["5.x", "4.4"],
)
async def test_the_walk_through(
    tmp_path: Path,
    options: dict[str, Any],
    charger_id: str,
    boots: str,
    others: str,
    downstream: str,
) -> None:
    async with stand(tmp_path, **options) as one, one.charger(charger_id) as charger:
        await charger.send(boot("1200012677"))
        seen = await one.watch.expect(boots)
        assert seen.json == {
            "UniqueId": "1200012677",
            "Payload": VENDOR,
            "Action": "BootNotification",
            "MessageTypeId": 2,
        }
        answer = ack("1200012677") | {"Action": "BootNotification"}
        await one.watch.publish(downstream, answer)
        assert await charger.receive() == [3, "1200012677", ACCEPTED]
        status = {"status": "Available", "errorCode": "NoError", "connectorId": 0}
        await charger.send([2, "2", "StatusNotification", status])
        await until(lambda: any(seen.json["UniqueId"] == "2" for seen in one.watch.on(others)))
        assert one.watch.on(others)[-1].json["Payload"] == status


async def test_replies_and_errors_of_the_plugin_part(tmp_path: Path) -> None:
    async with stand(tmp_path, **PLUGIN) as one, one.charger("CP001") as charger:
        await charger.send([3, "7", {}])
        await charger.send([4, "8", "GenericError", "", {}])
        assert (await one.watch.expect("ocpp/cp/Reply/CP001")).json["UniqueId"] == "7"
        assert (await one.watch.expect("ocpp/cp/Error/CP001")).json["UniqueId"] == "8"


# Cases that EMQX has no tests for.


async def test_results_and_errors_of_a_charger(tmp_path: Path) -> None:  # 1 and 2
    async with stand(tmp_path, **EMQX) as one, one.charger("CP1") as charger:
        await charger.send([3, "7", {"status": "Accepted"}])
        await charger.send([4, "7", "NotSupported", "x", {"a": 1}])
        reply = await one.watch.expect("ocpp/cp/CP1/Reply")
        assert reply.json == {
            "MessageTypeId": 3,
            "UniqueId": "7",
            "Payload": {"status": "Accepted"},
        }
        error = await one.watch.expect("ocpp/cp/CP1/Reply", 2)
        assert error.json == {
            "MessageTypeId": 4,
            "UniqueId": "7",
            "ErrorCode": "NotSupported",
            "ErrorDescription": "x",
            "ErrorDetails": {"a": 1},
        }
        assert {name for name, _ in reply.properties} == {"received-at", "message-id"}
        assert not reply.retain


@pytest.mark.parametrize(
    ("details", "sent"),
    [({"ErrorDetails": {"why": "so"}}, {"why": "so"}), ({}, {}), ({"ErrorDetails": None}, {})],
)
async def test_an_error_from_mqtt_has_five_elements(  # 3
    tmp_path: Path, details: dict[str, Any], sent: dict[str, Any]
) -> None:
    error = {"MessageTypeId": 4, "UniqueId": "9", "ErrorCode": "NotSupported"}
    async with stand(tmp_path, **EMQX) as one, one.charger("CP1") as charger:
        await one.watch.publish("ocpp/cs/CP1", error | {"ErrorDescription": "no"} | details)
        assert await charger.receive() == [4, "9", "NotSupported", "no", sent]


@pytest.mark.parametrize(
    ("payload", "unique_id"),
    [
        (b'{"MessageTypeId":2,"UniqueId":"5","Payload":{}}', "5"),
        (b'{"MessageTypeId":"2","UniqueId":"5","Action":"Reset","Payload":{}}', "5"),
        (b"Reset, please", "-1"),
    ],
)
async def test_a_bad_command_is_reported_and_not_sent(  # 4
    tmp_path: Path, payload: bytes, unique_id: str
) -> None:
    async with stand(tmp_path, **EMQX) as one, one.charger("CP1") as charger:
        await one.watch.publish("ocpp/cs/CP1", payload)
        report = (await one.watch.expect("ocpp/cp/CP1/Reply")).json
        assert report["MessageTypeId"] == 4
        assert report["UniqueId"] == unique_id
        assert report["ErrorDetails"] == {"origin": "gateway", "reason": "invalid"}
        await works(one, charger, "CP1")


async def test_two_messages_at_once_are_two_websocket_messages(tmp_path: Path) -> None:  # 5
    async with stand(tmp_path, **EMQX) as one, one.charger("CP1") as charger:
        await asyncio.gather(
            *(one.watch.publish("ocpp/cs/CP1", ack(str(number))) for number in range(5))
        )
        received = [json.loads(await charger.socket.recv()) for _ in range(5)]
        assert sorted(frame[1] for frame in received) == ["0", "1", "2", "3", "4"]


async def test_odd_frames_of_a_charger_leave_the_connection(tmp_path: Path) -> None:  # 6
    async with stand(tmp_path, **EMQX) as one, one.charger("CP1") as charger:
        await charger.send("this is no JSON")
        await charger.send('{"MessageTypeId":2}')
        await charger.send('[2,"x"]')
        # Only where the id can be read there is something to answer.
        answer = await charger.receive()
        assert answer[:3] == [4, "x", "FormationViolation"]
        assert len(answer) == 5
        await works(one, charger, "CP1")


async def test_an_override_is_used(tmp_path: Path) -> None:  # 7
    topics = EMQX["topics"] | {
        "upstream_overrides": [{"action": "Heartbeat", "topic": "beats/${cid}"}]
    }
    async with stand(tmp_path, **{**EMQX, "topics": topics}) as one, one.charger("CP1") as charger:
        await charger.send([2, "1", "Heartbeat", {}])
        await charger.send(boot("2"))
        assert (await one.watch.expect("beats/CP1")).json["UniqueId"] == "1"
        assert (await one.watch.expect("ocpp/cp/CP1")).json["UniqueId"] == "2"
        assert len(one.watch.on("ocpp/cp/CP1")) == 1


async def test_the_same_id_twice_leaves_the_newer(tmp_path: Path) -> None:  # 8
    chargers = [{"id": "CP1", "password": "good-password"}]
    async with (
        stand(tmp_path, **EMQX, chargers=chargers) as one,
        one.charger("CP1", "good-password") as older,
    ):
        await works(one, older, "CP1")
        async with one.charger("CP1", "good-password") as newer:
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(older.socket.recv(), 20)
            await works(one, newer, "CP1")
            presence = [seen.payload for seen in one.watch.on("ocpp/presence/CP1")]
            assert presence == [b"offline", b"online"]
        await one.watch.expect("ocpp/presence/CP1", 3)
        assert one.watch.on("ocpp/presence/CP1")[-1].payload == b"offline"


async def test_a_silent_charger_is_closed_and_a_pinging_one_kept(tmp_path: Path) -> None:  # 9
    loop = asyncio.get_running_loop()
    options = EMQX | {"heartbeat_interval": 1, "ping_interval": 0}
    async with (
        stand(tmp_path, **options) as one,
        wire(one.port, "/ocpp/silent") as silent,
        wire(one.port, "/ocpp/pings") as pinging,
    ):
        started = loop.time()
        closed = asyncio.create_task(silent.expect_close())
        while not closed.done():
            await pinging.send(b"p", PING)
            assert await pinging.receive() == (PONG, b"p")
            await asyncio.sleep(0.1)
        assert await closed is None  # dropped without a Close frame
        assert loop.time() - started > 2.5  # three intervals, less what the handshakes took
        assert one.gateway.roster.connection("pings") is not None
        assert (await one.watch.expect("ocpp/presence/silent", 3)).payload == b"offline"


async def test_a_charger_that_ceases_to_answer_pings_is_closed(tmp_path: Path) -> None:  # 9
    options = EMQX | {"ping_interval": 1}
    async with stand(tmp_path, **options) as one, wire(one.port, "/ocpp/CP1") as charger:

        async def answer_pings(count: int) -> None:
            for _ in range(count):
                kind, payload = await charger.receive()
                assert kind == PING
                await charger.send(payload, PONG)

        await answer_pings(4)  # longer than three intervals
        assert one.gateway.roster.connection("CP1") is not None
        assert await charger.expect_close() is None
        await one.empty()


@pytest.mark.parametrize(
    ("path", "status", "charger_id"),
    [
        ("/ocpp/CP001", 101, "CP001"),
        ("/ocpp/CP001/", 101, "CP001"),
        ("/ocpp/RDAM%20123", 101, "RDAM 123"),
        ("/ocpp/", 400, None),
        ("/ocpp", 400, None),
        ("/ocpp/a/b", 400, None),
        ("/ocpp/a%2Fb", 400, None),
        ("/ocpp/a+b", 400, None),
        ("/ocpp/a%23b", 400, None),
        ("/ocpp/a%", 400, None),
    ],
)
async def test_ids(tmp_path: Path, path: str, status: int, charger_id: str | None) -> None:  # 10
    async with stand(tmp_path, **EMQX) as one, wire(one.port, path) as charger:
        assert charger.status == status
        if charger_id is None:
            assert charger.reply.body.count("\n") == 1
        else:
            await charger.send(json.dumps(boot("1")))
            await one.watch.expect(f"ocpp/cp/{charger_id}")


@pytest.mark.parametrize(
    ("offered", "echoed"),
    [(None, None), ("ocpp2.0.1", "ocpp2.0.1"), ("ocpp2.0, ocpp1.6, ocpp2.0.1", "ocpp1.6")],
)
async def test_subprotocols(tmp_path: Path, offered: str | None, echoed: str | None) -> None:  # 11
    async with stand(tmp_path, **EMQX) as one, wire(one.port, subprotocol=offered) as charger:
        assert charger.status == 101
        assert charger.reply.headers.get("sec-websocket-protocol") == echoed


async def test_a_wrong_password_is_401(tmp_path: Path) -> None:  # 12
    chargers = [{"id": "CP1", "password": "good-password"}]
    async with stand(tmp_path, **EMQX, chargers=chargers) as one:
        reply = await knock(one.port, "/ocpp/CP1", "Authorization: Basic Q1AxOmJhZA==")
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith("Basic ")


async def test_chargers_stay_connected_while_the_broker_restarts(tmp_path: Path) -> None:  # 13
    async with stand(tmp_path, **EMQX) as one, one.charger("CP1") as charger:
        await works(one, charger, "CP1")
        await one.mosquitto.stop()
        await until(lambda: not one.gateway.broker.connected)
        await charger.send(boot("meanwhile"))
        assert await charger.silence(0.2)
        await one.mosquitto.start()
        seen = await one.watch.expect("ocpp/cp/CP1", 2)
        assert seen.json["UniqueId"] == "meanwhile"
        assert seen.marks("replayed") == ["true"]
        await one.watch.publish("ocpp/cs/CP1", ack("meanwhile"))
        assert await charger.receive() == [3, "meanwhile", ACCEPTED]
        await works(one, charger, "CP1")


async def test_a_retained_command_is_not_executed(tmp_path: Path) -> None:  # 14
    command = {"MessageTypeId": 2, "UniqueId": "r1", "Action": "Reset", "Payload": {"type": "Hard"}}
    async with Mosquitto() as mosquitto, Watch(mosquitto.port) as watch:
        await watch.publish("ocpp/cs/CP1", command, retain=True)
        one = Stand(mosquitto, watch, tmp_path)
        async with one.run(**EMQX), one.charger("CP1") as charger:
            report = (await watch.expect("ocpp/cp/CP1/Reply")).json
            assert report["UniqueId"] == "r1"
            assert report["ErrorDetails"] == {"origin": "gateway", "reason": "retained"}
            await watch.publish("ocpp/cs/CP1", command | {"UniqueId": "r2"}, retain=True)
            await watch.expect("ocpp/cp/CP1/Reply", 2)
            await works(one, charger, "CP1")


async def test_a_frame_is_text(tmp_path: Path) -> None:
    async with stand(tmp_path, **EMQX) as one, wire(one.port, "/ocpp/CP1") as charger:
        assert isinstance(charger, Wire)
        await one.watch.publish("ocpp/cs/CP1", ack("1"))
        kind, payload = await charger.receive()
        assert kind == TEXT
        assert json.loads(payload) == [3, "1", ACCEPTED]
