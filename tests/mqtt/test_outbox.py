"""What goes upstream, against a real Mosquitto that dies, freezes and comes back."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from ocpp_addon.database import Database
from ocpp_addon.errors import StorageError
from ocpp_addon.mqtt import outbox as outbox_module
from ocpp_addon.mqtt.broker import Broker
from ocpp_addon.mqtt.outbox import Outbox
from ocpp_addon.mqtt.outgoing import BOUNDARY, HEARTBEAT, ORDINARY, TRANSACTION, Outgoing
from ocpp_addon.mqtt.shelf import HELD_CHARGERS_LIMIT, HELD_LIMIT
from tests.mqtt.conftest import make_broker
from tests.support.mosquitto import Mosquitto
from tests.support.patience import until

LIMIT = 1000


class Office:
    """An outbox at work, and everything that a subscriber saw."""

    def __init__(self, broker: Broker, outbox: Outbox, database: Database, port: int) -> None:
        self.broker = broker
        self.outbox = outbox
        self.database = database
        self.port = port
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.watching = asyncio.Event()

    async def ready(self) -> None:
        """Wait until the broker is there and everything is seen."""
        await until(lambda: self.broker.connected)
        await asyncio.wait_for(self.watching.wait(), 20)

    def payloads(self, topic: str) -> list[str]:
        return [payload for where, payload, _ in self.seen if where == topic]

    async def watch(self) -> None:
        """Subscribe, again and again, and before the outbox replays."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self.port, protocol=aiomqtt.ProtocolVersion.V5
                ) as client:
                    await client.subscribe("up/#", qos=1)
                    self.watching.set()
                    async for message in client.messages:
                        properties: Any = message.properties
                        pairs = dict(getattr(properties, "UserProperty", []))
                        self.seen.append((message.topic.value, message.payload.decode(), pairs))
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def office(port: int, folder: Path, limit: int = LIMIT) -> AsyncIterator[Office]:
    database = await Database.open(folder / "test.sqlite3", Outbox.TABLES)
    broker = make_broker(port)
    outbox = await Outbox.open(broker, database, limit)
    await database.adopt()
    one = Office(broker, outbox, database, port)
    tasks = [asyncio.create_task(task) for task in (broker.run(), outbox.run(), one.watch())]
    try:
        yield one
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await database.close()
        for task in tasks:
            assert task.cancelled(), task.exception()


def message(payload: object, charger_id: str = "CP1", rank: int = ORDINARY) -> Outgoing:
    properties = (("message-id", str(payload)[:20]),)
    return Outgoing(charger_id, f"up/{charger_id}", str(payload).encode(), properties, rank)


async def rows(one: Office) -> int:
    return int((await one.database.read("SELECT count(*) FROM outbox"))[0][0])


