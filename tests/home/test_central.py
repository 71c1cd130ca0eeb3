"""Every Call of every version is answered as its schema wants, whatever the payload."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocpp_addon.database import Database, Statement
from ocpp_addon.errors import StorageError
from ocpp_addon.home.central import CentralSystem
from ocpp_addon.home.tags import Tag
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Send
from ocpp_addon.ocpp.version import V16, V21, V201, Version
from tests.home.conftest import NOW, OpenCentral

CALLS_16 = [
    "Authorize",
    "BootNotification",
    "DataTransfer",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "SecurityEventNotification",
    "SignCertificate",
    "SignedFirmwareStatusNotification",
    "StartTransaction",
    "StatusNotification",
    "StopTransaction",
]
CALLS_201 = [
    "Authorize",
    "BootNotification",
    "ClearedChargingLimit",
    "DataTransfer",
    "FirmwareStatusNotification",
    "Get15118EVCertificate",
    "GetCertificateStatus",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDisplayMessages",
    "NotifyEVChargingNeeds",
    "NotifyEVChargingSchedule",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyReport",
    "PublishFirmwareStatusNotification",
    "ReportChargingProfiles",
    "ReservationStatusUpdate",
    "SecurityEventNotification",
    "SignCertificate",
    "StatusNotification",
    "TransactionEvent",
]
ONLY_21 = [
    "BatterySwap",
    "ClosePeriodicEventStream",
    "NotifyDERAlarm",
    "NotifyDERStartStop",
    "NotifyPriorityCharging",
    "NotifySettlement",
    "OpenPeriodicEventStream",
    "PullDynamicScheduleUpdate",
    "ReportDERControl",
    "VatNumberValidation",
]
CALLS = [
    *((V16, action) for action in CALLS_16),
    *((V201, action) for action in CALLS_201),
    *((V21, action) for action in (*CALLS_201, *ONLY_21)),
]
KEYS = [
    "idTag",
    "connectorId",
    "meterStart",
    "meterStop",
    "timestamp",
    "transactionId",
    "reason",
    "status",
    "errorCode",
    "info",
    "chargePointVendor",
    "chargePointModel",
    "firmwareVersion",
    "idToken",
    "chargingStation",
    "transactionInfo",
    "eventType",
    "evse",
    "evseId",
    "connectorStatus",
    "meterValue",
    "sampledValue",
    "value",
    "unitOfMeasure",
    "multiplier",
    "vatNumber",
    "id",
    "model",
]
ODD: list[Any] = [
    None,
    "",
    -1,
    0,
    10**30,
    1.5,
    float("nan"),
    True,
    "\ud800",
    "x" * 300,
    "Started",
    "Ended",
    "a\nb",
    [],
    [1],
    {},
    {"idToken": []},
    {"transactionId": "t"},
    {"sampledValue": {"value": 1e300}},
]


@cache
def schema_of(version: Version, action: str) -> Callable[[object], object]:
    package = find_spec("ocpp")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0]) / version.schemas / "schemas"
    schema = json.loads((folder / f"{action}Response.json").read_text("utf-8-sig"))
    compiled: Callable[[object], object] = fastjsonschema.compile(schema)
    return compiled


async def ask(
    central: CentralSystem,
    version: Version,
    action: str,
    payload: dict[str, Any],
    *,
    pending: bool = False,
    charger_id: str = "garage",
) -> dict[str, Any]:
    """Pass a Call through all that the gateway does with it, and return the valid answer."""
    call = Call("unique", action, payload)
    central.received(charger_id, version, call, NOW, pending=pending)
    response = await central.answer(charger_id, version, call, NOW, pending=pending)
    assert isinstance(response, CallResult), response
    assert response.unique_id == "unique"
    schema_of(version, action)(response.payload)
    if not pending:
        central.answered(charger_id, version, call, response, NOW)
    return response.payload


def start(**fields: object) -> dict[str, Any]:
    return {
        "connectorId": 1,
        "idTag": "card",
        "meterStart": 1000,
        "timestamp": "2026-11-24T16:00:00Z",
    } | fields


def event(kind: str, **fields: object) -> dict[str, Any]:
    return {
        "eventType": kind,
        "timestamp": "2026-11-24T16:00:00Z",
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "t-1"},
    } | fields


async def sessions(database: Database, central: CentralSystem) -> list[tuple[Any, ...]]:
    await central.close()
    return await database.read(
        "SELECT transaction_id, connector, tag, meter_start, meter_stop, reason FROM sessions"
        " ORDER BY number"
    )


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize(("version", "action"), CALLS)
async def test_every_call_has_a_valid_answer(
    open_central: OpenCentral, version: Version, action: str, pending: bool
) -> None:
    central = await open_central("list")
    long = Tag("card", parent="p" * 20, expiry=NOW + timedelta(days=1))
    await central.tags.put("card", long)
    token = {"idToken": {"idToken": "card", "type": "ISO14443"}}
    for payload in ({}, {"idTag": "card"}, token, {"vatNumber": "x" * 300}):
        await ask(central, version, action, payload, pending=pending)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    call=st.sampled_from(CALLS),
    payload=st.dictionaries(
        st.sampled_from(KEYS),
        st.sampled_from(ODD)
        | st.text(max_size=30)
        | st.dictionaries(st.sampled_from(KEYS), st.sampled_from(ODD), max_size=4)
        | st.lists(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(ODD)), max_size=3),
        max_size=12,
    ),
    pending=st.booleans(),
)
def test_odd_payloads_are_answered_and_stored(
    tmp_path_factory: pytest.TempPathFactory,
    call: tuple[Version, str],
    payload: dict[str, Any],
    pending: bool,
) -> None:
    async def once() -> None:
        path = tmp_path_factory.mktemp("odd") / "gateway.db"
        database = await Database.open(path, CentralSystem.TABLES)
        central = await CentralSystem.open(database, tag_policy="list", heartbeat_interval=60)
        await ask(central, *call, payload, pending=pending)
        await ask(central, *call, payload, pending=pending)
        odd = CallResult("unique", payload)
        central.answered("garage", call[0], Call("unique", call[1], payload), odd, NOW)
        central.received("garage", call[0], Send("unique", call[1], payload), NOW)
        await central.close()
        await CentralSystem.open(database, tag_policy="accept", heartbeat_interval=60)
        await database.close()

    asyncio.run(asyncio.wait_for(once(), 60))


@pytest.mark.parametrize(
    ("version", "action"),
    [
        (V16, "Nonsense"),
        (V16, "TransactionEvent"),
        (V16, "a\nb"),
        (V16, "Reset"),
        (V201, "StartTransaction"),
        (V201, "BatterySwap"),
        (V201, "VatNumberValidation"),
        (V21, "Nonsense"),
        # An honest answer would be about certificates that nobody here knows.
        (V21, "GetCertificateChainStatus"),
    ],
)
@pytest.mark.parametrize("pending", [False, True])
async def test_unknown_actions_are_refused(
    central: CentralSystem, version: Version, action: str, pending: bool
) -> None:
    call = Call(7, action, {})
    central.received("garage", version, call, NOW, pending=pending)
    response = await central.answer("garage", version, call, NOW, pending=pending)
    assert isinstance(response, CallError)
    assert (response.unique_id, response.code) == (7, "NotImplemented")
    assert "\n" not in response.description
    central.answered("garage", version, call, response, NOW)


@pytest.mark.parametrize("version", [V16, V201, V21])
async def test_boot_and_heartbeat(central: CentralSystem, version: Version) -> None:
    now = "2026-11-24T17:00:00.000Z"
    assert await ask(central, version, "BootNotification", {}) == {
        "status": "Accepted",
        "currentTime": now,
        "interval": 300,
    }
    assert central.charger("garage").boot_accepted
    assert await ask(central, version, "Heartbeat", {}) == {"currentTime": now}


async def test_answers_are_not_shared(central: CentralSystem) -> None:
    (await ask(central, V16, "DataTransfer", {}))["status"] = "Accepted"
    assert await ask(central, V16, "DataTransfer", {}) == {"status": "UnknownVendorId"}


async def test_tags_in_16(open_central: OpenCentral) -> None:
    central = await open_central("list")
    tomorrow = NOW + timedelta(days=1)
    await central.tags.put("card", Tag("card", parent="family", expiry=tomorrow))
    await central.tags.put("bad", Tag("bad", "Blocked"))
    await central.tags.put("old", Tag("old", expiry=NOW))
    expected = {
        "CARD": {
            "status": "Accepted",
            "parentIdTag": "family",
            "expiryDate": "2026-11-25T17:00:00.000Z",
        },
        "bad": {"status": "Blocked"},
        "old": {"status": "Expired", "expiryDate": "2026-11-24T17:00:00.000Z"},
        "other": {"status": "Invalid"},
        "": {"status": "Invalid"},
    }
    for id_tag, info in expected.items():
        assert await ask(central, V16, "Authorize", {"idTag": id_tag}) == {"idTagInfo": info}
        begun = await ask(central, V16, "StartTransaction", start(idTag=id_tag))
        assert begun["idTagInfo"] == info
        stop = {"transactionId": begun["transactionId"], "meterStop": 1, "idTag": id_tag}
        ended = await ask(central, V16, "StopTransaction", stop)
        assert ended == ({"idTagInfo": info} if id_tag else {})
    assert [tag.id_tag for tag in central.tags.all()][3:] == ["other"]


async def test_tags_in_2(open_central: OpenCentral) -> None:
    central = await open_central("list")
    tomorrow = NOW + timedelta(days=1)
    await central.tags.put("card", Tag("card", parent="family", expiry=tomorrow))
    known = {
        "status": "Accepted",
        "groupIdToken": {"idToken": "family", "type": "Central"},
        "cacheExpiryDateTime": "2026-11-25T17:00:00.000Z",
    }
    for id_token, info in [("Card", known), ("other", {"status": "Unknown"})]:
        token = {"idToken": {"idToken": id_token, "type": "ISO14443"}}
        assert await ask(central, V201, "Authorize", token) == {"idTokenInfo": info}
        answer = await ask(central, V201, "TransactionEvent", event("Started", **token))
        assert answer == {"idTokenInfo": info}
    assert await ask(central, V201, "TransactionEvent", event("Updated")) == {}
    assert [tag.id_tag for tag in central.tags.all()] == ["card", "other"]


async def test_a_session_of_16(central: CentralSystem, database: Database) -> None:
    begun = await ask(central, V16, "StartTransaction", start())
    identity = begun["transactionId"]
    again = await ask(central, V16, "StartTransaction", start())
    assert again["transactionId"] == identity
    stop = {"transactionId": identity, "meterStop": 4500, "timestamp": "2026-11-24T16:30:00Z"}
    for _ in range(2):
        assert await ask(central, V16, "StopTransaction", stop) == {}
    assert await sessions(database, central) == [(identity, 1, "card", 1000, 4500, "Local")]


@pytest.mark.parametrize("told", [-1, None, 0, 77, "x", 10**30])
async def test_a_stop_is_answered_whatever_its_id(central: CentralSystem, told: object) -> None:
    stop = {"transactionId": told, "meterStop": 1, "timestamp": "2026-11-24T16:30:00Z"}
    assert await ask(central, V16, "StopTransaction", stop) == {}
    assert await ask(central, V16, "StopTransaction", {}) == {}


async def test_transactions_are_on_disk_when_the_answer_leaves(
    central: CentralSystem, open_central: OpenCentral, database: Database
) -> None:
    begun = await ask(central, V16, "StartTransaction", start())
    rows = "SELECT transaction_id, meter_stop FROM sessions"
    assert await database.read(rows) == [(begun["transactionId"], None)]

    restarted = await open_central()
    repeated = await ask(restarted, V16, "StartTransaction", start())
    assert repeated["transactionId"] == begun["transactionId"]
    await ask(restarted, V16, "StopTransaction", {"transactionId": begun["transactionId"]} | stop())
    assert await database.read(rows) == [(begun["transactionId"], 4500)]


def stop() -> dict[str, Any]:
    return {"meterStop": 4500, "timestamp": "2026-11-24T16:30:00Z"}


async def test_a_back_end_gives_the_id(central: CentralSystem, database: Database) -> None:
    call = Call("1", "StartTransaction", start())
    answer = CallResult("1", {"transactionId": 5, "idTagInfo": {"status": "Accepted"}})
    central.received("garage", V16, call, NOW)
    central.answered("garage", V16, call, answer, NOW)
    central.answered("garage", V16, call, answer, NOW)
    central.received(
        "garage", V16, Call("2", "StopTransaction", {"transactionId": 5} | stop()), NOW
    )
    assert await sessions(database, central) == [(5, 1, "card", 1000, 4500, "Local")]


async def test_a_session_of_2(central: CentralSystem, database: Database) -> None:
    def energy(value: object, **unit: object) -> list[dict[str, Any]]:
        samples = [
            {"value": 16, "measurand": "Current.Import"},
            {"value": 1, "phase": "L1"},
            {"value": value, "unitOfMeasure": unit},
        ]
        return [{"timestamp": "2026-11-24T16:00:00Z", "sampledValue": samples}]

    token = {"idToken": "card", "type": "ISO14443"}
    started = event("Started", evse={"id": 2}, meterValue=energy(1.0, unit="kWh"))
    await ask(central, V201, "TransactionEvent", started)
    await ask(central, V201, "TransactionEvent", event("Updated", idToken=token))
    await ask(central, V201, "TransactionEvent", event("Updated", evse={"id": 3}))
    info = {"transactionId": "t-1", "stoppedReason": "EVDisconnected"}
    ended = event("Ended", transactionInfo=info, meterValue=energy(45, unit="Wh", multiplier=2))
    for _ in range(2):
        await ask(central, V201, "TransactionEvent", ended)
    await ask(central, V201, "TransactionEvent", event("Updated"))
    assert await sessions(database, central) == [("t-1", 2, "card", 1000, 4500, "EVDisconnected")]


async def test_pending_chargers_get_answers_and_leave_no_trace(
    open_central: OpenCentral, database: Database
) -> None:
    central = await open_central("accept")
    boot = await ask(central, V16, "BootNotification", {}, pending=True)
    assert (boot["status"], boot["interval"]) == ("Pending", 10)
    invalid = {"status": "Invalid"}
    card = {"idTag": "card"}
    assert await ask(central, V16, "Authorize", card, pending=True) == {"idTagInfo": invalid}
    ids = set()
    for _ in range(2):
        begun = await ask(central, V16, "StartTransaction", start(), pending=True)
        assert begun["idTagInfo"] == invalid
        ids.add(begun["transactionId"])
    assert len(ids) == 2
    assert await ask(central, V16, "StopTransaction", card, pending=True) == {}
    token = {"idToken": {"idToken": "card", "type": "ISO14443"}}
    for payload in (event("Started", **token), event("Ended", **token)):
        answer = await ask(central, V21, "TransactionEvent", payload, pending=True)
        assert answer == {"idTokenInfo": invalid}
    assert await sessions(database, central) == []
    assert await database.read("SELECT * FROM chargers") == []
    assert central.tags.all() == []

    approved = await ask(await open_central(), V16, "StartTransaction", start())
    assert approved["transactionId"] > max(ids)


class RefusingDatabase(Database):
    """A database whose disk refuses while `broken`."""

    broken = False

    async def write_all(self, statements: Sequence[Statement]) -> None:
        if self.broken:
            raise StorageError("The disk is full.")
        await super().write_all(statements)


async def test_a_full_disk_refuses_transactions_and_nothing_else(tmp_path: Path) -> None:
    database = await RefusingDatabase.open(tmp_path / "gateway.db", CentralSystem.TABLES)
    central = await CentralSystem.open(database, tag_policy="accept", heartbeat_interval=300)
    running = await ask(central, V16, "StartTransaction", start(connectorId=2))
    database.broken = True
    for action, version, payload in [
        ("StartTransaction", V16, start()),
        ("StopTransaction", V16, {"transactionId": running["transactionId"]} | stop()),
        ("TransactionEvent", V201, event("Started")),
        ("TransactionEvent", V201, event("Ended")),
    ]:
        with pytest.raises(StorageError):
            await ask(central, version, action, payload)
    for action in ("BootNotification", "Heartbeat", "Authorize", "MeterValues"):
        await ask(central, V16, action, {"idTag": "card"})

    database.broken = False  # the charger tries again
    begun = await ask(central, V16, "StartTransaction", start())
    stopped = {"transactionId": running["transactionId"]} | stop()
    await ask(central, V16, "StopTransaction", stopped)
    assert await sessions(database, central) == [
        (running["transactionId"], 2, "card", 1000, 4500, "Local"),
        (begun["transactionId"], 1, "card", 1000, None, None),
        ("t-1", None, None, None, None, "Local"),
    ]
    await database.close()
