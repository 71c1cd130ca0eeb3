"""The conversation with one charger, as effects for messages and time."""

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ocpp_addon.ocpp.effects import (
    Answer,
    Answered,
    Close,
    Command,
    Effect,
    Hold,
    Note,
    Publish,
    Settle,
    Transmit,
)
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, Payload, Send
from ocpp_addon.ocpp.session import AWAITED_LIMIT, MALFORMED_LIMIT, Policy, Session
from ocpp_addon.ocpp.validation import Direction, Findings, Validator
from ocpp_addon.ocpp.version import V16, V21, Version
from ocpp_addon.schemas import load_schema

VALIDATOR = Validator(load_schema)
HEARTBEAT = '[2,"h1","Heartbeat",{}]'


def session(pending: bool = False, version: Version = V16, **policy: Any) -> Session:
    return Session(version, Policy(**policy), VALIDATOR.findings, pending=pending)


def reset(unique_id: str | int = "r1") -> Command:
    return Command(Call(unique_id, "Reset", {"type": "Soft"}))


def reason(effect: Effect) -> Any:
    assert isinstance(effect, Settle)
    assert isinstance(effect.outcome, CallError)
    assert effect.outcome.details["origin"] == "gateway"
    return effect.outcome.details["reason"]


def test_at_home_a_call_is_published_before_it_is_answered() -> None:
    call = Call("h1", "Heartbeat", {})
    assert session().receive(HEARTBEAT, 0) == [Publish(call), Answer(call)]


def test_the_built_in_answer_goes_to_the_charger_and_is_told() -> None:
    one = session()
    one.receive(HEARTBEAT, 0)
    call, result = Call("h1", "Heartbeat", {}), CallResult("h1", {"currentTime": "x"})
    assert one.answer(call, result) == [Transmit(result), Answered(call, result, built_in=True)]


def test_at_home_answers_of_mqtt_to_the_same_call_are_dropped() -> None:
    one = session()
    one.receive(HEARTBEAT, 0)
    assert [type(effect) for effect in one.forward(CallResult("h1", {}), 0)] == [Note]


def test_outside_a_call_waits_for_mqtt_and_the_answer_is_passed_on_as_it_is() -> None:
    one = session(central_system="external")
    call = Call("h1", "Heartbeat", {})
    assert one.receive(HEARTBEAT, 0) == [Publish(call)]
    assert one.tick(9.9) == []
    result = CallResult("h1", {"currentTime": "2026-11-24T00:00:00Z"})
    assert one.forward(result, 9.9) == [Transmit(result), Answered(call, result, built_in=False)]
    assert one.tick(99) == []


def test_outside_the_built_in_system_answers_in_the_end_and_nobody_after_it() -> None:
    one = session(central_system="external", answer_timeout=10)
    one.receive(HEARTBEAT, 0)
    assert one.tick(10) == [Answer(Call("h1", "Heartbeat", {}))]
    assert [type(effect) for effect in one.forward(CallResult("h1", {}), 11)] == [Note]
    # The same id again is a new message.
    one.receive(HEARTBEAT, 12)
    assert Transmit(CallResult("h1", {})) in one.forward(CallResult("h1", {}), 13)


def test_outside_without_time_out_only_mqtt_answers() -> None:
    one = session(central_system="external", answer_timeout=0, validation="off")
    one.receive(HEARTBEAT, 0)
    assert one.tick(1e9) == []
    # What it says is heeded all the same, such as a heartbeat interval or a transaction id.
    result = CallResult("h1", {})
    answered = Answered(Call("h1", "Heartbeat", {}), result, built_in=False)
    assert one.forward(result, 1e9) == [Transmit(result), answered]


def test_waiting_calls_without_time_out_are_bounded() -> None:
    one = session(central_system="external", answer_timeout=0, validation="off")
    for number in range(AWAITED_LIMIT + 1):
        effects = one.receive(f'[2,"{number}","Heartbeat",{{}}]', 0)
        assert [type(effect) for effect in effects] == [Publish]
    assert len(one.forward(CallResult("0", {}), 0)) == 1  # forgotten, but sent on
    assert len(one.forward(CallResult("1", {}), 0)) == 2


def test_an_answer_that_nobody_waits_for_is_sent_as_often_as_it_comes() -> None:
    one = session(central_system="external", answer_timeout=0)
    result = CallResult("1", {"status": "Accepted"})
    for _ in range(20):
        assert one.forward(result, 0)[0] == Transmit(result)


