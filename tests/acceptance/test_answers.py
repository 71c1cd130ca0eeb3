"""Who answers a charger and with what, and what validation makes of messages."""

import json
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from ocpp_addon.bridge import Bridge
from ocpp_addon.errors import StorageError
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.ocpp.messages import Call
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import V16, Version
from ocpp_addon.schemas import load_schema
from tests.support.stand import basic, stand
from tests.support.wire import wire

STAMP = "2026-11-24T17:00:00Z"
START = {"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": STAMP}
ERROR = "ocpp/cp/Error/CP1"

# Every Call of a charger in 1.6 and its security whitepaper, and what the built-in system says.
CALLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("BootNotification", {"chargePointVendor": "v", "chargePointModel": "m"},
     {"status": "Accepted", "interval": 300}),
    ("Heartbeat", {}, {}),
    ("StatusNotification", {"connectorId": 0, "errorCode": "NoError", "status": "Available"}, {}),
    ("Authorize", {"idTag": "T"}, {"idTagInfo": {"status": "Accepted"}}),
    ("StartTransaction", START, {"idTagInfo": {"status": "Accepted"}}),
    ("MeterValues", {"connectorId": 1, "meterValue": [
        {"timestamp": STAMP, "sampledValue": [{"value": "1"}]}]}, {}),
    ("StopTransaction", {"transactionId": -1, "meterStop": 7, "timestamp": STAMP}, {}),
    ("DataTransfer", {"vendorId": "v"}, {"status": "UnknownVendorId"}),
    ("DiagnosticsStatusNotification", {"status": "Idle"}, {}),
    ("FirmwareStatusNotification", {"status": "Idle"}, {}),
    ("SecurityEventNotification", {"type": "Boot", "timestamp": STAMP}, {}),
    ("LogStatusNotification", {"status": "Idle"}, {}),
    ("SignCertificate", {"csr": "x"}, {"status": "Rejected"}),
    ("SignedFirmwareStatusNotification", {"status": "Idle"}, {}),
]  # fmt: skip


async def test_the_built_in_central_system_answers_every_call_of_1_6(tmp_path: Path) -> None:
    validator = Validator(load_schema)
    async with stand(tmp_path) as one, one.charger() as charger:
        for number, (action, payload, expected) in enumerate(CALLS, 1):
            kind, _, answer = await charger.call(action, payload)
            assert kind == 3, action
            assert validator.findings(V16, action, answer, "response") is None
            assert answer.items() >= expected.items(), action
            # What was said is on MQTT, and what was answered too.
            assert (await one.watch.expect(f"ocpp/cp/CP1/{action}")).json["Payload"] == payload
            shown = (await one.watch.expect("ocpp/cp/Answer/CP1", number)).json
            assert (shown["MessageTypeId"], shown["Action"]) == (3, action)
            assert shown["Payload"] == answer
            assert not one.watch.on(f"ocpp/cp/CP1/{action}")[0].marks("warning")
        error = await charger.call("NoSuchThing", {})
        assert (error[0], error[2], len(error)) == (4, "NotImplemented", 5)
        await one.watch.expect("ocpp/cp/CP1/NoSuchThing")


@pytest.mark.parametrize("central_system", ["home", "external"])
async def test_the_tag_policy_holds_whenever_we_answer(tmp_path: Path, central_system: str) -> None:
    options = {"central_system": central_system, "answer_timeout": 0.2, "tag_policy": "list"}
    async with stand(tmp_path, **options) as one, one.charger() as charger:
        assert (await one.request("PUT", "api/tags/KNOWN", {"status": "Accepted"}))[0] < 300
        for tag, status in (("KNOWN", "Accepted"), ("OTHER", "Invalid")):
            answer = (await charger.call("Authorize", {"idTag": tag}))[2]
            assert answer["idTagInfo"]["status"] == status
            answer = (await charger.call("StartTransaction", START | {"idTag": tag}))[2]
            assert answer["idTagInfo"]["status"] == status


