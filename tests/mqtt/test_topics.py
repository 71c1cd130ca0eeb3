"""Topic templates."""

import tracemalloc
from typing import Any

import pytest

from ocpp_addon.config import TopicSettings
from ocpp_addon.errors import OptionsError
from ocpp_addon.mqtt.template import LONGEST_VARIABLE
from ocpp_addon.mqtt.topics import Topics
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Send


def topics(gateway: str = "main", **templates: Any) -> Topics:
    return Topics(TopicSettings(**templates), gateway, "homeassistant")


def call(action: str, unique_id: str = "1") -> Call:
    return Call(unique_id, action, {})


@pytest.mark.parametrize(
    ("action", "level"),
    [
        ("BootNotification", "BootNotification"),
        ("a/b", "a%2Fb"),
        ("a+b#c%d", "a%2Bb%23c%25d"),
        ("a\0b\n", "a%00b%0A"),
        ("\ud800", "%ED%A0%80"),
        ("\uffff", "%EF%BF%BF"),
        ("ä b", "ä b"),
        ("x" * 500, "x" * LONGEST_VARIABLE),
        ("/" * 500, "%2F" * 21),
        ("x" + "/" * 500, "x" + "%2F" * 21),
        ("xx" + "/" * 500, "xx" + "%2F" * 20),
    ],
)
def test_actions_cannot_break_a_topic(action: str, level: str) -> None:
    assert topics().upstream("CP1", call(action), None) == f"ocpp/cp/CP1/{level}"


def test_defaults() -> None:
    one = topics()
    assert one.upstream("CP1", Send("1", "A", {}), None) == "ocpp/cp/CP1/A"
    assert one.upstream("CP1", CallResult("1", {}), "Reset") == "ocpp/cp/Reply/CP1"
    assert one.upstream("CP1", CallError("1", "GenericError"), None) == "ocpp/cp/Error/CP1"
    assert one.answer("CP1", CallResult("1", {}), "A") == "ocpp/cp/Answer/CP1"
    assert one.presence("CP1") == "ocpp/presence/CP1"
    assert one.gateway == "ocpp/gateway/main"
    assert one.replay("CP1", call("A"), None) is None
    assert one.filters("RDAM 123")[:2] == ("ocpp/RDAM 123/+/+", "ocpp/cp/RDAM 123/Reply/+")


def test_overrides_and_every_variable() -> None:
    one = topics(
        "garage",
        upstream="x/${gateway}/${clientid}/${type}/${action}/${id}",
        upstream_overrides={"BootNotification": "ocpp/cp/${cid}/Notify/${action}"},
        reply="r/${cid}/${action}",
        replay="old/${cid}/${action}",
    )
    assert one.upstream("CP1", call("A", "7/8"), None) == "x/garage/CP1/2/A/7%2F8"
    boot = one.upstream("CP1", call("BootNotification"), None)
    assert boot == "ocpp/cp/CP1/Notify/BootNotification"
    assert one.upstream("CP1", CallResult("1", {}), "Reset") == "r/CP1/Reset"
    assert one.upstream("CP1", CallResult("1", {}), None) == "r/CP1/unknown"
    assert one.replay("CP1", call("A"), None) == "old/CP1/A"


@pytest.mark.parametrize(
    "templates",
    [
        {"upstream": "cp/${cid}", "downstream": ("cp/${cid}",)},
        {"downstream": ("ocpp/cp/${cid}/+",)},
        {"downstream": ("ocpp/#",)},
        {"downstream": ("#",)},
        {"downstream": ("ocpp/+/${cid}",)},
        {"reply": "ocpp/${cid}/x/y"},
        {"replay": "ocpp/${cid}/Call/${action}"},
        {"presence": "ocpp/${cid}/a/b"},
        {"upstream_overrides": {"X": "ocpp/cp/${cid}/Reply/${action}"}},
        {"upstream": "a/${action}/${cid}", "downstream": ("a/b/${cid}",)},
        {"upstream": "a/x-${cid}", "downstream": ("a/${cid}",)},
        {"downstream": ("ocpp/state/${cid}/+",)},
    ],
)
def test_topics_that_would_go_in_circles_are_refused(templates: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match=r"could match the filter .* of topics\."):
        topics(**templates)