def test_waiting_calls_are_bounded() -> None:
    one = session(central_system="external")
    answered = []
    for number in range(AWAITED_LIMIT + 5):
        effects = one.receive(f'[2,"{number}","Heartbeat",{{}}]', 0)
        answered += [effect.call.unique_id for effect in effects if isinstance(effect, Answer)]
    assert answered == ["0", "1", "2", "3", "4"]


def test_one_command_is_outstanding_and_the_next_follows_its_answer() -> None:
    one = session()
    assert one.command(reset("a"), 0) == [Transmit(reset("a").call)]
    assert one.command(reset("b"), 0) == []
    effects = one.receive('[3,"a",{"status":"Accepted"}]', 1)
    outcome = CallResult("a", {"status": "Accepted"})
    assert effects == [Settle(reset("a"), outcome), Transmit(reset("b").call)]


def test_a_result_finds_its_command_whether_the_id_is_text_or_number() -> None:
    one = session()
    one.command(reset(5), 0)
    effects = one.receive('[3,"5",{"status":"Accepted"}]', 0)
    assert isinstance(effects[0], Settle)


def test_a_call_error_of_the_charger_settles_the_command() -> None:
    one = session()
    one.command(reset("a"), 0)
    effects = one.receive('[4,"a","NotSupported","no",{"x":1}]', 0)
    assert effects == [Settle(reset("a"), CallError("a", "NotSupported", "no", {"x": 1}))]


def test_the_queue_is_bounded_and_says_so() -> None:
    one = session(queue_limit=2)
    for name in "abc":
        one.command(reset(name), 0)
    effects = one.command(reset("d"), 0)
    assert [reason(effect) for effect in effects] == ["queue_full"]


def test_a_command_times_out_once_and_the_next_goes_out() -> None:
    one = session(call_timeout=30)
    one.command(reset("a"), 0)
    one.command(reset("b"), 10)
    assert one.tick(29.9) == []
    effects = one.tick(30)
    assert reason(effects[0]) == "timeout"
    assert effects[1:] == [Transmit(reset("b").call)]
    # The second one's time begins when it is sent.
    assert one.tick(59.9) == []
    assert [reason(effect) for effect in one.tick(60)] == ["timeout"]


def test_a_late_answer_is_published_as_such_and_matches_no_other_command() -> None:
    one = session()
    one.command(reset("a"), 0)
    one.tick(30)
    one.command(reset("b"), 31)
    effects = one.receive('[3,"a",{"status":"Accepted"}]', 32)
    late = Publish(CallResult("a", {"status": "Accepted"}), "Reset", late=True)
    assert effects == [late]
    # Twice: the second is nobody's.
    assert one.receive('[3,"a",{}]', 33) == [Publish(CallResult("a", {}))]
    assert isinstance(one.receive('[3,"b",{"status":"Accepted"}]', 34)[0], Settle)


def test_unsolicited_answers_are_published_without_action() -> None:
    assert session().receive('[3,"x",{}]', 0) == [Publish(CallResult("x", {}))]
    error = CallError("x", "GenericError", "", {})
    assert session().receive('[4,"x","GenericError","",{}]', 0) == [Publish(error)]


def test_a_closed_connection_settles_everything_once() -> None:
    one = session()
    for name in "abc":
        one.command(reset(name), 0)
    assert [reason(effect) for effect in one.closed(1)] == ["disconnected"] * 3
    assert one.closed(1) == []
    assert one.tick(1000) == []


def test_a_waiting_charger_is_answered_and_nothing_of_it_is_published() -> None:
    one = session(pending=True)
    boot = '[2,"1","BootNotification",{"chargePointVendor":"v","chargePointModel":"m"}]'
    effects = one.receive(boot, 0)
    assert [type(effect) for effect in effects] == [Answer]
    assert isinstance(effects[0], Answer) and effects[0].pending
    start = '[2,"2","StopTransaction",{"transactionId":1,"meterStop":5,"timestamp":"x"}]'
    assert [type(effect) for effect in one.receive(start, 0)] == [Hold, Answer]
    assert one.receive('[3,"x",{}]', 0) == []
    assert [reason(effect) for effect in one.command(reset(), 0)] == ["pending_approval"]
    one.approve()
    assert one.command(reset(), 0) == [Transmit(reset().call)]


def test_a_send_is_published_and_never_answered() -> None:
    text = '[6,"1","NotifyPeriodicEventStream",{}]'
    effects = session(version=V21).receive(text, 0)
    assert [type(effect) for effect in effects] == [Publish]
    sent = Send("1", "A", {})
    assert session(version=V21).forward(sent, 0) == [Transmit(sent)]