async def test_a_call_that_cannot_be_stored_takes_no_other_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = CentralSystem.answer

    async def refuse(self: CentralSystem, charger_id: str, version: Version, call: Call,
                     *rest: Any, **more: Any) -> Any:  # fmt: skip
        if call.action == "StartTransaction":
            raise StorageError("the disk is full")
        return await answer(self, charger_id, version, call, *rest, **more)

    monkeypatch.setattr(CentralSystem, "answer", refuse)
    options = {"central_system": "external", "answer_timeout": 0.5}
    async with stand(tmp_path, **options) as one, one.charger() as charger:
        for number, action in enumerate(["StartTransaction", "Heartbeat", "StartTransaction"]):
            await charger.send([2, str(number), action, {}])  # all are answered in one go
        answers = [await charger.receive() for _ in range(3)]
        assert [each[0] for each in answers] == [4, 3, 4]
        assert answers[0][2] == "InternalError"


async def test_a_call_that_cannot_be_stored_keeps_no_older_one_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocpp_addon.ocpp.session.AWAITED_LIMIT", 1)
    options = {"central_system": "external", "answer_timeout": 60}
    async with stand(tmp_path, **options) as one, one.charger("CP1") as charger:
        await charger.send([2, "older", "Heartbeat", {}])
        await one.watch.expect("ocpp/cp/CP1/Heartbeat")

        async def refuse(*_: object) -> None:
            raise StorageError("The disk is full.")

        monkeypatch.setattr(Bridge, "publish", refuse)
        await charger.send([2, "newer", "Heartbeat", {}])
        assert (await charger.receive())[:3] == [4, "newer", "InternalError"]
        assert (await charger.receive())[:2] == [3, "older"]


async def test_transaction_ids_are_never_used_again(tmp_path: Path) -> None:
    seen: list[int] = []
    for run in range(2):
        async with stand(tmp_path) as one, one.charger() as charger:
            for number in range(3):
                start = START | {"meterStart": 10 * run + number}
                seen.append((await charger.call("StartTransaction", start))[2]["transactionId"])
    assert len(set(seen)) == 6
    assert sorted(seen) == seen
    assert all(0 < each < 2**31 for each in seen)


async def test_an_imported_password_is_hashed_anew_at_its_first_success(tmp_path: Path) -> None:
    file = tmp_path / "chargers.json"
    record = {
        "scheme": "bcrypt",
        "hash": bcrypt.hashpw(b"from-elsewhere", bcrypt.gensalt(4)).decode(),
    }
    chargers = {"CP1": {"password": record, "settings": {}}}
    file.write_text(json.dumps({"version": 1, "chargers": chargers}))

    def stored() -> Any:
        return json.loads(file.read_text())["chargers"]["CP1"]["password"]

    async with stand(tmp_path) as one:
        for password, status in (("wrong", 401), ("from-elsewhere", 101), ("from-elsewhere", 101)):
            header = f"Authorization: {basic('CP1', password)}"
            async with wire(one.port, "/ocpp/CP1", header) as charger:
                assert charger.status == status
            await one.empty()
            assert (stored() == record) == (status == 401)
        assert stored()["scheme"] == "bcrypt-sha256"
        assert stored()["hash"].startswith("$2b$10$")


