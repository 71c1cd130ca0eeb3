"""Frames as chargers send them, sound and broken, against what is to be made of them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpp_addon.ocpp.frame import LONGEST_ID, Frame, Ignored, Malformed, decode, encode
from ocpp_addon.ocpp.messages import Call, CallError, CallResult, CallResultError, Message, Send
from ocpp_addon.ocpp.version import V16, V21, V201, VERSIONS, Version

SOUND: list[tuple[str, Message]] = [
    ('[2,"1","Heartbeat",{}]', Call("1", "Heartbeat", {})),
    ('[2,"1","Heartbeat",null]', Call("1", "Heartbeat", {})),
    ('[2,7,"Heartbeat",{}]', Call(7, "Heartbeat", {})),
    ('[2,"","Heartbeat",{}]', Call("", "Heartbeat", {})),
    ('[2,"' + "x" * 50 + '","Heartbeat",{}]', Call("x" * 50, "Heartbeat", {})),
    ('\ufeff [2,"1","A",{"b":1}]\n\0', Call("1", "A", {"b": 1})),
    ('[2,"1","A",{"b":"line\nbreak"}]', Call("1", "A", {"b": "line\nbreak"})),
    ('[2,"1","A",{"b":18446744073709551617}]', Call("1", "A", {"b": 2**64 + 1})),
    ('[3,"1",{"status":"Accepted"}]', CallResult("1", {"status": "Accepted"})),
    ('[3,"1",null]', CallResult("1", {})),
    ('[4,"1","NotSupported","x",{"a":1}]', CallError("1", "NotSupported", "x", {"a": 1})),
    ('[4,"1","NotSupported","x",""]', CallError("1", "NotSupported", "x", {})),
    ('[4,"1","NotSupported","x",null]', CallError("1", "NotSupported", "x", {})),
    ('[4,"1","NotSupported","x"]', CallError("1", "NotSupported", "x", {})),
    ('[4,"1","NotSupported"]', CallError("1", "NotSupported", "", {})),
    ('[4,"1"]', CallError("1", "GenericError", "", {})),
    ('[4,"1",null,null,null]', CallError("1", "GenericError", "", {})),
]


@pytest.mark.parametrize(("text", "message"), SOUND)
def test_sound_frames(text: str, message: Message) -> None:
    assert decode(text, V16) == Frame(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[5,"1","FormatViolation","x",{}]', CallResultError("1", "FormatViolation", "x")),
        ('[6,"1","NotifyPeriodicEventStream",{"id":1}]',
         Send("1", "NotifyPeriodicEventStream", {"id": 1})),
    ],
)  # fmt: skip
def test_types_of_2_1_pass_there_and_only_there(text: str, message: Message) -> None:
    assert decode(text, V21) == Frame(message)
    assert isinstance(decode(text, V16), Ignored)
    assert isinstance(decode(text, V201), Malformed)


REPAIRED: list[tuple[str, Message]] = [
    ('[2,"1","MeterValues",{"meterValue":[,{"a":1}]}]',
     Call("1", "MeterValues", {"meterValue": [{"a": 1}]})),
    ('[2,"1","StartTransaction",{"a":1', Call("1", "StartTransaction", {"a": 1})),
    ('[2,"1","StopTransaction",{"transactionId":,"meterStop":5}]',
     Call("1", "StopTransaction", {"transactionId": None, "meterStop": 5})),
    ('[2,"1","A",{"b":[1,2,],}]', Call("1", "A", {"b": [1, 2]})),
    ('[2,"1","A",{"b":}]', Call("1", "A", {"b": None})),
    ('[2,"1","A"]', Call("1", "A", {})),
    ('[3,"1"]', CallResult("1", {})),
    ('[2,"1","A",{"b":"a,]}\\"","c":1,}]', Call("1", "A", {"b": 'a,]}"', "c": 1})),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REPAIRED)
def test_known_breakages_are_repaired_and_marked(text: str, message: Message) -> None:
    decoded = decode(text, V16)
    assert isinstance(decoded, Frame)
    assert decoded.message == message
    assert decoded.repairs


@pytest.mark.parametrize("text", ["", "  ", "ping", "pong", "\0", '[9,"1"]', "[17]"])
def test_what_is_passed_over_in_silence(text: str) -> None:
    assert isinstance(decode(text, V16), Ignored)


# (text, id of the answer in 1.6 or None)
MALFORMED: list[tuple[str, str | int | None]] = [
    ("{}", None),
    ("[]", None),
    ("null", None),
    ("17", None),
    ("[2]", None),
    ('["2","1","A",{}]', None),
    ('[true,"1","A",{}]', None),
    ('[2.0,"1","A",{}]', None),
    ('[2,null,"A",{}]', None),
    ('[2,["1"],"A",{}]', None),
    ('[2,true,"A",{}]', None),
    ('[2,"' + "x" * (LONGEST_ID + 1) + '","A",{}]', None),
    ('[3,"' + "x" * (LONGEST_ID + 1) + '",{}]', None),
    ('[2,"1"]', "1"),
    ('[2,"1",["A"],{}]', "1"),
    ('[2,"1",null,{}]', "1"),
    ('[2,"1","",{}]', "1"),
    ('[2,"1","A",[]]', "1"),
    ('[2,"1","A","x"]', "1"),
    ('[2,5,"A",{},{}]', 5),
    ('[3,"1",[]]', None),
    ('[3,"1",{},{}]', None),
    ('[2,"1","A",{"b":NaN}]', "1"),
    ('[2,"1","A",{"b":-Infinity}]', "1"),
    ('[2,"1","A",{"b":1e400}]', "1"),
    ('[2,"1","A",{"b":' + "9" * 5000 + "}]", "1"),
    ('[2,"1","A",{"b":' + "[" * 2000 + "]" * 2000 + "}]", "1"),
    ("[" * 100_000, None),
    ('[2,"1","A",{"b":"cut off', "1"),
    ('[2,"1","A",{"b":tru}]', "1"),
    ('[2,"1","A",{"b":1}]]', "1"),
    ("hello", None),
    ("\ud800", None),
]


@pytest.mark.parametrize(("text", "unique_id"), MALFORMED)
def test_malformed_frames_are_refused_where_an_id_is_readable(
    text: str, unique_id: str | int | None
) -> None:
    decoded = decode(text, V16)
    assert isinstance(decoded, Malformed)
    if unique_id is None:
        assert decoded.reply is None
    else:
        assert decoded.reply is not None
        assert (decoded.reply.unique_id, decoded.reply.code) == (unique_id, "FormationViolation")


def test_later_versions_answer_what_has_no_readable_id() -> None:
    decoded = decode("{}", V201)
    assert isinstance(decoded, Malformed)
    assert decoded.reply is not None
    assert (decoded.reply.unique_id, decoded.reply.code) == ("-1", "RpcFrameworkError")


def test_later_versions_refuse_unknown_message_types() -> None:
    decoded = decode('[9,"1",{}]', V201)
    assert isinstance(decoded, Malformed)
    assert decoded.reply is not None
    assert decoded.reply.code == "MessageTypeNotSupported"


@pytest.mark.parametrize("message", [message for _, message in SOUND])
def test_encoded_messages_decode_to_themselves(message: Message) -> None:
    assert decode(encode(message), V16) == Frame(message)


def test_errors_are_written_with_five_elements() -> None:
    assert json.loads(encode(CallError("1", "GenericError"))) == [4, "1", "GenericError", "", {}]


def test_lone_surrogates_stay_escapes() -> None:
    text = encode(Call("1", "A", {"b": "\ud800", "c": "ä"}))
    assert text.encode()
    assert json.loads(text)[3] == {"b": "\ud800", "c": "ä"}


@settings(max_examples=2000, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet='[]{},:"\\0123456789.eE+-truefalsn \ufeff', max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=5)
                | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=12,
        ).map(json.dumps),
    ),
    st.sampled_from(VERSIONS),
)
def test_decoding_never_raises_and_what_is_decoded_can_be_written(
    text: str, version: Version
) -> None:
    decoded = decode(text, version)
    if isinstance(decoded, Frame):
        encode(decoded.message).encode()
    elif isinstance(decoded, Malformed) and decoded.reply is not None:
        encode(decoded.reply).encode()
