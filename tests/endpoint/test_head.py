import re
from typing import Any

import pytest
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpp_addon.endpoint.head import (
    HEAD_LIMIT,
    HEADERS_LIMIT,
    LINE_LIMIT,
    BadHead,
    find_end,
    mended,
)

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = b"Upgrade: websocket"


def join(*lines: bytes) -> bytes:
    return b"\r\n".join(lines)


def understood_by_aiohttp(request: bytes) -> Any:
    # Without a body the parser never touches the loop and the protocol.
    nothing: Any = None
    messages, _, tail = HttpRequestParser(nothing, nothing, 2**16).feed_data(request)
    assert len(messages) == 1 and tail == b""
    return messages[0][0]


@pytest.mark.parametrize(
    ("received", "span"),
    [
        (b"", None),
        (b"G", None),
        (b"GET", None),
        (b"GET / HTTP/1.1\r\n", None),
        (b"GET / HTTP/1.1\r\n\r", None),
        (b"GET / HTTP/1.1\r\n\r\n", (14, 18)),
        (b"GET / HTTP/1.1\n\n", (14, 16)),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest\r\n\r\n", (20, 24)),
        (b"\x16", None),
    ],
)
def test_finds_the_end(received: bytes, span: tuple[int, int] | None) -> None:
    assert find_end(received) == span


def test_finds_the_end_wherever_packets_are_cut() -> None:
    request = b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    for size in range(1, len(request)):
        for searched in range(size):
            assert find_end(bytearray(request[:searched])) is None
            assert find_end(bytearray(request[:size]), searched) is None
            assert find_end(bytearray(request), searched) == (20, 24)


@pytest.mark.parametrize(
    ("received", "code", "status"),
    [
        (b"\x16\x03", "tls_on_plain_port", 0),
        (b"\x16\x03\x01\x02\x00\x01\x00", "tls_on_plain_port", 0),
        (b"\x16\x04", "bad_http", 400),
        (b"\x00", "bad_http", 400),
        (b"hello", "bad_http", 400),
        (b" GET / HTTP/1.1", "bad_http", 400),
        (b"GE\r\n", "bad_http", 400),
        (b"A" * 17, "bad_http", 400),
        (b'[2,"1","Heartbeat",{}]', "bad_http", 400),
        (b"GET /" + b"x" * HEAD_LIMIT, "head_too_large", 431),
        (b"GET /" + b"x" * HEAD_LIMIT + b"\r\n\r\n", "head_too_large", 431),
    ],
)
def test_refuses_at_once_what_becomes_no_request(received: bytes, code: str, status: int) -> None:
    with pytest.raises(BadHead) as refusal:
        find_end(received)
    assert (refusal.value.code, refusal.value.status) == (code, status)


@pytest.mark.parametrize(
    ("target", "sent_on"),
    [
        (b"/ocpp/CP1", b"/ocpp/CP1"),
        (b"/ocpp/RDAM 123", b"/ocpp/RDAM%20123"),
        (b"/ocpp/RDAM%20123", b"/ocpp/RDAM%20123"),
        ("/ocpp/ä".encode(), b"/ocpp/%C3%A4"),
        (b"/ocpp/\xe4", b"/ocpp/%E4"),
        (b"/ocpp/a\tb\x00", b"/ocpp/a%09b%00"),
        (b"/ocpp/%zz%", b"/ocpp/%zz%"),
        (b"/ocpp/a?b=c d#e", b"/ocpp/a?b=c%20d#e"),
        (b"//ocpp//a", b"//ocpp//a"),
        (b"ws://10.0.0.2:33033/ocpp/CP1", b"/ocpp/CP1"),
        (b"HTTP://host", b"/"),
        (b"", b"/"),
        (b"?a=b", b"/?a=b"),
    ],
)
def test_mends_the_target(target: bytes, sent_on: bytes) -> None:
    head = join(b"GET " + target + b" HTTP/1.1", b"Host: a", UPGRADE, KEY)
    first = mended(head)[0].split(b"\r\n")[0]
    assert first == b"GET " + sent_on + b" HTTP/1.1"
    assert understood_by_aiohttp(mended(head)[0]).path == sent_on.decode()


@pytest.mark.parametrize(
    "lines",
    [
        [b"Host: a", UPGRADE, b"Connection: Upgrade", KEY],
        [b"Host: a", UPGRADE, b"Connection: keep-alive, Upgrade", KEY],
        [b"Host: a", UPGRADE, b"Connection: keep-alive", KEY],
        [b"Host: a", UPGRADE, b"Connection: close", KEY],
        [b"Host: a", UPGRADE, KEY],
        [b"Host: a", b"upgrade:WebSocket", b"sec-websocket-key: abc"],
        [b"Host: a", b"Upgrade: foo, websocket", KEY],
        [UPGRADE, KEY],
        [b"Host:", UPGRADE, KEY],
        [b"Host: a b", UPGRADE, KEY],
        [b"Host: [::1", UPGRADE, KEY],
        [b"Host: a", b"Host: b", UPGRADE, KEY],
        [b"Host: a", b"User-Agent: x", b"user-agent: y", b"Content-Length: 0", UPGRADE, KEY],
        [b"Host: a", b"X-Name: \xc3\xa4 \xe4", UPGRADE, KEY],
    ],
)
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_makes_aiohttp_upgrade(lines: list[bytes], version: bytes, ending: bytes) -> None:
    head = ending.join([b"GET /ocpp/CP1 " + version, *lines])
    nothing: Any = None
    messages, upgraded, tail = HttpRequestParser(nothing, nothing, 2**16).feed_data(
        mended(head)[0] + b"\x89\x00"
    )
    message: Any = messages[0][0]
    assert upgraded and message.upgrade and message.should_close
    assert message.version == (1, 1)
    assert tail == b"\x89\x00"