# Validation. (sub-protocol, action, payload, code)
BAD_CALLS: list[tuple[str, str, dict[str, Any], str]] = [
    ("ocpp1.6", "StatusNotification", {"connectorId": "1", "errorCode": "NoError",
     "status": "Available"}, "TypeConstraintViolation"),
    ("ocpp1.6", "Authorize", {}, "OccurenceConstraintViolation"),
    ("ocpp1.6", "Heartbeat", {"more": 1}, "FormationViolation"),
    ("ocpp1.6", "Authorize", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
    ("ocpp1.6", "SecurityEventNotification", {"type": "x", "timestamp": "yesterday"},
     "PropertyConstraintViolation"),
    ("ocpp1.6", "NoSuchThing", {}, "NotImplemented"),
    ("ocpp2.0.1", "StatusNotification", {"timestamp": STAMP, "connectorStatus": "Available",
     "evseId": "1", "connectorId": 1}, "TypeConstraintViolation"),
    ("ocpp2.0.1", "Authorize", {}, "OccurrenceConstraintViolation"),
    ("ocpp2.0.1", "Heartbeat", {"more": 1}, "FormatViolation"),
    ("ocpp2.1", "Heartbeat", {"more": 1}, "FormatViolation"),
]  # fmt: skip


@pytest.mark.parametrize(("subprotocol", "action", "payload", "code"), BAD_CALLS)
async def test_strict_refuses_a_bad_call_and_warn_passes_it(
    tmp_path: Path, subprotocol: str, action: str, payload: dict[str, Any], code: str
) -> None:
    topic = f"ocpp/cp/CP1/{action}"
    async with stand(tmp_path) as one:
        for validation in ("strict", "warn", "off"):
            async with (
                one.run(name=validation, validation=validation),
                one.charger(subprotocols=(subprotocol,)) as charger,
            ):
                answer = await charger.call(action, payload)
                if validation == "strict":
                    assert (answer[0], answer[2], answer[4]) == (4, code, {})
                    assert 0 < len(answer[3]) <= 255
                    await charger.call("Heartbeat")
                    await one.watch.expect("ocpp/cp/CP1/Heartbeat")
                    assert not [seen for seen in one.watch.on(topic) if seen.json["Payload"]]
                    one.watch.seen.clear()
                    continue
                seen = await one.watch.expect(topic)
                assert seen.json["Payload"] == payload
                assert bool(seen.marks("warning")) == (validation == "warn")
                one.watch.seen.clear()


@pytest.mark.parametrize(
    ("subprotocol", "action"),
    [
        ("ocpp1.6", "StartTransaction"),
        ("ocpp1.6", "StopTransaction"),
        ("ocpp1.6", "MeterValues"),
        ("ocpp2.0.1", "TransactionEvent"),
        ("ocpp2.0.1", "MeterValues"),
    ],
)
async def test_strict_never_refuses_transaction_data(
    tmp_path: Path, subprotocol: str, action: str
) -> None:
    async with (
        stand(tmp_path, validation="strict") as one,
        one.charger(subprotocols=(subprotocol,)) as charger,
    ):
        assert (await charger.call(action, {"wrong": 1}))[0] == 3
        seen = await one.watch.expect(f"ocpp/cp/CP1/{action}")
        assert seen.marks("warning")


@pytest.mark.parametrize("validation", ["strict", "warn", "off"])
async def test_commands_and_their_results_are_checked(tmp_path: Path, validation: str) -> None:
    async with stand(tmp_path, validation=validation) as one, one.charger() as charger:
        bad = {"UniqueId": "bad", "Action": "Reset", "Payload": {"type": "Gentle"}}
        await one.watch.publish("ocpp/CP1/Call/Reset", bad)
        if validation == "strict":
            report = (await one.watch.expect(ERROR)).json
            assert report["ErrorDetails"] == {"origin": "gateway", "reason": "invalid"}
            assert "PropertyConstraintViolation" in report["ErrorDescription"]
        else:
            assert (await charger.receive())[3] == {"type": "Gentle"}
            await charger.send([3, "bad", {"status": "Rejected"}])
            seen = await one.watch.expect("ocpp/cp/Reply/CP1")
            assert [text[:8] for text in seen.marks("warning")] == (
                ["command:"] if validation == "warn" else []
            )
        one.watch.seen.clear()
        good = {"UniqueId": "good", "Action": "Reset", "Payload": {"type": "Soft"}}
        await one.watch.publish("ocpp/CP1/Call/Reset", good)
        await charger.receive()
        await charger.send([3, "good", {"status": "NotImplemented"}])
        seen = await one.watch.expect("ocpp/cp/Reply/CP1")
        assert seen.json["Payload"] == {"status": "NotImplemented"}
        assert bool(seen.marks("warning")) == (validation != "off")
        assert not one.watch.on(ERROR)
