"""The current limit, against chargers of every taste."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_addon.home.profiles import Habits, Limit, Shape, set_limit
from ocpp_addon.home.questions import OrderFailed
from ocpp_addon.ocpp.messages import CallError, Payload
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import V16, V21, V201, VERSIONS, Version
from ocpp_addon.schemas import load_schema
from tests.home.conftest import NOW
from tests.home.script import carry_out, report

LIMIT = Limit(1, 10.0, None, alone=True, phases=3, now=NOW)
RUNNING = replace(LIMIT, transaction_id=7)
VALIDATOR = Validator(load_schema)

KEYS = {
    "ChargeProfileMaxStackLevel": "8",
    "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
}
ODD_LEVELS = [{"ChargeProfileMaxStackLevel": text} for text in ("odd", "9" * 5000)]


@dataclass
class Picky:
    """A charger that takes profiles of some shapes only."""

    purposes: frozenset[str]
    units: frozenset[str] = frozenset({"A", "W"})
    kinds: frozenset[str] = frozenset({"Absolute", "Relative"})
    highest: int = 8
    configuration: dict[str, str] | None = None
    no: str = "Rejected"
    version: Version = V16

    def __call__(self, action: str, payload: Payload) -> Payload | CallError:
        assert not VALIDATOR.findings(self.version, action, payload, "request")
        if action in ("GetConfiguration", "GetVariables"):
            if self.configuration is None:
                return CallError("1", "NotSupported")
            items = [
                {"key": k, "readonly": True, "value": v} for k, v in self.configuration.items()
            ]
            return {"configurationKey": items}
        assert action == "SetChargingProfile"
        profile: Any = payload.get("csChargingProfiles", payload.get("chargingProfile"))
        schedule = profile["chargingSchedule"]
        if isinstance(schedule, list):
            [schedule] = schedule
        fits = (
            profile["chargingProfilePurpose"] in self.purposes
            and schedule["chargingRateUnit"] in self.units
            and profile["chargingProfileKind"] in self.kinds
            and profile["stackLevel"] <= self.highest
        )
        return {"status": "Accepted" if fits else self.no}


def profiles(asked: list[tuple[str, Payload]]) -> list[Any]:
    return [payload["csChargingProfiles"] for action, payload in asked if "Profile" in action]


def test_a_plain_charger_is_asked_once() -> None:
    habits = Habits()
    charger = Picky(frozenset({"TxDefaultProfile"}), configuration=KEYS)
    asked = carry_out(set_limit(V16, LIMIT, habits), charger)
    assert asked[0] == ("GetConfiguration", {"key": list(KEYS)})
    assert asked[1:] == [
        (
            "SetChargingProfile",
            {
                "connectorId": 1,
                "csChargingProfiles": {
                    "chargingProfileId": 1001,
                    "stackLevel": 8,
                    "chargingProfilePurpose": "TxDefaultProfile",
                    "chargingProfileKind": "Absolute",
                    "chargingSchedule": {
                        "chargingRateUnit": "A",
                        "startSchedule": "2026-11-24T16:59:00.000Z",
                        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10.0}],
                    },
                },
            },
        )
    ]
    # The configuration is known now.
    assert len(carry_out(set_limit(V16, LIMIT, habits), charger)) == 1
    habits.forget_configuration()
    assert len(carry_out(set_limit(V16, LIMIT, habits), charger)) == 2


def test_a_running_transaction_gets_a_profile_of_its_own_and_the_next_ones_too() -> None:
    charger = Picky(frozenset({"TxDefaultProfile", "TxProfile"}), configuration=KEYS)
    first, second = profiles(carry_out(set_limit(V16, RUNNING, Habits()), charger))
    assert first["chargingProfilePurpose"] == "TxProfile"
    assert first["transactionId"] == 7
    assert second["chargingProfilePurpose"] == "TxDefaultProfile"
    assert "transactionId" not in second
    assert first["chargingProfileId"] != second["chargingProfileId"]


def test_a_charger_that_names_only_power_gets_watts_of_all_its_phases() -> None:
    charger = Picky(
        frozenset({"TxDefaultProfile"}),
        units=frozenset({"W"}),
        configuration={"chargingscheduleallowedchargingrateunit": ' "Power" '},
    )
    [profile] = profiles(carry_out(set_limit(V16, LIMIT, Habits()), charger))
    assert profile["chargingSchedule"]["chargingRateUnit"] == "W"
    assert profile["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 6900.0
    assert profile["stackLevel"] == 0
    alone = replace(LIMIT, phases=1)
    [profile] = profiles(carry_out(set_limit(V16, alone, Habits()), charger))
    [period] = profile["chargingSchedule"]["chargingSchedulePeriod"]
    assert period == {"startPeriod": 0, "limit": 2300.0, "numberPhases": 1}


@pytest.mark.parametrize(
    ("charger", "shape"),
    [
        # ABB, and Wallbox with firmware 5: level 0 only, whatever they say.
        (Picky(frozenset({"TxDefaultProfile"}), highest=0), Shape("A", 0, "Absolute")),
        # Wallbox: relative only.
        (Picky(frozenset({"TxDefaultProfile"}), kinds=frozenset({"Relative"})),
         Shape("A", 8, "Relative")),
        # Huawei: power only, without saying so.
        (Picky(frozenset({"TxDefaultProfile"}), units=frozenset({"W"})), Shape("W", 8, "Absolute")),
        # em2go: a status outside the enumeration.
        (Picky(frozenset({"TxDefaultProfile"}), no="NotImplemented", highest=0),
         Shape("A", 0, "Absolute")),
    ],
)  # fmt: skip
def test_known_tastes_are_met_and_remembered(charger: Picky, shape: Shape) -> None:
    charger.configuration = {"ChargeProfileMaxStackLevel": "8"}
    habits = Habits()
    carry_out(set_limit(V16, LIMIT, habits), charger)
    assert habits.shapes == {"TxDefaultProfile": shape}
    # Also over a restart: only the configuration is read anew.
    habits = Habits.from_json(habits.as_json())
    assert [action for action, _ in carry_out(set_limit(V16, LIMIT, habits), charger)] == [
        "GetConfiguration",
        "SetChargingProfile",
    ]


def test_the_maximum_of_the_charger_is_the_last_resort() -> None:
    charger = Picky(frozenset({"ChargePointMaxProfile"}))
    habits = Habits()
    *refused, last = profiles(carry_out(set_limit(V16, RUNNING, habits), charger))
    assert last["chargingProfilePurpose"] == "ChargePointMaxProfile"
    assert {one["chargingProfilePurpose"] for one in refused} == {"TxProfile", "TxDefaultProfile"}
    again = carry_out(set_limit(V16, LIMIT, habits), charger)
    assert [payload["connectorId"] for _, payload in again] == [0]


def test_the_maximum_of_the_charger_is_never_the_limit_of_one_of_two_connectors() -> None:
    charger = Picky(frozenset({"ChargePointMaxProfile"}))
    asked: list[str] = []

    def noted(action: str, payload: Payload) -> Payload | CallError:
        asked.append(str(payload))
        return charger(action, payload)

    with pytest.raises(OrderFailed, match=r"refuses to limit the current: Rejected\."):
        carry_out(set_limit(V16, replace(RUNNING, alone=False), Habits()), noted)
    assert not any("ChargePointMaxProfile" in text for text in asked)


def test_what_only_a_transaction_takes_holds_during_one() -> None:
    charger = Picky(frozenset({"TxProfile"}), configuration=KEYS)
    habits = Habits()
    carry_out(set_limit(V16, RUNNING, habits), charger)
    assert list(habits.shapes) == ["TxProfile"]
    [profile] = profiles(carry_out(set_limit(V16, RUNNING, habits), charger))
    assert profile["chargingProfilePurpose"] == "TxProfile"
    with pytest.raises(OrderFailed):
        carry_out(set_limit(V16, LIMIT, habits), charger)


def test_a_charger_without_smart_charging_is_left_alone() -> None:
    asked: list[str] = []

    def simple(action: str, payload: Payload) -> Payload | CallError:
        asked.append(action)
        return CallError("1", "NotImplemented")

    with pytest.raises(OrderFailed, match="NotImplemented") as failed:
        carry_out(set_limit(V16, RUNNING, Habits()), simple)
    assert failed.value.code == "refused"
    assert asked == ["GetConfiguration", "SetChargingProfile"]


def test_a_charger_that_does_not_answer_is_asked_once() -> None:
    asked: list[str] = []

    def silent(action: str, payload: Payload) -> Payload | CallError:
        asked.append(action)
        return report("timeout", "The charger gave no answer within 30 s.")

    with pytest.raises(OrderFailed, match="no answer within 30 s") as failed:
        carry_out(set_limit(V16, RUNNING, Habits()), silent)
    assert failed.value.code == "timeout"
    assert len(asked) == 1


@pytest.mark.parametrize("version", [V201, V21], ids=lambda one: one.number)
def test_in_version_2_profiles_have_their_own_names(version: Version) -> None:
    limit = replace(RUNNING, transaction_id="abc")
    charger = Picky(frozenset({"ChargingStationMaxProfile"}), version=version)
    asked = carry_out(set_limit(version, limit, Habits()), charger)
    assert asked[-1][1]["evseId"] == 0
    assert asked[-1][1]["chargingProfile"]["chargingProfilePurpose"] == "ChargingStationMaxProfile"


@given(
    purposes=st.frozensets(
        st.sampled_from(["TxDefaultProfile", "TxProfile", "ChargePointMaxProfile"]), min_size=1
    ),
    units=st.sampled_from([frozenset("A"), frozenset("W"), frozenset("AW")]),
    kinds=st.sampled_from([frozenset({"Absolute"}), frozenset({"Absolute", "Relative"})]),
    highest=st.sampled_from([0, 8]),
    told=st.sampled_from([None, {}, KEYS, *ODD_LEVELS]),
    no=st.sampled_from(["Rejected", "NotSupported", "NotImplemented", "Odd"]),
)
def test_whatever_a_charger_takes_is_found(
    purposes: frozenset[str],
    units: frozenset[str],
    kinds: frozenset[str],
    highest: int,
    told: dict[str, str] | None,
    no: str,
) -> None:
    if told and "W" in units:
        told = {**told, "ChargingScheduleAllowedChargingRateUnit": ",".join(units)}
    charger = Picky(purposes, units, kinds, highest, told, no)
    if told == KEYS and "A" not in units:
        return  # it says that it takes ampere
    habits = Habits()
    asked = carry_out(set_limit(V16, RUNNING, habits), charger)
    assert len(asked) <= 30
    assert habits.shapes
    # The second time it is known, so hardly anything is refused again.
    assert len(carry_out(set_limit(V16, RUNNING, habits), charger)) <= 2


@pytest.mark.parametrize(
    ("version", "transaction"), list(product(VERSIONS, [None, 7])), ids=lambda one: str(one)[:40]
)
def test_a_refusal_leaves_nothing_behind(version: Version, transaction: int | None) -> None:
    limit = replace(LIMIT, transaction_id=str(transaction) if transaction else None)
    if version == V16 and transaction:
        limit = replace(LIMIT, transaction_id=transaction)
    habits = Habits()
    with pytest.raises(OrderFailed):
        carry_out(set_limit(version, limit, habits), Picky(frozenset(), version=version))
    assert habits.as_json() == {}
    assert not habits.refused
