import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_addon.endpoint.identity import RESERVED, UnusableId, charger_id, checked_id
from ocpp_addon.errors import IdentityError


@pytest.mark.parametrize(
    ("path", "user", "expected"),
    [
        ("/ocpp/CP1", None, "CP1"),
        ("/ocpp/CP1", "other", "CP1"),
        ("/CP1", None, "CP1"),
        ("/ocpp/CP1/", None, "CP1"),
        ("//ocpp//CP1", None, "CP1"),
        ("/ocpp/ocpp/CP1", None, "CP1"),
        ("/%6fcpp/CP1", None, "CP1"),
        ("/ocpp/CP1/CP1", None, "CP1"),
        ("/ocpp/CP%31/CP1", None, "CP1"),
        ("/ocpp/RDAM%20123", None, "RDAM 123"),
        ("/ocpp/evse%201%C3%A4", None, "evse 1ä"),
        ("/ocpp/evse 1ä", None, "evse 1ä"),
        ("/ocpp/\udcc3\udca4", None, "ä"),
        ("/ocpp/%E5%85%85%E7%94%B5", None, "充电"),
        ("/ocpp/CP%252F1", None, "CP%2F1"),
        ("/ocpp/a$b", None, "a$b"),
        ("/ocpp/cp:1.0_-x", None, "cp:1.0_-x"),
        ("/ocpp/reply", None, "reply"),
        ("/ocpp/" + "x" * 64, None, "x" * 64),
        ("/ocpp/", "CP1", "CP1"),
        ("/ocpp", "CP1", "CP1"),
        ("/", "CP1", "CP1"),
        ("", "CP%31", "CP%31"),
    ],
)
def test_finds_the_id(path: str, user: str | None, expected: str) -> None:
    assert charger_id(path, user, RESERVED) == expected


@pytest.mark.parametrize(
    ("path", "user", "code", "words"),
    [
        ("/ocpp/", None, "bad_path", "names no charger"),
        ("/", "", "bad_path", "names no charger"),
        ("/ocpp/CP1/CP2", None, "bad_path", "several parts"),
        ("/ocpp/../ocpp/CP1", None, "bad_path", "several parts"),
        ("/CP1/ocpp", None, "bad_path", "several parts"),
        ("/OCPP/CP1", None, "bad_path", "several parts"),
        ("/ocpp/%", None, "bad_path", "hex digits"),
        ("/ocpp/CP%2", None, "bad_path", "hex digits"),
        ("/ocpp/CP%zz", None, "bad_path", "hex digits"),
        ("/ocpp/%ff", None, "bad_path", "UTF-8"),
        ("/ocpp/%ED%A0%80", None, "bad_path", "UTF-8"),
        ("/ocpp/\ud800", None, "bad_path", "UTF-8"),
        ("/ocpp/CP%2F1", None, "bad_id", "contains /"),
        ("/ocpp/CP+1", None, "bad_id", "contains +"),
        ("/ocpp/CP%231", None, "bad_id", "contains #"),
        ("/ocpp/%24SYS", None, "bad_id", "starts with $"),
        ("/ocpp/CP%001", None, "bad_id", "U+0000"),
        ("/ocpp/CP%0A1", None, "bad_id", "U+000A"),
        ("/ocpp/CP%7F", None, "bad_id", "U+007F"),
        ("/ocpp/CP%C2%85", None, "bad_id", "U+0085"),
        ("/ocpp/CP%EF%BF%BE", None, "bad_id", "U+FFFE"),
        ("/ocpp/CP%EF%B7%90", None, "bad_id", "U+FDD0"),
        ("/ocpp/CP%F4%8F%BF%BF", None, "bad_id", "U+10FFFF"),
        ("/ocpp/CP%E2%80%AE1", None, "bad_id", "U+202E"),
        ("/ocpp/CP%E2%80%A8", None, "bad_id", "U+2028"),
        ("/ocpp/%20", None, "bad_id", "blank"),
        ("/ocpp/.", None, "bad_id", "folder"),
        ("/ocpp/..", None, "bad_id", "folder"),
        ("/ocpp/" + "x" * 65, None, "bad_id", "longer than 64"),
        ("/ocpp/" + "%20" * 65 + "x", None, "bad_id", "longer than 64"),
        ("/ocpp/", "CP\ud800", "bad_id", "U+D800"),
        ("/ocpp/", "CP\ufffd", "bad_id", "U+FFFD"),
        ("/ocpp/", "a/b", "bad_id", "contains /"),
        ("/ocpp/cs", None, "reserved_id", "MQTT topics"),
        ("/ocpp/Reply", None, "reserved_id", "MQTT topics"),
        ("/ocpp/", "ocpp", "reserved_id", "MQTT topics"),
        ("/ocpp/site", None, "reserved_id", "MQTT topics"),
    ],
)
def test_refuses_with_a_sentence(path: str, user: str | None, code: str, words: str) -> None:
    with pytest.raises(UnusableId) as refusal:
        charger_id(path, user, RESERVED | {"site"})
    assert refusal.value.code == code
    assert words in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_reserved_words_are_no_ids(word: str) -> None:
    with pytest.raises(UnusableId):
        checked_id(word)


@given(st.text(max_size=80), st.none() | st.text(max_size=80))
def test_any_path_gives_a_safe_id_or_a_refusal(path: str, user: str | None) -> None:
    try:
        found = charger_id(path, user, RESERVED)
    except IdentityError:
        return
    assert found == checked_id(found)
    assert not set(found) & set("/+#\0\n")
    found.encode()
