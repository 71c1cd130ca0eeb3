"""Who gets in: passwords, strangers, pairing, and two connections with one id."""

import asyncio
import base64
import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ocpp_addon.bridge import Bridge
from ocpp_addon.endpoint.admission import PENDING_LIMIT
from ocpp_addon.endpoint.credentials import Credentials
from ocpp_addon.home import discovery
from ocpp_addon.mqtt.shelf import HELD_LIMIT
from ocpp_addon.web.backend import SessionChoice
from tests.support.patience import until
from tests.support.stand import Stand, basic, stand
from tests.support.wire import Reply, knock, wire

STAMP = "2026-11-24T17:00:00Z"
# OCPP-J 1.6 6.2.2: the specification's own example.
AL1000 = "Authorization: Basic QUwxMDAwOgABAgMEBQYH////////////////"
AL1000_KEY = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"


def authorization(user: str, password: str | bytes) -> str:
    return f"Authorization: {basic(user, password)}"


def encoded(text: bytes) -> str:
    return f"Authorization: Basic {base64.b64encode(text).decode()}"


# Credentials.


async def status_of(one: Stand, charger_id: str, *headers: str) -> int:
    reply = await knock(one.port, f"/ocpp/{charger_id}", *headers)
    if reply.status == 401:
        assert reply.headers["www-authenticate"] == 'Basic realm="OCPP"'
    await one.empty()
    return reply.status


@pytest.mark.parametrize("stored", [AL1000_KEY, AL1000_KEY.lower()])
async def test_a_key_is_the_same_as_bytes_and_as_hex_digits(tmp_path: Path, stored: str) -> None:
    async with stand(tmp_path, chargers=[{"id": "AL1000", "password": stored}]) as one:
        assert await status_of(one, "AL1000", AL1000) == 101
        assert await status_of(one, "AL1000", authorization("AL1000", AL1000_KEY)) == 101
        assert await status_of(one, "AL1000", authorization("AL1000", AL1000_KEY.lower())) == 101
        for wrong in (AL1000_KEY[:-2], bytes(20), b"\0" + bytes.fromhex(AL1000_KEY)[1:-1]):
            assert await status_of(one, "AL1000", authorization("AL1000", wrong)) == 401


