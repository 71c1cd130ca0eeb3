"""The conversation with one charger, as effects for messages and time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

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
from ocpp_addon.ocpp.frame import encode
from ocpp_addon.ocpp.messages import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    Send,
    UniqueId,
)
from ocpp_addon.ocpp.session import AWAITED_LIMIT, MALFORMED_LIMIT, Policy, Session
from ocpp_addon.ocpp.validation import Validator
from ocpp_addon.ocpp.version import V16, V21, VERSIONS, Version
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


@pytest.mark.parametrize(("said", "echoed"), [(7, "7"), ("7", 7)])
def test_an_answer_of_mqtt_may_spell_a_number_as_text(said: object, echoed: str | int) -> None:
    one = session(central_system="external")
    one.receive(json.dumps([2, said, "Heartbeat", {}]), 0)
    [sent, answered, *_] = one.forward(CallResult(echoed, {}), 1)
    assert isinstance(sent, Transmit) and isinstance(answered, Answered)
    assert sent.message.unique_id == said
    one = session()
    one.receive(json.dumps([2, said, "Heartbeat", {}]), 0)
    assert [type(effect) for effect in one.forward(CallResult(echoed, {}), 1)] == [Note]


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


def test_an_answer_has_the_id_of_the_command_even_if_the_charger_made_a_text_of_it() -> None:
    one = session()
    for unique_id in (7, 8):
        one.command(Command(Call(unique_id, "ClearCache", {})), 0)
    settled = one.receive('[3,"7",{"status":"Accepted"}]', 1)[0]
    assert isinstance(settled, Settle)
    assert settled.outcome == CallResult(7, {"status": "Accepted"})
    one.tick(60)
    late = one.receive('[4,"8","InternalError","",{}]', 61)
    assert late == [Publish(CallError(8, "InternalError", "", {}), "ClearCache", late=True)]


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


def test_who_is_approved_before_its_answer_is_not_answered_twice() -> None:
    one = session(pending=True)
    assert [type(effect) for effect in one.receive(HEARTBEAT, 0)] == [Answer]
    one.approve()
    assert [type(effect) for effect in one.forward(CallResult("h1", {}), 0)] == [Note]


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
    """Whatever comes in whatever order, nothing raises and what the session promises holds."""

    @initialize(
        version=st.sampled_from(VERSIONS),
        central_system=st.sampled_from(["home", "external"]),
        answer_timeout=st.sampled_from([0, 3]),
        validation=st.sampled_from(["warn", "strict", "off"]),
        pending=st.booleans(),
    )
    def connect(self, version: Version, pending: bool, **policy: Any) -> None:
        self.now = 0.0
        self.commanded = 0
        self.settled: list[object] = []  # commands, by number
        self.outstanding: list[UniqueId] = []  # Calls that the charger got and has not answered
        self.published: list[Call] = []  # Calls that are safe, and wait for their answer
        self.newest: dict[UniqueId, Call] = {}
        self.asked: list[Call] = []  # of them, those that the built-in central system answers
        self.late: list[UniqueId] = []  # ids of commands that timed out
        self.overdue: list[UniqueId] = []  # and of them those that never got an answer
        self.charger = Session(
            version,
            Policy(queue_limit=2, call_timeout=5, **policy),
            VALIDATOR.findings,
            pending=pending,
        )

    def take(self, effects: list[Effect]) -> None:
        """Perform effects in order, as the shell does."""
        for effect in effects:
            match effect:
                case Publish(message=Call() as call) | Hold(call=call):
                    assert self.charger.pending == isinstance(effect, Hold)
                    self.published.append(call)
                    self.newest[call.unique_id] = call
                case Publish(late=True, message=message):
                    assert message.unique_id in self.overdue
                    self.overdue.remove(message.unique_id)
                    assert effect.action == "Reset"
                case Answer(call=call, pending=pending):
                    # Answered only once it is safe, and by one.
                    assert pending or any(call is one for one in self.published)
                    assert not any(call is one for one in self.asked)
                    self.asked.append(call)
                    if pending:
                        self.newest[call.unique_id] = call
                case Answered(call=call):
                    self.published = [one for one in self.published if one is not call]
                    self.asked = [one for one in self.asked if one is not call]
                case Settle(command=command):
                    assert command.origin not in self.settled
                    self.settled.append(command.origin)
                    if command.call.unique_id in self.outstanding:
                        self.outstanding.remove(command.call.unique_id)
                        if reason_of(effect) == "timeout":
                            self.late.append(command.call.unique_id)
                            self.overdue.append(command.call.unique_id)
                case Transmit(message=Call() as call):
                    assert not self.charger.pending
                    self.outstanding.append(call.unique_id)
                case Transmit(message=message):
                    encode(message)

    @rule(valid=st.booleans())
    def command(self, valid: bool) -> None:
        self.commanded += 1
        call = Call(f"r{self.commanded}", "Reset", {"type": "Soft"} if valid else {"a": 1})
        self.take(self.charger.command(Command(call, origin=self.commanded), self.now))

    @rule(text=st.text(max_size=20) | st.text(alphabet='[]{}",:\\ 23456ab', max_size=20))
    def receive_noise(self, text: str) -> None:
        self.take(self.charger.receive(text, self.now))

    @rule(
        name=st.sampled_from("ab"),
        kind=st.sampled_from([2, 3, 4, 5, 6]),
        action=st.sampled_from(["Heartbeat", "MeterValues", "BootNotification", "Vendor"]),
    )
    def receive(self, name: str, kind: int, action: str) -> None:
        body = [action, {}] if kind in (2, 6) else [{}] if kind == 3 else [action, "", {}]
        self.take(self.charger.receive(json.dumps([kind, name, *body]), self.now))

    @precondition(lambda self: self.outstanding or self.late)
    @rule(data=st.data(), error=st.booleans())
    def answer_a_command(self, data: st.DataObject, error: bool) -> None:
        unique_id = data.draw(st.sampled_from([*self.outstanding, *self.late]))
        frame: list[Any] = [4, unique_id, "GenericError", "", {}] if error else [3, unique_id, {}]
        self.take(self.charger.receive(json.dumps(frame), self.now))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer_a_call_at_last(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.asked))
        effects = self.charger.answer(call, CallResult(call.unique_id, {}))
        assert [type(effect) for effect in effects] == [Transmit, Answered]
        self.take(effects)

    @rule(
        name=st.sampled_from("abc"),
        make=st.sampled_from(
            [
                lambda name: CallResult(name, {}),
                lambda name: CallError(name, "GenericError"),
                lambda name: CallResultError(name, "GenericError"),
                lambda name: Send(name, "Vendor", {}),
            ]
        ),
    )
    def forward(self, name: str, make: Callable[[str], Any]) -> None:
        message = make(name)
        effects = self.charger.forward(message, self.now)
        told = [effect for effect in effects if isinstance(effect, Transmit)]
        assert told in ([], [Transmit(message)])
        if isinstance(message, CallResultError | Send):
            assert not told or self.charger.version is V21
        elif any(self.newest.get(name) is one for one in self.asked):
            assert not told  # the built-in central system has the word
        self.take(effects)

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.charger.tick(self.now))

    @rule()
    def approve(self) -> None:
        self.charger.approve()

    @invariant()
    def at_most_one_call_is_outstanding(self) -> None:
        assert len(self.outstanding) <= 1

    @invariant()
    def no_more_commands_wait_than_may(self) -> None:
        assert self.commanded - len(self.settled) <= 1 + 2

    def teardown(self) -> None:
        self.take(self.charger.closed(self.now))
        assert sorted(map(str, self.settled)) == sorted(map(str, range(1, self.commanded + 1)))
        assert self.charger.closed(self.now) == []
        assert self.charger.tick(self.now + 100) == []


def reason_of(settle: Settle) -> Any:
    return getattr(settle.outcome, "details", {}).get("reason")


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