def test_keeps_all_other_lines_byte_for_byte() -> None:
    others = [
        b"HOST:  10.0.0.2:33033 ",
        b"Sec-WebSocket-Protocol: OCPP1.6",
        b"sec-websocket-protocol: ocpp1.5",
        b"Authorization: Basic  QUw=",
        b"authorization: Basic QUw=",
        b"X-Odd: \xe4\t ",
        b"sec-websocket-version: 13",
        KEY,
    ]
    lines = mended(join(b"GET /a HTTP/1.1", *others, b"Upgrade: WebSocket"))[0].split(b"\r\n")
    assert lines == [
        b"GET /a HTTP/1.1",
        *others,
        b"Upgrade: websocket",
        b"Connection: Upgrade, close",
        b"",
        b"",
    ]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("extra", [b"Accept: */*", UPGRADE, KEY, b"Upgrade: h2c"])
def test_other_requests_are_the_last_of_their_connection(method: bytes, extra: bytes) -> None:
    head = join(method + b" / HTTP/1.1", b"Host: a", b"Connection: keep-alive, Upgrade", extra)
    request, upgrades = mended(head)
    message = understood_by_aiohttp(request)
    assert message.should_close and not message.upgrade and not upgrades
    assert message.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("head", "code", "status"),
    [
        (b"GET", "bad_http", 400),
        (b"GET /", "bad_http", 400),
        (b"GET / HTTP/2.0", "bad_http", 400),
        (b"GET / HTTP/1.2", "bad_http", 400),
        (b"GET / http/1.1", "bad_http", 400),
        (b"GET / HTTP/1.1 ", "bad_http", 400),
        (b"PRI * HTTP/2.0", "bad_http", 400),
        (b"POST /ocpp HTTP/1.1", "not_a_websocket", 405),
        (b"CONNECT a:1 HTTP/1.1", "not_a_websocket", 405),
        (b"NONSENSE / HTTP/1.1", "not_a_websocket", 405),
        (b"GET ocpp/CP1 HTTP/1.1", "bad_path", 400),
        (b"GET * HTTP/1.1", "bad_path", 400),
        (b"GET /" + b"x" * LINE_LIMIT + b" HTTP/1.1", "head_too_large", 431),
        (b"GET /" + b"\xe4" * (LINE_LIMIT // 2) + b" HTTP/1.1", "head_too_large", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * LINE_LIMIT, "head_too_large", 431),
        (b"GET / HTTP/1.1" + b"\r\nA: b" * (HEADERS_LIMIT + 1), "head_too_large", 431),
        (b"GET / HTTP/1.1\r\nno colon", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nHost : a", "bad_http", 400),
        (b"GET / HTTP/1.1\r\n: a", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nA: b\x00", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nA: b\rc", "bad_http", 400),
        (b"GET / HTTP/1.1\r\n\xc3\xa4: b", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 5", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: ", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nContent-Encoding: br", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nSec-WebSocket-Key1: a", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nSec-WebSocket-Key: \xe4", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nSec-WebSocket-Version: \xe4", "bad_http", 400),
        (b"GET / HTTP/1.1\r\nExpect: \xe4", "bad_http", 400),
    ],
)
def test_refuses(head: bytes, code: str, status: int) -> None:
    with pytest.raises(BadHead) as refusal:
        mended(head)
    assert (refusal.value.code, refusal.value.status) == (code, status)


NAMES = st.sampled_from(
    [
        "Host",
        "Connection",
        "Upgrade",
        "Content-Length",
        "Content-Type",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Extensions",
        "Cookie",
        "Expect",
        "Proxy-Connection",
        "Server",
    ]
) | st.from_regex(re.compile(r"[!-~]{1,8}"), fullmatch=True)
VALUES = st.sampled_from(
    ["websocket", "Upgrade", "close", "0", "100-continue", "h2c", "a", "", "13"]
).map(str.encode) | st.binary(max_size=12)
LINES = st.tuples(NAMES.map(str.encode), VALUES).map(b": ".join) | st.binary(max_size=12)
HEADS = st.tuples(
    st.sampled_from([b"GET ", b"HEAD ", b"POST "]),
    st.binary(max_size=12).map(b"/".__add__) | st.binary(max_size=12),
    st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b" HTTP/0.9", b""]),
    st.lists(LINES, max_size=8).map(lambda lines: b"".join(b"\r\n" + line for line in lines)),
).map(b"".join)


@given(HEADS | st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_what_is_not_refused_is_understood_by_aiohttp(head: bytes) -> None:
    try:
        request, _ = mended(head)
    except BadHead:
        return
    understood_by_aiohttp(request)
    assert find_end(request) == (len(request) - 4, len(request))


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_waited_for(received: bytes) -> None:
    try:
        find_end(received)
    except BadHead as refusal:
        assert refusal.status in {0, 400, 431}