def test_ten_unreadable_messages_in_a_row_end_the_connection() -> None:
    one = session()
    for _ in range(MALFORMED_LIMIT - 1):
        assert not any(isinstance(effect, Close) for effect in one.receive("{", 0))
    one.receive(HEARTBEAT, 0)
    for _ in range(MALFORMED_LIMIT - 1):
        assert not any(isinstance(effect, Close) for effect in one.receive("{", 0))
    assert one.receive("{", 0)[-1] == Close(1008, "10 unreadable messages in a row")


def test_repaired_messages_do_not_count_as_unreadable() -> None:
    one = session()
    for _ in range(3 * MALFORMED_LIMIT):
        effects = one.receive('[2,"1","Heartbeat",{}', 0)
        assert isinstance(effects[0], Publish) and effects[0].repairs


BAD_STATUS = '[2,"1","StatusNotification",{"connectorId":1,"errorCode":"Error","status":"Nope"}]'


def test_warn_publishes_with_findings() -> None:
    effects = session().receive(BAD_STATUS, 0)
    assert isinstance(effects[0], Publish)
    assert len(effects[0].warnings) == 2


def test_off_looks_at_nothing() -> None:
    effects = session(validation="off").receive(BAD_STATUS, 0)
    assert isinstance(effects[0], Publish) and not effects[0].warnings


def test_strict_refuses_with_the_right_code_and_does_not_publish() -> None:
    effects = session(validation="strict").receive(BAD_STATUS, 0)
    assert isinstance(effects[-1], Transmit)
    assert isinstance(effects[-1].message, CallError)
    assert effects[-1].message.code == "PropertyConstraintViolation"
    assert not any(isinstance(effect, Publish) for effect in effects)


@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction", "MeterValues"])
def test_strict_never_refuses_transaction_data(action: str) -> None:
    effects = session(validation="strict").receive(json.dumps([2, "1", action, {}]), 0)
    assert [type(effect) for effect in effects] == [Publish, Answer]


def test_strict_refuses_bad_commands_and_publishes_bad_results_with_the_warning() -> None:
    one = session(validation="strict")
    bad = Command(Call("1", "Reset", {"type": "Gentle"}))
    assert [reason(effect) for effect in one.command(bad, 0)] == ["invalid"]
    one.command(reset("a"), 0)
    effect = one.receive('[3,"a",{"status":"NotImplemented"}]', 0)[0]
    assert isinstance(effect, Settle) and effect.warnings


class Conversation(RuleBasedStateMachine):
    """Whatever comes in whatever order: one Call outstanding, one outcome a command."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.outstanding: list[object] = []
        self.commanded = 0
        self.settled: list[object] = []
        self.charger = Session(
            V16, Policy(queue_limit=3, call_timeout=5, central_system="external"), _no_findings
        )

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Settle):
                self.settled.append(effect.command.origin)
                if effect.command.call.unique_id in self.outstanding:
                    self.outstanding.remove(effect.command.call.unique_id)
            elif isinstance(effect, Transmit) and isinstance(effect.message, Call):
                self.outstanding.append(effect.message.unique_id)
            elif isinstance(effect, Answer):
                self.take(self.charger.answer(effect.call, CallResult(effect.call.unique_id, {})))

    @rule(name=st.sampled_from("abc"))
    def command(self, name: str) -> None:
        self.commanded += 1
        call = Call(f"{name}{self.commanded}", "Reset", {})
        self.take(self.charger.command(Command(call, origin=self.commanded), self.now))

    @rule(text=st.text(max_size=20))
    def receive_noise(self, text: str) -> None:
        self.take(self.charger.receive(text, self.now))

    @rule(number=st.integers(0, 5), kind=st.sampled_from([2, 3, 4]), name=st.sampled_from("abc"))
    def receive(self, number: int, kind: int, name: str) -> None:
        self.take(self.charger.receive(json.dumps([kind, f"{name}{number}", "X", {}]), self.now))

    @rule()
    def answer(self) -> None:
        if self.outstanding:
            self.take(self.charger.receive(json.dumps([3, self.outstanding[0], {}]), self.now))

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.charger.tick(self.now))

    @invariant()
    def at_most_one_call_is_outstanding(self) -> None:
        assert len(self.outstanding) <= 1

    @invariant()
    def no_command_has_two_outcomes(self) -> None:
        assert len(set(self.settled)) == len(self.settled)

    def teardown(self) -> None:
        self.take(self.charger.closed(self.now))
        assert sorted(map(str, self.settled)) == sorted(
            str(number) for number in range(1, self.commanded + 1)
        )


def _no_findings(
    version: Version, action: str, payload: Payload, direction: Direction
) -> Findings | None:
    return None


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