async def test_while_the_broker_is_well_nothing_touches_the_disk(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        before = (tmp_path / "test.sqlite3-wal").stat().st_mtime_ns
        for number in range(100):
            await one.outbox.post(message(number))
        assert (tmp_path / "test.sqlite3-wal").stat().st_mtime_ns == before
        await until(lambda: len(one.seen) >= 50)


async def test_without_a_broker_messages_wait_on_disk_and_are_replayed_in_order(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        await mosquitto.kill()
        await until(lambda: not one.broker.connected)
        for number in range(300):
            for charger_id in ("A", "B"):
                await one.outbox.post(message(number, charger_id))
        assert len(one.outbox) == await rows(one) == 600
        await mosquitto.start()
        await until(lambda: one.broker.connected)
        # New ones of the same chargers do not overtake what waits.
        await one.outbox.post(message(300, "A"))
        await until(lambda: len(one.seen) >= 601)
        for charger_id, count in (("A", 301), ("B", 300)):
            assert one.payloads(f"up/{charger_id}") == [str(number) for number in range(count)]
        assert all(pairs["replayed"] == "true" for _, _, pairs in one.seen)
        await until(lambda: len(one.outbox) == 0)
        assert await rows(one) == 0
        # And then it is as before.
        await one.outbox.post(message("live", "A"))
        await until(lambda: one.seen[-1][1] == "live")
        assert "replayed" not in one.seen[-1][2]


async def test_other_chargers_are_not_held_up_by_one_that_waits(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "REPLAY_AFTER", 4.0)
    async with office(mosquitto.port, tmp_path) as one:
        await one.outbox.post(message("old", "A"))
        await until(lambda: one.broker.connected)
        await asyncio.sleep(0.3)
        await one.outbox.post(message("new", "B"))
        await until(lambda: len(one.seen) == 2)
        assert [payload for _, payload, _ in one.seen] == ["new", "old"]


async def test_what_was_on_the_wire_when_the_broker_froze_is_not_lost(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        mosquitto.suspend()
        # Safe by the disk, after the patience with the broker.
        await asyncio.wait_for(
            asyncio.gather(*(one.outbox.post(message(number)) for number in range(100))), 10
        )
        assert await rows(one) == 100
        await mosquitto.kill()
        await mosquitto.start()
        await until(lambda: len(set(one.payloads("up/CP1"))) == 100)
        first_times = list(dict.fromkeys(one.payloads("up/CP1")))
        assert first_times == [str(number) for number in range(100)]
        await until(lambda: len(one.outbox) == 0)


async def test_only_the_first_waits_for_a_broker_that_froze(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        mosquitto.suspend()
        try:
            first = one.outbox.post(message(1, "A"))
            assert len(one.outbox) == 0
            await first
            assert len(one.outbox) == 1
            second, third = (one.outbox.post(message(number, "B")) for number in (2, 3))
            assert len(one.outbox) == 3  # on their way to the disk already
            await asyncio.gather(second, third)
        finally:
            mosquitto.resume()
        await until(lambda: len(one.outbox) == 0 and len(one.seen) == 3)
        assert one.payloads("up/B") == ["2", "3"]
        assert len(one.outbox._hoping) == 0
        await one.outbox.post(message(4, "A"))
        assert len(one.outbox) == 0  # well again


async def test_a_slow_acknowledgement_leaves_no_row_behind(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        mosquitto.suspend()
        await one.outbox.post(message(1))
        assert len(one.outbox) == 1
        mosquitto.resume()
        await until(lambda: len(one.outbox) == 0)
        await one.outbox.post(message(2))
        assert await rows(one) == 0
        assert one.payloads("up/CP1") in (["1", "2"], ["1"])


async def test_an_earlier_run_is_taken_up(mosquitto: Mosquitto, tmp_path: Path) -> None:
    await mosquitto.stop()
    async with office(mosquitto.port, tmp_path) as one:
        await asyncio.gather(*(one.outbox.post(message(number)) for number in range(50)))
    await mosquitto.start()
    async with office(mosquitto.port, tmp_path) as two:
        await until(lambda: len(two.seen) == 50)
        assert two.payloads("up/CP1") == [str(number) for number in range(50)]


async def test_what_a_backup_brings_back_is_not_published_again(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    await mosquitto.stop()
    async with office(mosquitto.port, tmp_path) as one:
        await asyncio.gather(*(one.outbox.post(message(number)) for number in range(5)))
        await one.outbox.hold(message("held", "new"))
        copy = shutil.copytree(tmp_path, tmp_path / "copy")
    await mosquitto.start()
    async with office(mosquitto.port, copy) as two:
        await two.ready()
        await two.outbox.release("new")
        await two.outbox.post(message("new", "B"))
        await until(lambda: two.payloads("up/B"))
        assert [topic for topic, _, _ in two.seen] == ["up/B"]
        assert two.outbox.shelf.set_aside == 6
        assert "restored backup" in " ".join(two.outbox.problems)
    async with office(mosquitto.port, copy) as three:
        assert three.outbox.shelf.set_aside == 6
        assert three.outbox.problems == []


async def test_past_the_limit_heartbeats_go_first_and_transactions_never_silently(
    tmp_path: Path,
) -> None:
    async with office(1, tmp_path, limit=10) as one:
        for number in range(4):
            await one.outbox.post(message(f"h{number}", rank=HEARTBEAT))
        for number in range(6):
            await one.outbox.post(message(f"o{number}"))
        await one.outbox.post(message("t0", rank=TRANSACTION))
        kept = await _kept(one)
        assert kept == [*(f"o{number}" for number in range(6)), "t0"]
        assert one.outbox.shelf.dropped == 4
        for number in range(1, 10):
            await one.outbox.post(message(f"t{number}", rank=TRANSACTION))
        assert await _kept(one) == [f"t{number}" for number in range(10)]
        for rank in (ORDINARY, TRANSACTION):
            with pytest.raises(StorageError, match="full"):
                await one.outbox.post(message("too much", rank=rank))
        await one.outbox.post(message("h", rank=HEARTBEAT))  # may be answered all the same
        assert len(await _kept(one)) == 10
        assert "full" in " ".join(one.outbox.problems)


async def test_a_disk_that_refuses_is_never_a_false_acknowledgement(tmp_path: Path) -> None:
    async with office(1, tmp_path) as one:
        await one.outbox.post(message("before"))
        pages = (await one.database.read("PRAGMA page_count"))[0][0]
        await one.database.read(f"PRAGMA max_page_count = {pages}")
        big = "x" * 20_000
        with pytest.raises(StorageError):
            await one.outbox.post(message(big))
        await one.outbox.post(message(big, rank=HEARTBEAT))
        await one.database.read("PRAGMA max_page_count = 1000000")
        await one.outbox.post(message(big))
        assert await _kept(one) == ["before", big]


async def test_held_messages_wait_for_their_release(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        for number in range(3):
            await one.outbox.hold(message(number, "A"))
            await one.outbox.hold(message(number, "B"))
        await one.outbox.post(message("other"))
        await until(lambda: one.seen)
        one.outbox.discard("B")
        await one.outbox.release("A")
        await until(lambda: len(one.seen) == 4)
        assert one.payloads("up/A") == ["0", "1", "2"]
        await until(lambda: len(one.outbox) == 0)
        assert await rows(one) == 0


async def test_nothing_overtakes_what_is_being_released(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        for number in range(3):
            await one.outbox.hold(message(number, "A"))

        async def refuse(*_: object) -> int:
            raise StorageError("full")

        with monkeypatch.context() as patch:
            patch.setattr(one.database, "write", refuse)
            with pytest.raises(StorageError):
                await one.outbox.release("A")
        await one.outbox.post(message("meanwhile", "A"))
        releasing = asyncio.create_task(one.outbox.release("A"))
        await asyncio.sleep(0)
        await one.outbox.post(message("newer", "A"))
        await releasing
        await until(lambda: len(one.seen) == 5)
        assert one.payloads("up/A") == ["meanwhile", "0", "1", "2", "newer"]


async def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    async with office(1, tmp_path, limit=100_000) as one:
        for number in range(HELD_LIMIT):
            await one.outbox.hold(message(number, "A", TRANSACTION))
        with pytest.raises(StorageError, match="waits for approval"):
            await one.outbox.hold(message("more", "A", TRANSACTION))
        for number in range(HELD_CHARGERS_LIMIT):
            await one.outbox.hold(message("x", f"C{number}", TRANSACTION))
        assert len(one.outbox) == HELD_CHARGERS_LIMIT
        await until(lambda: not one.outbox.shelf._gone)
        kept = await one.database.read("SELECT DISTINCT charger FROM outbox")
        assert ("A",) not in kept
        assert one.outbox.shelf.dropped == HELD_LIMIT + 1


async def test_begins_and_ends_are_held_rather_than_what_was_measured(tmp_path: Path) -> None:
    async with office(1, tmp_path) as one:
        await one.outbox.hold(message("begin", "A", BOUNDARY))
        for number in range(HELD_LIMIT - 1):
            await one.outbox.hold(message(number, "A", TRANSACTION))
        with pytest.raises(StorageError, match="waits for approval"):
            await one.outbox.hold(message("more", "A", TRANSACTION))
        await one.outbox.hold(message("end", "A", BOUNDARY))
        await until(lambda: not one.outbox.shelf._gone)
        kept = await one.database.read("SELECT payload FROM outbox ORDER BY seq")
        expected = ["begin", *map(str, range(1, HELD_LIMIT - 1)), "end"]
        assert [payload.decode() for (payload,) in kept] == expected
        assert one.outbox.shelf.dropped == 2  # the refused one and the oldest


async def test_a_disk_that_recovers_is_no_problem_any_more(tmp_path: Path) -> None:
    async with office(1, tmp_path) as one:
        pages = (await one.database.read("PRAGMA page_count"))[0][0]
        await one.database.read(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageError):
            await one.outbox.post(message("x" * 20_000))
        assert one.outbox.problems
        assert one.outbox.helpless
        await one.database.read("PRAGMA max_page_count = 1000000")
        await one.outbox.post(message("x" * 20_000))
        assert not one.outbox.problems
        assert not one.outbox.helpless


async def test_a_disk_that_recovers_is_noticed_though_nothing_needs_it(tmp_path: Path) -> None:
    async with office(1, tmp_path) as one:
        pages = (await one.database.read("PRAGMA page_count"))[0][0]
        await one.database.read(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageError):
            await one.outbox.post(message("x" * 20_000))
        await asyncio.sleep(2.5 * outbox_module.RETRY_DISK)
        assert one.outbox.problems
        await one.database.read("PRAGMA max_page_count = 1000000")
        await until(lambda: not one.outbox.problems)
        assert await rows(one) == 0


async def test_a_replay_topic_keeps_old_news_apart(mosquitto: Mosquitto, tmp_path: Path) -> None:
    await mosquitto.stop()
    async with office(mosquitto.port, tmp_path) as one:
        await one.outbox.post(Outgoing("A", "up/A", b"x", replay_topic="up/old/A"))
        await mosquitto.start()
        await until(lambda: one.seen)
        assert one.seen[0][0] == "up/old/A"


async def test_what_the_broker_never_takes_is_set_aside_and_the_rest_flows(tmp_path: Path) -> None:
    async with (
        Mosquitto("max_packet_size 2000") as mosquitto,
        office(mosquitto.port, tmp_path) as one,
    ):
        await one.outbox.post(message("first", "A"))
        await one.outbox.post(message("p" * 4_000, "A"))
        await one.outbox.post(message("second", "A"))
        await one.outbox.post(message("third", "B"))
        await until(lambda: len(one.seen) == 3 and len(one.outbox) == 0)
        assert one.payloads("up/A") == ["first", "second"]
        assert one.outbox.shelf.set_aside == 1
        assert "more than the broker takes" in " ".join(one.outbox.problems)


async def test_a_property_too_long_for_its_field_is_set_aside(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        await one.outbox.post(Outgoing("A", "up/A", b"x", (("warning", "w" * 70_000),)))
        await one.outbox.post(message("next", "A"))
        await until(lambda: one.payloads("up/A") == ["next"])
        assert one.outbox.shelf.set_aside == 1


async def test_a_message_that_ends_every_connection_is_set_aside(tmp_path: Path) -> None:
    """A scripted broker hangs up as soon as it sees the poison."""
    acknowledged: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, body = await _packet(reader)
                if kind == 0x10:
                    writer.write(b"\x20\x03\x00\x00\x00")
                elif kind & 0xF0 == 0x30:
                    if b"poison" in body:
                        break
                    acknowledged.append(body[-1:])
                    at = 2 + int.from_bytes(body[:2], "big")
                    writer.write(b"\x40\x02" + body[at : at + 2])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with office(server.sockets[0].getsockname()[1], tmp_path) as one:
        await until(lambda: one.broker.connected)
        await one.outbox.post(message("1", "A"))
        await one.outbox.post(message("poison", "A"))
        await one.outbox.post(message("2", "A"))
        await one.outbox.post(message("3", "B"))
        await until(lambda: len(acknowledged) >= 3, 60)
        assert sorted(set(acknowledged)) == [b"1", b"2", b"3"]
        assert one.outbox.shelf.set_aside == 1
        assert "set aside" in " ".join(one.outbox.problems)
        kept = await one.database.read("SELECT payload, state FROM outbox")
        await until(lambda: len(one.outbox) == 0)
        assert (b"poison", "aside") in kept
    server.close()


async def test_a_stop_stores_what_is_still_on_the_wire(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with office(mosquitto.port, tmp_path) as one:
        await one.ready()
        mosquitto.suspend()
        one.outbox.post(message("1"))
        await one.outbox.close(0.01)
        assert await _kept(one) == ["1"]


async def _kept(one: Office) -> list[str]:
    found = await one.database.read(
        "SELECT payload, properties FROM outbox WHERE state = 'waiting' ORDER BY seq"
    )
    for payload, properties in found:
        assert json.loads(properties) == [["message-id", payload.decode()[:20]]]
    return [payload.decode() for payload, _ in found]


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, await reader.readexactly(length)