@pytest.mark.parametrize(
    "downstream",
    [
        ("cmd/${cid}/+", "cmd/${cid}/#"),
        ("cmd/${cid}", "cmd/${cid}/#"),
        ("cmd/${cid}/#", "cmd/+/Call/${cid}"),
        ("cmd/${cid}/+", "cmd/${cid}/x"),
        ("cmd/${clientid}", "cmd/${cid}"),
        ("ocpp/set/${cid}/1/+",),
    ],
)
def test_filters_that_would_have_a_command_twice_are_refused(downstream: tuple[str, ...]) -> None:
    with pytest.raises(OptionsError, match=r"topics\.downstream: its filter .* and .* twice"):
        topics(downstream=downstream)


def test_filters_side_by_side_fit() -> None:
    topics(downstream=("cmd/${cid}", "cmd/${cid}/+", "cmd/all/${cid}", "cmd/${cid}/+/+/#"))


def test_the_level_before_the_rest_belongs_to_it() -> None:
    one = topics(downstream=("cmd/${cid}/#",))
    for topic in ("cmd/CP1", "cmd/CP1/", "cmd/CP1/Call/Reset"):
        assert one.charger(topic, {"CP1"}.__contains__) == "CP1"
    assert one.charger("cmd/CP12", {"CP1"}.__contains__) is None


def test_the_emqx_documentation_example_fits() -> None:
    one = topics(
        upstream="ocpp/cp/${cid}", reply="ocpp/cp/${cid}/Reply", error="ocpp/cp/${cid}/Reply",
        downstream=("ocpp/cs/${cid}",),
    )  # fmt: skip
    assert one.charger("ocpp/cs/CP1", {"CP1"}.__contains__) == "CP1"


@pytest.mark.parametrize(
    ("topic", "charger_id"),
    [
        ("ocpp/CP1/Call/Reset", "CP1"),
        ("ocpp/cp/CP1/Reply/BootNotification", "CP1"),
        ("ocpp/CP2/Call/Reset", None),
        ("ocpp/cp/CP1/BootNotification", None),
        ("ocpp/CP1/Call", None),
        ("xocpp/CP1/Call/Reset", None),
    ],
)
def test_a_downstream_topic_finds_its_charger(topic: str, charger_id: str | None) -> None:
    assert topics().charger(topic, {"CP1"}.__contains__) == charger_id


def test_entity_commands_find_their_charger() -> None:
    one = topics()
    known = {"CP1"}.__contains__
    assert one.entity("ocpp/set/CP1/1/limit", known) == ("CP1", "1", "limit")
    assert one.entity("ocpp/set/CP2/1/limit", known) is None
    assert one.entity("ocpp/set/CP1/limit", known) is None


def test_literal_levels_are_no_ids() -> None:
    assert {"ocpp", "cp", "Reply", "x"} <= topics(upstream="ocpp/cp/x/${cid}/${action}").literals


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("answers/me", True),
        ("", False),
        ("a/+", False),
        ("a/#", False),
        ("$SYS/x", False),
        ("a\n", False),
        ("ocpp/CP9/Call/Reset", False),
        ("ocpp/set/CP1/1/limit", False),
        ("ocpp/state/CP1/1", False),
        ("ocpp/presence/CP1", False),
        ("ocpp/gateway/main", False),
        ("homeassistant/sensor/x/config", False),
        ("x" * 2000, False),
    ],
)
def test_response_topics_are_harmless_places(topic: str, allowed: bool) -> None:
    assert topics().may_respond_to(topic) is allowed


@pytest.mark.parametrize(
    ("downstream", "topic"),
    [
        (["ocpp/${cid}/+/+"], "ocpp/CP1/Call/Odd%2FAction"),
        (["ocpp/cs/${cid}"], "ocpp/cs/CP1"),
        (["cs/${cid}/#", "other/${cid}/+"], "cs/CP1/Odd%2FAction"),
        (["cs/+/${cid}"], "cs/Call/CP1"),
    ],
)
def test_a_command_can_be_published_where_it_arrives(downstream: list[str], topic: str) -> None:
    known = topics(downstream=downstream)
    assert known.command("CP1", "Odd/Action") == topic
    assert known.charger(topic, lambda charger_id: True) == "CP1"
    assert topics(downstream=[]).command("CP1", "Reset") is None


def test_actions_without_end_fill_no_memory() -> None:
    topics = Topics(TopicSettings(), "main", "homeassistant")
    tracemalloc.start()
    try:
        for number in range(100):
            action = f"{number}" + "x" * 100_000
            assert len(topics.upstream("CP1", Call("1", action, {}), None)) < 100
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