async def test_credentials(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = base64.b64encode(b"CP1:good-password").decode()
    async with stand(tmp_path, chargers=[{"id": "CP1", "password": "good-password"}]) as one:
        for header in (
            f"Authorization: Basic {good}",
            f"authorization:   bAsIc   {good}  ",
            f"Authorization: Basic {good.rstrip('=')}",
            encoded(b":good-password"),
        ):
            assert await status_of(one, "CP1", header) == 101, header
        assert "differs" not in caplog.text
        assert await status_of(one, "CP1", authorization("somebody", "good-password")) == 101
        assert "somebody" in caplog.text
        for headers in (
            (),
            (encoded(b"CP1:bad-password"),),
            (encoded(b"CP1:good-password\0"),),
            (encoded(b"CP1:"),),
            (encoded(b"CP1"),),
            ("Authorization: Basic !!!!",),
            (f"Authorization: Bearer {good}",),
            (f"Authorization: Basic {good}", f"Authorization: Basic {good}"),
            (encoded(b"CP1:" + b"x" * 2000),),
        ):
            assert await status_of(one, "CP1", *headers) == 401, headers
    assert "good-password" not in caplog.text
    assert "bad-password" not in caplog.text


@pytest.mark.parametrize(
    ("charger_id", "password"),
    [("CP1", "with:colon"), ("CP:1", ":"), ("CP1", "pässwörd"), ("CP1", "x" * 200)],
)
async def test_odd_ids_and_passwords(tmp_path: Path, charger_id: str, password: str) -> None:
    async with stand(tmp_path, chargers=[{"id": charger_id, "password": password}]) as one:
        assert await status_of(one, charger_id, authorization(charger_id, password)) == 101
        assert await status_of(one, charger_id, authorization(charger_id, password + "x")) == 401


async def test_the_user_name_is_the_id_where_the_path_has_none(tmp_path: Path) -> None:
    chargers = [{"id": "CP1", "password": "good-password"}]
    async with stand(tmp_path, chargers=chargers, unknown_chargers="refuse") as one:
        assert await status_of(one, "", authorization("CP1", "good-password")) == 101
        assert await status_of(one, "", authorization("CP1", "bad-password")) == 401
        assert await status_of(one, "", authorization("CP2", "good-password")) == 404


async def test_chargers_without_password_take_any_or_none(tmp_path: Path) -> None:
    async with stand(tmp_path, chargers=[{"id": "CP1"}], unknown_chargers="refuse") as one:
        assert await status_of(one, "CP1") == 101
        assert await status_of(one, "CP1", authorization("CP1", "anything")) == 101
        assert await status_of(one, "CP1", "Authorization: Basic !!!!") == 101


async def test_repeated_failures_are_slowed_for_that_id_only(tmp_path: Path) -> None:
    chargers = [{"id": name, "password": "good-password"} for name in ("CP1", "CP2")]
    async with stand(tmp_path, chargers=chargers) as one:
        statuses = [
            await status_of(one, "CP1", authorization("CP1", f"wrong-{number}"))
            for number in range(12)
        ]
        assert statuses == [401] * 11 + [429]
        reply = await knock(one.port, "/ocpp/CP1", authorization("CP1", "good-password"))
        assert reply.status == 429
        assert int(reply.headers["retry-after"]) > 0
        assert await status_of(one, "CP2", authorization("CP2", "good-password")) == 101


async def test_the_line_before_the_password_check_is_bounded(tmp_path: Path) -> None:
    async with stand(tmp_path, chargers=[{"id": "CP1", "password": "good-password"}]) as one:
        replies: list[Reply] = await asyncio.gather(
            *(knock(one.port, "/ocpp/CP1", authorization("CP1", f"wrong-{n}")) for n in range(10))
        )
        busy = [reply for reply in replies if reply.status == 503]
        assert busy
        assert {reply.status for reply in replies} == {401, 503}
        assert all(int(reply.headers["retry-after"]) > 0 for reply in busy)


# Unknown chargers.


async def test_unknown_chargers_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"unknown_chargers": "refuse", "chargers": [{"id": "Garage"}]}
    async with stand(tmp_path, **options) as one:
        assert await status_of(one, "CP1", authorization("CP1", "anything")) == 404
        assert await status_of(one, "Garage") == 101
        reply = await knock(one.port, "/ocpp/GARAGE")
        assert reply.status == 404
        assert "Garage" in reply.body


async def test_unknown_chargers_accepted_become_known(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="accept") as one:
        assert await status_of(one, "CP1", authorization("CP1", "anything")) == 101
        _, shown = await one.request("GET", "api/chargers/CP1")
        assert shown["approval"] == "approved"
        assert shown["protected"] is False
        async with one.run(unknown_chargers="refuse"):
            assert await status_of(one, "CP1") == 101


async def test_chargers_come_in_and_are_shown_while_too_much_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stand(tmp_path, unknown_chargers="accept") as one:
        monkeypatch.setattr("ocpp_addon.home.journal.WAITING_LIMIT", 0)
        async with one.charger("CP1") as charger:
            await charger.boot()
            device = discovery.device_id("CP1")
            await one.watch.expect(f"homeassistant/device/{device}/config")
        assert (await one.request("GET", "health"))[1]["problems"] == []
        monkeypatch.undo()


async def test_only_so_many_unknown_chargers_become_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocpp_addon.endpoint.admission.ACCEPTED_LIMIT", 2)
    async with stand(tmp_path, unknown_chargers="accept") as one:
        assert [await status_of(one, name) for name in ("A", "B", "C", "A")] == [101, 101, 503, 101]
        assert (await one.attempts())[0]["code"] == "known_full"


