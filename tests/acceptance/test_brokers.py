"""Brokers as people have them: encrypted, with accounts, or of an older kind."""

import asyncio
import contextlib
import shlex
import subprocess
from pathlib import Path

from tests.support.mosquitto import Mosquitto, free_port
from tests.support.patience import until
from tests.support.stand import Charger, Stand, Watch, stand
from tests.support.stand_in import StandIn


async def works(one: Stand, charger: Charger) -> None:
    """See that a message, an answer and a command pass."""
    await charger.boot()
    await one.watch.expect("ocpp/cp/CP1/BootNotification")
    await one.watch.publish("ocpp/CP1/Call/ClearCache", {"Action": "ClearCache", "UniqueId": "c"})
    assert await charger.receive() == [2, "c", "ClearCache", {}]
    await charger.send([3, "c", {"status": "Accepted"}])
    await one.watch.expect("ocpp/cp/Reply/CP1")


async def test_tls_with_an_account_and_a_client_id(tmp_path: Path) -> None:
    for command in (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=broker"
        " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem",
        "mosquitto_passwd -b -c accounts ocpp right-password",
    ):
        subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    port, log = free_port(), tmp_path / "log"
    configuration = (
        f"log_dest file {log}",
        f"password_file {tmp_path}/accounts",
        f"listener {port} 127.0.0.1",
        f"certfile {tmp_path}/cert.pem",
        f"keyfile {tmp_path}/key.pem",
    )
    broker = {
        "host": "127.0.0.1",
        "port": port,
        "tls": True,
        "ca": str(tmp_path / "cert.pem"),
        "username": "ocpp",
        "password": "right-password",
        "client_id": "my-own-gateway",
    }
    async with (
        stand(tmp_path / "first", *configuration) as one,
        one.run(mqtt=broker, name="second"),
        one.charger() as charger,
    ):
        await works(one, charger)
        [line] = [line for line in log.read_text().splitlines() if "my-own-gateway" in line]
        assert "(p5, c1," in line  # MQTT 5, clean start
        assert "u'ocpp'" in line


class Older(StandIn):
    """Stand before a broker and let MQTT 3.1.1 pass, but nothing newer."""

    def __init__(self, broker: int) -> None:
        self.refused = 0
        self._broker = broker

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connect = await reader.read(4096)
        if connect[connect.index(b"MQTT") + 4] > 4:
            self.refused += 1
            writer.write(b"\x20\x02\x00\x01")
            writer.close()
            return
        broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker)
        to_broker.write(connect)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_pump(reader, to_broker), _pump(broker, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def test_with_mqtt_3_1_1_everything_but_properties_works(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, Older(one.mosquitto.port) as older:
        broker = {"host": "127.0.0.1", "port": older.port}
        async with one.run(mqtt=broker, name="second"), one.charger() as charger:
            assert older.refused == 1
            await works(one, charger)
            assert one.watch.on("ocpp/cp/Reply/CP1")[0].properties == []
            assert one.watch.on("ocpp/cp/Reply/CP1")[0].json["Action"] == "ClearCache"
            assert (await one.watch.expect("ocpp/presence/CP1")).payload == b"offline"
            assert (await one.watch.expect("ocpp/presence/CP1", 2)).payload == b"online"
        assert (await one.watch.expect("ocpp/gateway/second", 2)).payload == b"offline"


async def test_presence_is_kept_by_the_broker(tmp_path: Path) -> None:
    async def kept(topic: str) -> bytes:
        async with Watch(one.mosquitto.port, topic) as watch:
            seen = await watch.expect(topic)
            assert seen.retain
            return seen.payload

    async with stand(tmp_path, name="garage") as one:
        assert await kept("ocpp/gateway/garage") == b"online"
        async with one.charger():
            await one.watch.expect("ocpp/presence/CP1", 2)
            assert await kept("ocpp/presence/CP1") == b"online"
        await one.watch.expect("ocpp/presence/CP1", 3)
        assert await kept("ocpp/presence/CP1") == b"offline"
        assert (await one.request("DELETE", "api/chargers/CP1"))[0] == 200
        assert (await one.watch.expect("ocpp/presence/CP1", 4)).payload == b""


async def test_chargers_are_served_before_the_broker_is_there(tmp_path: Path) -> None:
    async with stand(tmp_path / "first") as other:
        mosquitto = Mosquitto()
        one = Stand(mosquitto, other.watch, tmp_path / "second")
        async with one.run(patient=False), one.charger() as charger:
            assert (await charger.boot())["status"] == "Accepted"
            start = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": "2026-11-24"}
            assert (await charger.call("StartTransaction", start))[0] == 3
            _, health = await one.request("GET", "health")
            assert (health["status"], health["broker"]) == ("degraded", "disconnected")
            async with mosquitto, Watch(mosquitto.port) as watch:
                seen = await watch.expect("ocpp/cp/CP1/StartTransaction")
                assert seen.marks("replayed") == ["true"]
                topics = [each.topic for each in watch.seen if each.topic.startswith("ocpp/cp/CP1")]
                assert topics == ["ocpp/cp/CP1/BootNotification", "ocpp/cp/CP1/StartTransaction"]
                assert watch.on("ocpp/presence/CP1")[-1].payload == b"online"
                await watch.publish("ocpp/CP1/Call/x", {"Action": "ClearCache"})
                assert (await charger.receive())[2] == "ClearCache"


async def test_a_replay_topic_gets_all_that_was_stored(tmp_path: Path) -> None:
    async with stand(tmp_path, topics={"replay": "old/${cid}"}) as one, one.charger() as charger:
        await charger.boot()
        await one.watch.expect("ocpp/cp/Answer/CP1")  # or it would be stored as well
        await one.mosquitto.stop()
        await until(lambda: not one.gateway.broker.connected)
        await charger.call("Heartbeat", unique_id="old")
        await one.mosquitto.start()
        await one.watch.expect("old/CP1", 2)
        assert [seen.json["MessageTypeId"] for seen in one.watch.on("old/CP1")] == [2, 3]
        assert all(seen.marks("replayed") == ["true"] for seen in one.watch.on("old/CP1"))
        await charger.call("Heartbeat", unique_id="new")
        answer = await one.watch.expect("ocpp/cp/Answer/CP1", 2)
        assert answer.json["UniqueId"] == "new"
