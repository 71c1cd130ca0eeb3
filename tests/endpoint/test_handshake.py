import base64
import contextlib
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_addon.endpoint.handshake import (
    BadCredentials,
    Basic,
    basic,
    choose_subprotocol,
    client_address,
    origin_allowed,
)
from ocpp_addon.ocpp.version import V16, V21, V201, Version


@pytest.mark.parametrize(
    ("lines", "version", "spelling", "offered"),
    [
        ([], V16, None, ()),
        ([""], V16, None, ()),
        ([" , ,"], V16, None, ()),
        (["ocpp1.6"], V16, "ocpp1.6", ("ocpp1.6",)),
        (["OCPP1.6"], V16, "OCPP1.6", ("OCPP1.6",)),
        (["ocpp1.6, ocpp1.5"], V16, "ocpp1.6", ("ocpp1.6", "ocpp1.5")),
        (["ocpp1.5,ocpp1.6"], V16, "ocpp1.6", ("ocpp1.5", "ocpp1.6")),
        (["ocpp2.0.1, ocpp1.6"], V201, "ocpp2.0.1", ("ocpp2.0.1", "ocpp1.6")),
        (["ocpp2.1,ocpp2.0.1"], V21, "ocpp2.1", ("ocpp2.1", "ocpp2.0.1")),
        (["ocpp2.0", "ocpp1.6"], V16, "ocpp1.6", ("ocpp2.0", "ocpp1.6")),
        (["ocpp2.0"], None, None, ("ocpp2.0",)),
        (["ocpp1.60"], None, None, ("ocpp1.60",)),
        (["\udcff"], None, None, ("\udcff",)),
    ],
)
def test_subprotocol(
    lines: list[str], version: Version | None, spelling: str | None, offered: tuple[str, ...]
) -> None:
    choice = choose_subprotocol(lines)
    assert (choice.version, choice.spelling, choice.offered) == (version, spelling, offered)


def header(decoded: bytes) -> str:
    return "Basic " + base64.b64encode(decoded).decode()


KEY = bytes.fromhex("0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF")


@pytest.mark.parametrize(
    ("line", "charger_id", "expected"),
    [
        # OCPP-J 6.2.2, its own example
        ("Basic QUwxMDAwOgABAgMEBQYH////////////////", "AL1000", Basic("AL1000", KEY)),
        ("Basic QUwxMDAwOgABAgMEBQYH////////////////", None, Basic("AL1000", KEY)),
        ("basic   " + header(b"CP1:pw")[6:] + " ", "CP1", Basic("CP1", b"pw")),
        (header(b"CP1:pw").rstrip("="), "CP1", Basic("CP1", b"pw")),
        (header(b"CP1:p:w"), "CP1", Basic("CP1", b"p:w")),
        (header(b"CP:1:pw"), "CP:1", Basic("CP:1", b"pw")),
        (header(b"CP:1:pw"), "CP", Basic("CP", b"1:pw")),
        (header(b"CP:1:pw"), None, Basic("CP", b"1:pw")),
        (header(b"CP1::"), "CP1", Basic("CP1", b":")),
        (header(b"CP1:"), "CP1", Basic("CP1", b"")),
        (header(b":pw"), "CP1", Basic(None, b"pw")),
        (header(b"other:pw"), "CP1", Basic("other", b"pw")),
        (header(b"CP1:\x00\xff:\x00"), "CP1", Basic("CP1", b"\x00\xff:\x00")),
        (header("ä 1:ü".encode()), "ä 1", Basic("ä 1", "ü".encode())),
        (header(b"\xff:pw"), "CP1", Basic("\ufffd", b"pw")),
    ],
)
def test_credentials(line: str, charger_id: str | None, expected: Basic) -> None:
    assert basic([line], charger_id) == expected


def test_no_credentials() -> None:
    assert basic([], "CP1") is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([header(b"CP1:a"), header(b"CP1:b")], "more than one"),
        (["Basic " + "A" * 1020], "too long"),
        ([header(b"CP1")], "no colon"),
        (["Basic"], "no colon"),
        ([""], "kind Basic"),
        (["Bearer abc"], "kind Basic"),
        (["QUwxMDAwOgAB"], "kind Basic"),
        (["Basic QUwx MDAw"], "base64"),
        (["Basic QUwx*DAw"], "base64"),
        (["Basic QUwxM"], "base64"),
        (["Basic \udcff\udcff"], "base64"),
        (["Basic äöüß"], "base64"),
    ],
)
def test_broken_credentials(lines: list[str], words: str) -> None:
    with pytest.raises(BadCredentials, match=words):
        basic(lines, "CP1")


def test_secrets_stay_out_of_representations() -> None:
    assert "pw" not in repr(basic([header(b"CP1:pw")], "CP1"))


@given(st.binary(max_size=40), st.sampled_from(["CP1", "a:b", "ä"]))
def test_every_key_arrives_as_it_is(secret: bytes, charger_id: str) -> None:
    line = header(charger_id.encode() + b":" + secret)
    assert basic([line], charger_id) == Basic(charger_id, secret)


@given(st.lists(st.text(), max_size=2), st.none() | st.text())
def test_any_header_is_read_or_refused(lines: list[str], charger_id: str | None) -> None:
    choose_subprotocol(lines)
    with contextlib.suppress(BadCredentials):
        basic(lines, charger_id)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("", True),
        ("file://", True),
        ("FILE://", True),
        ("null", False),
        ("http://evil.example", False),
        ("https://homeassistant.local:8123", False),
        ("file://evil", False),
        ("chrome-extension://abc", False),
        ("http://evil.example http://evil.example/", False),
        ("https://github.com/gilmaimon/TinyWebsockets", True),  # Grizzl-E
        ("http://localhost/", True),  # Go's x/net/websocket
    ],
)
def test_origin(origin: str | None, allowed: bool) -> None:
    assert origin_allowed(origin) is allowed


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1, 2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", ["1.1.1.1", "2.2.2.2, 10.0.0.7"], "2.2.2.2"),
        ("10.0.0.1", ["10.0.0.5, 10.0.0.7"], "10.0.0.5"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", ["nonsense, 2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", [", 2.2.2.2,"], "2.2.2.2"),
        ("10.0.0.1", ["2001:DB8::0001"], "2001:db8::1"),
        ("9.9.9.9", ["1.1.1.1"], "9.9.9.9"),
        ("", ["1.1.1.1"], ""),
    ],
)
def test_the_address_is_the_nearest_that_is_no_trusted_proxy(
    remote: str, forwarded: list[str], address: str
) -> None:
    assert client_address(remote, forwarded, [ip_network("10.0.0.0/24")]) == address