async def test_only_so_many_unknown_chargers_wait(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(PENDING_LIMIT):
                charger = await stack.enter_async_context(wire(one.port, f"/ocpp/CP{number}"))
                assert charger.status == 101
            reply = await knock(one.port, "/ocpp/one-too-many")
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
        await one.empty()
        assert (await knock(one.port, "/ocpp/one-too-many")).status == 101


async def test_unknown_chargers_that_come_all_at_once_are_no_more(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with contextlib.AsyncExitStack() as stack:
            wires = [wire(one.port, f"/ocpp/CP{number}") for number in range(PENDING_LIMIT + 10)]
            come = await asyncio.gather(*map(stack.enter_async_context, wires))
            assert sorted(each.status for each in come) == [101] * PENDING_LIMIT + [503] * 10
        await one.empty()


async def test_strangers_that_never_quite_connect_leave_nothing_behind(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        key = "Sec-WebSocket-Key: too-short"
        headers = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
        reply = await knock(one.port, "/ocpp/CP1", *headers, upgrade=False)
        assert reply.status == 400
        subscribed = one.gateway.membership._subscribed
        await until(lambda: not subscribed)


async def test_strangers_take_their_messages_with_them(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with one.charger("CP1") as charger:
            await charger.boot()
            assert (await one.request("GET", "api/chargers/CP1/messages"))[0] == 200
        await one.empty()
        await until(lambda: one.gateway.roster.history("CP1") is None)
        assert one.gateway.roster.last_seen("CP1") is None


async def test_unknown_chargers_with_unreadable_credentials(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        assert await status_of(one, "CP1", "Authorization: Basic !!!!") == 400


# The same id again.


async def test_without_password_the_living_charger_stays(tmp_path: Path) -> None:
    async with stand(tmp_path) as one:
        async with one.charger("CP1") as charger:  # answers pings
            reply = await knock(one.port, "/ocpp/CP1")
            assert reply.status == 409
            assert (await one.attempts())[0]["code"] == "other_connection_alive"
            assert (await charger.call("Heartbeat"))[0] == 3
        await one.empty()
        # A password that nobody asks for proves nothing.
        async with one.charger("CP1"):
            assert (await knock(one.port, "/ocpp/CP1", authorization("CP1", "x"))).status == 409


async def test_without_password_a_dead_charger_makes_way(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, wire(one.port) as dead, wire(one.port) as newer:
        assert newer.status == 101
        assert await dead.expect_close() is None
        await newer.send('[2,"1","Heartbeat",{}]')
        assert json.loads(await newer.expect_text())[:2] == [3, "1"]
        presence = [seen.payload for seen in one.watch.on("ocpp/presence/CP1")]
        assert presence == [b"offline", b"online"]


async def test_of_two_that_come_at_once_without_password_the_first_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        stand(tmp_path, chargers=[{"id": "CP1"}]) as one,
        contextlib.AsyncExitStack() as stack,
    ):
        admit, entering, gone_on = Bridge.admit, asyncio.Event(), asyncio.Event()

        async def admit_slowly(*arguments: Any) -> None:
            entering.set()
            await gone_on.wait()
            await admit(*arguments)

        monkeypatch.setattr(Bridge, "admit", admit_slowly)
        opening = stack.enter_async_context(one.charger("CP1"))  # answers pings
        coming = asyncio.create_task(opening, name="first")
        await entering.wait()
        knocking = asyncio.create_task(knock(one.port, "/ocpp/CP1"), name="second")
        await asyncio.sleep(0.3)
        gone_on.set()
        charger = await coming
        assert (await knocking).status == 409
        assert (await charger.call("Heartbeat"))[0] == 3


async def test_with_a_password_the_newer_takes_over(tmp_path: Path) -> None:
    chargers = [{"id": "CP1", "password": "good-password"}]
    header = authorization("CP1", "good-password")
    async with stand(tmp_path, chargers=chargers) as one:
        async with wire(one.port, "/ocpp/CP1", header) as older:
            for unique_id in ("pending", "queued"):
                command = {"UniqueId": unique_id, "Action": "ClearCache"}
                await one.watch.publish("ocpp/CP1/Call/ClearCache", command)
            assert json.loads(await older.expect_text())[1] == "pending"
            one.gateway.roster.connections["CP1"].liveness.heartbeat_interval = 77
            async with wire(one.port, "/ocpp/CP1", header) as newer:
                assert newer.status == 101
                assert await older.expect_close() is None  # no Close frame
                assert one.gateway.roster.connections["CP1"].liveness.heartbeat_interval == 77
                for number, unique_id in ((1, "pending"), (2, "queued")):
                    report = (await one.watch.expect("ocpp/cp/Error/CP1", number)).json
                    assert report["UniqueId"] == unique_id
                    assert report["ErrorDetails"]["reason"] == "disconnected"
                await newer.send('[2,"1","Heartbeat",{}]')
                assert json.loads(await newer.expect_text())[:2] == [3, "1"]
                presence = [seen.payload for seen in one.watch.on("ocpp/presence/CP1")]
                assert presence == [b"offline", b"online"]
        await one.empty()
        assert (await one.request("GET", "health"))[1]["takeovers"] == 1


async def test_endless_take_over_is_throttled(tmp_path: Path) -> None:
    chargers = [{"id": "CP1", "password": "good-password"}]
    header = authorization("CP1", "good-password")
    async with stand(tmp_path, chargers=chargers) as one, contextlib.AsyncExitStack() as stack:
        statuses = []
        for _ in range(6):
            charger = await stack.enter_async_context(wire(one.port, "/ocpp/CP1", header))
            statuses.append(charger.status)
        assert statuses == [101] * 5 + [429]
        assert int(charger.reply.headers["retry-after"]) > 0


# Pairing.


async def test_pairing(tmp_path: Path) -> None:
    start = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": "2026-11-24T17:00:00Z"}
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with one.charger("CP1", "its-own-secret") as charger:
            answer = await charger.boot()
            assert (answer["status"], answer["interval"]) == ("Pending", 10)
            for action, payload, expected in [
                ("Authorize", {"idTag": "T"}, {"idTagInfo": {"status": "Invalid"}}),
                ("StatusNotification", {"connectorId": 0}, {}),
                ("MeterValues", {"connectorId": 1, "meterValue": []}, {}),
            ]:
                assert (await charger.call(action, payload))[2] == expected
            assert "currentTime" in (await charger.call("Heartbeat"))[2]
            started = (await charger.call("StartTransaction", start))[2]
            assert started["idTagInfo"] == {"status": "Invalid"}
            stop = {"transactionId": started["transactionId"], "meterStop": 7}
            assert (await charger.call("StopTransaction", stop))[2] == {}

            _, shown = await one.request("GET", "api/chargers/CP1")
            assert shown["approval"] == "pending"
            assert shown["vendor"] == "vendor1"
            assert shown["password_presented"] is True
            await one.watch.publish("ocpp/CP1/Call/Reset", {"Action": "Reset", "UniqueId": "r"})
            report = (await one.watch.expect("ocpp/cp/Error/CP1")).json
            assert report["ErrorDetails"]["reason"] == "pending_approval"
            others = [seen.topic for seen in one.watch.seen if "CP1" in seen.topic]
            assert others == ["ocpp/CP1/Call/Reset", "ocpp/cp/Error/CP1"]

            approve = "api/chargers/CP1/approve"
            status, error = await one.request("POST", approve, {"connection": "another"})
            assert (status, error["error"]["code"]) == (409, "other_connection")
            status, shown = await one.request("POST", approve, {"connection": shown["connection"]})
            assert (status, shown["approval"], shown["protected"]) == (200, "approved", True)
            trigger = await charger.receive()
            assert trigger[2:] == ["TriggerMessage", {"requestedMessage": "BootNotification"}]
            await charger.send([3, trigger[1], {"status": "Accepted"}])
            assert (await charger.boot())["status"] == "Accepted"
            await one.watch.expect("ocpp/cp/CP1/BootNotification")
            kept = [
                await one.watch.expect(f"ocpp/cp/CP1/{action}")
                for action in ("MeterValues", "StartTransaction", "StopTransaction")
            ]
            assert all(seen.marks("replayed") == ["true"] for seen in kept)
            assert kept[1].json["Payload"] == start
            topics = [seen.topic for seen in one.watch.seen]
            order = [topics.index(seen.topic) for seen in kept]
            assert order == sorted(order)
            assert (await one.watch.expect("ocpp/presence/CP1")).payload == b"online"
            assert not one.watch.on("ocpp/cp/CP1/Heartbeat")  # only transactions were kept
            status, _ = await one.request("POST", approve, {"connection": shown["connection"]})
            assert status == 404
        await one.empty()
        assert await status_of(one, "CP1", authorization("CP1", "another-secret")) == 401
        assert await status_of(one, "CP1", authorization("CP1", "its-own-secret")) == 101
    assert "its-own-secret" not in (tmp_path / "chargers.json").read_text()


async def test_approval_is_for_the_connection_that_was_seen(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with one.charger("CP1", "of-the-first"):
            _, seen = await one.request("GET", "api/chargers/CP1")
        await one.empty()
        async with one.charger("CP1", "of-the-second") as second:
            body = {"connection": seen["connection"]}
            assert (await one.request("POST", "api/chargers/CP1/approve", body))[0] == 409
            assert (await second.boot())["status"] == "Pending"


async def test_a_message_that_waits_while_its_charger_is_approved_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one, one.charger("CP1") as charger:
        assert (await charger.boot())["status"] == "Pending"
        hold, its_turn, reached = Bridge.hold, asyncio.Event(), asyncio.Event()

        async def hold_later(*arguments: Any) -> None:
            reached.set()
            await its_turn.wait()
            await hold(*arguments)

        monkeypatch.setattr(Bridge, "hold", hold_later)
        start = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": STAMP}
        await charger.send([2, "1", "StartTransaction", start])
        await reached.wait()
        _, shown = await one.request("GET", "api/chargers/CP1")
        body = {"connection": shown["connection"]}
        assert (await one.request("POST", "api/chargers/CP1/approve", body))[0] == 200
        its_turn.set()
        seen = await one.watch.expect("ocpp/cp/CP1/StartTransaction")
        assert seen.json["Payload"] == start


async def test_whoever_connects_while_another_is_approved_has_to_log_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        put, connected, reached = Credentials.put, asyncio.Event(), asyncio.Event()

        async def put_later(*arguments: Any) -> None:
            reached.set()
            await connected.wait()
            await put(*arguments)

        monkeypatch.setattr(Credentials, "put", put_later)
        async with one.charger("CP1", "of-the-first"):
            _, shown = await one.request("GET", "api/chargers/CP1")
            body = {"connection": shown["connection"]}
            approving = asyncio.create_task(
                one.request("POST", "api/chargers/CP1/approve", body), name="approval"
            )
            await reached.wait()
        await one.empty()
        async with wire(one.port, "/ocpp/CP1", authorization("CP1", "of-the-second")) as second:
            assert second.status == 101
            connected.set()
            assert (await approving)[0] == 200
            assert await second.expect_close() is None
        assert await status_of(one, "CP1", authorization("CP1", "of-the-second")) == 401
        assert await status_of(one, "CP1", authorization("CP1", "of-the-first")) == 101


@pytest.mark.parametrize("there", [True, False])
async def test_what_was_kept_of_a_charger_that_a_person_adds_is_published_or_dropped(
    tmp_path: Path, there: bool
) -> None:
    start = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": STAMP}
    async with stand(tmp_path, unknown_chargers="ask") as one:
        body = {"password": "what-a-person-set"}
        async with one.charger("CP1", "another-password") as charger:
            await charger.call("StartTransaction", start)
            assert len(one.gateway.outbox) == 1
            if there:  # it proves that it is not the charger which the person means
                assert (await one.request("PUT", "api/chargers/CP1", body))[0] == 200
        await one.empty()
        if not there:
            assert (await one.request("PUT", "api/chargers/CP1", body))[0] == 200
            seen = await one.watch.expect("ocpp/cp/CP1/StartTransaction")
            assert seen.json["Payload"] == start
        await until(lambda: len(one.gateway.outbox) == 0)


@pytest.mark.parametrize(
    "options",
    [{"unknown_chargers": "accept"}, {"unknown_chargers": "refuse", "chargers": [{"id": "CP1"}]}],
)
async def test_what_was_kept_of_a_charger_that_becomes_known_otherwise_is_published(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    start = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": STAMP}
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with one.charger("CP1") as charger:
            await charger.call("StartTransaction", start)
        async with one.run(**options), one.charger("CP1"):
            seen = await one.watch.expect("ocpp/cp/CP1/StartTransaction")
            assert seen.json["Payload"] == start


async def test_a_key_as_hex_digits_is_the_key_that_a_waiting_charger_presented(
    tmp_path: Path,
) -> None:
    async with (
        stand(tmp_path, unknown_chargers="ask") as one,
        wire(one.port, "/ocpp/AL1000", AL1000) as charger,
    ):
        assert charger.status == 101
        body = {"password": AL1000_KEY}
        assert (await one.request("PUT", "api/chargers/AL1000", body))[0] == 200
        assert json.loads(await charger.expect_text())[2] == "TriggerMessage"


@pytest.mark.parametrize("decision", ["forget", "refuse", "password"])
async def test_what_a_charger_said_before_it_was_turned_out_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decision: str
) -> None:
    start = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": STAMP}
    known = [{"id": "CP1"}] if decision == "forget" else []
    async with stand(tmp_path, unknown_chargers="ask", chargers=known) as one:
        answer, reached, gone_on = Bridge.answer, asyncio.Event(), asyncio.Event()

        async def answer_slowly(*arguments: Any) -> Any:
            reached.set()
            await gone_on.wait()
            return await answer(*arguments)

        monkeypatch.setattr(Bridge, "answer", answer_slowly)
        async with wire(one.port, "/ocpp/CP1", authorization("CP1", "another")) as charger:
            await charger.send('[2,"1","Heartbeat",{}]')
            await reached.wait()
            await charger.send(json.dumps([2, "2", "StartTransaction", start]))
            await until(lambda: len(one.gateway.roster.history("CP1").entries) == 2)  # type: ignore[union-attr]
            management = one.gateway.management
            if decision == "forget":
                await management.forget("CP1")
            elif decision == "refuse":
                await management.refuse("CP1")
            else:
                await management.set_password("CP1", "what-a-person-set")
            gone_on.set()
            await one.empty()
        assert not one.watch.on("ocpp/cp/CP1/StartTransaction")
        if decision == "password":  # the charger that is meant was never there
            assert b"online" not in [seen.payload for seen in one.watch.on("ocpp/presence/CP1")]
        assert len(one.gateway.outbox) == 0
        assert await one.gateway.management.sessions(SessionChoice()) == []


async def test_a_charger_paired_without_password_has_none(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with one.charger("CP1") as charger:
            assert (await charger.boot())["status"] == "Pending"
            _, shown = await one.request("GET", "api/chargers/CP1")
            body = {"connection": shown["connection"]}
            _, shown = await one.request("POST", "api/chargers/CP1/approve", body)
            assert shown["protected"] is False
            assert (await charger.receive())[2] == "TriggerMessage"
        async with one.run(unknown_chargers="refuse"):
            assert await status_of(one, "CP1") == 101


async def test_strangers_under_ever_new_names_do_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with stand(tmp_path, unknown_chargers="ask") as one:
        for number in range(30):
            async with wire(one.port, f"/ocpp/S{number}") as stranger:
                await stranger.send("hello")
                await stranger.send('[2,"1","Heartbeat",{}]')
                await stranger.expect_text()
            await one.empty()
        lines = [text for text in caplog.messages if text.startswith("S")]
        assert lines[0].startswith("S0 connected from") and len(lines) < 20


async def test_of_a_waiting_charger_the_first_two_hundred_messages_are_kept(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one, one.charger("CP1") as charger:
        for number in range(HELD_LIMIT + 5):
            start = {"connectorId": 1, "idTag": "T", "meterStart": number, "timestamp": STAMP}
            kind = (await charger.call("StartTransaction", start))[0]
            # What is not kept is not acknowledged either: the charger will say it again.
            assert kind == (3 if number < HELD_LIMIT else 4)
        _, shown = await one.request("GET", "api/chargers/CP1")
        body = {"connection": shown["connection"]}
        assert (await one.request("POST", "api/chargers/CP1/approve", body))[0] == 200
        await one.watch.expect("ocpp/cp/CP1/StartTransaction", HELD_LIMIT)
        seen = one.watch.on("ocpp/cp/CP1/StartTransaction")
        assert [each.json["Payload"]["meterStart"] for each in seen] == list(range(HELD_LIMIT))


@pytest.mark.parametrize(
    ("subprotocol", "begin", "measured", "end"),
    [
        (
            "ocpp1.6",
            (
                "StartTransaction",
                {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": STAMP},
            ),
            ("MeterValues", {"connectorId": 1, "meterValue": []}),
            ("StopTransaction", {"transactionId": 1, "meterStop": 7, "timestamp": STAMP}),
        ),
        (
            "ocpp2.0.1",
            ("TransactionEvent", {"eventType": "Started"}),
            ("TransactionEvent", {"eventType": "Updated"}),
            ("TransactionEvent", {"eventType": "Ended"}),
        ),
    ],
)
async def test_of_a_waiting_charger_begins_and_ends_win_over_meter_values(
    tmp_path: Path, subprotocol: str, begin: Any, measured: Any, end: Any
) -> None:
    async with (
        stand(tmp_path, unknown_chargers="ask") as one,
        one.charger("CP1", subprotocols=(subprotocol,)) as charger,
    ):
        for _ in range(HELD_LIMIT):
            assert (await charger.call(*measured))[0] == 3
        assert (await charger.call(*measured))[0] == 4
        for word in (begin, end):
            assert (await charger.call(*word))[0] == 3
        assert (await one.request("GET", "health"))[1]["outbox"]["dropped"] == 3
        _, shown = await one.request("GET", "api/chargers/CP1")
        body = {"connection": shown["connection"]}
        assert (await one.request("POST", "api/chargers/CP1/approve", body))[0] == 200
        last = f"ocpp/cp/CP1/{end[0]}"
        await one.watch.expect(last, HELD_LIMIT if begin[0] == end[0] else 1)
        kept = [seen.json for seen in one.watch.seen if seen.topic.startswith("ocpp/cp/CP1/")]
        said = [(each["Action"], each["Payload"]) for each in kept]
        assert said == [measured] * (HELD_LIMIT - 2) + [begin, end]


async def test_a_charger_that_is_forgotten_while_it_connects_stays_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chargers = [{"id": "CP1", "password": "secret"}]
    async with stand(tmp_path, unknown_chargers="refuse", chargers=chargers) as one:
        admit = Bridge.admit

        async def admit_too_late(*arguments: Any) -> None:
            await admit(*arguments)
            assert await one.gateway.management.forget("CP1")

        monkeypatch.setattr(Bridge, "admit", admit_too_late)
        async with wire(one.port, "/ocpp/CP1", authorization("CP1", "secret")) as charger:
            assert await charger.expect_close() is None
        await until(lambda: one.watch.on("ocpp/presence/CP1")[-1].payload == b"")
        assert b"online" not in [seen.payload for seen in one.watch.on("ocpp/presence/CP1")]


@pytest.mark.parametrize("known", [True, False])
async def test_a_charger_that_gets_a_password_while_it_connects_has_to_log_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    chargers = [{"id": "CP1"}] if known else []
    async with stand(tmp_path, unknown_chargers="ask", chargers=chargers) as one:
        admit = Bridge.admit

        async def admit_too_late(*arguments: Any) -> None:
            await admit(*arguments)
            await one.gateway.management.set_password("CP1", "what-a-person-set")

        monkeypatch.setattr(Bridge, "admit", admit_too_late)
        async with wire(one.port, "/ocpp/CP1", authorization("CP1", "another")) as charger:
            assert await charger.expect_close() is None
        assert b"online" not in [seen.payload for seen in one.watch.on("ocpp/presence/CP1")]


# Where all of it is kept.


@pytest.mark.parametrize("content", ["{", '{"version": 99, "chargers": {}}', ""])
async def test_a_broken_file_is_set_aside_and_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "chargers.json").write_text(content)
    async with stand(tmp_path, unknown_chargers="refuse") as one:
        status, health = await one.request("GET", "health")
        assert (status, health["status"]) == (200, "degraded")
        assert "chargers.json was broken" in " ".join(health["problems"])
        assert await status_of(one, "CP1") == 404
        await one.request("PUT", "api/chargers/CP1", {"password": "a-new-password"})
        assert await status_of(one, "CP1", authorization("CP1", "a-new-password")) == 101
        [aside] = tmp_path.glob("chargers.json.broken-*")
        assert aside.read_text() == content
        async with one.run():  # a restart mends nothing, a person does
            _, health = await one.request("GET", "health")
            assert health["status"] == "degraded"
            assert aside.name in " ".join(health["problems"])
            aside.unlink()
            await one.gateway.aside.look()
            assert (await one.request("GET", "health"))[1]["status"] == "ok"


async def test_a_charger_that_a_person_refused_stays_out(tmp_path: Path) -> None:
    async with stand(tmp_path, unknown_chargers="ask") as one:
        async with one.charger("new") as charger:
            await charger.boot()
            assert (await one.request("POST", "api/chargers/new/refuse"))[0] == 200
            await charger.socket.wait_closed()
        assert await status_of(one, "new") == 403
        [attempt] = await one.attempts()
        assert (attempt["code"], attempt["charger_id"]) == ("turned_away", "new")
        assert await one.request("GET", "api/chargers") == (200, [])
        status, refusal = await one.request("POST", "api/chargers/new/refuse")
        assert (status, refusal["error"]["code"]) == (404, "not_waiting")
        # Who adds it by hand has changed their mind, and so it stays when it is forgotten.
        await one.request("PUT", "api/chargers/new", {"password": None})
        assert await status_of(one, "new") == 101
        await one.request("DELETE", "api/chargers/new")
        assert await status_of(one, "new") == 101
