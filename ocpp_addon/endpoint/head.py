"""The head of a charger's HTTP request: finds its end, mends what chargers get wrong. Pure.

What leaves `mended` is one well-formed request without a body, the only one of its connection, so
that the HTTP server behind never has to parse what nobody has looked at.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote_from_bytes

HEAD_LIMIT = 16 * 1024  # bytes
LINE_LIMIT = 8000  # bytes; aiohttp takes 8,190
HEADERS_LIMIT = 100  # lines; aiohttp takes 128

_END = re.compile(rb"\r?\n\r?\n")
_BEGINNING = re.compile(rb"[A-Z]{1,16}(?: .*)?", re.DOTALL)
_VERSION = re.compile(rb"HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")
_HOST = re.compile(rb"[A-Za-z0-9._-]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?")
_ABSOLUTE = re.compile(rb"(?:https?|wss?)://[^/?#]*", re.IGNORECASE)
_VISIBLE = bytes(range(0x21, 0x7F)).decode()
# aiohttp refuses requests that repeat one of these.
_ONCE = frozenset(
    {
        b"content-length",
        b"content-location",
        b"content-range",
        b"content-type",
        b"etag",
        b"host",
        b"max-forwards",
        b"server",
        b"user-agent",
    }
)
# A handshake has no body (RFC 6455 4.1), and key1 belongs to a draft from before the standard.
_UNWANTED = frozenset({b"transfer-encoding", b"content-encoding", b"sec-websocket-key1"})

_Header = tuple[bytes, bytes, bytes]  # name in lower case, value, the whole line


class BadHead(ValueError):
    """Refuse a request; `code` is a reason of `attempts`, `status` the HTTP answer, 0 = none."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


def find_end(received: bytes | bytearray, searched: int = 0) -> tuple[int, int] | None:
    """Return where the head ends and where the rest starts; None while it is incomplete.

    `searched` bytes were looked at before. Raises BadHead as soon as it cannot become a request.
    """
    if received[:1] == b"\x16" and received[1:2] in (b"", b"\x03"):  # a TLS handshake
        if len(received) == 1:
            return None
        raise BadHead("tls_on_plain_port", 0)
    if received and not _BEGINNING.fullmatch(received[:20]):
        raise BadHead("bad_http", 400)
    end = _END.search(received, max(0, searched - 3))
    if (end.end() if end else len(received)) > HEAD_LIMIT:
        raise BadHead("head_too_large", 431)
    return end.span() if end else None


def mended(head: bytes) -> tuple[bytes, bool]:
    """Return `head` (without its empty line) as a whole well-formed one, ready for aiohttp.

    The second value tells whether it asks for a WebSocket; nothing may follow any other request.
    Raises BadHead. Mended are raw blanks and UTF-8 in the target (percent-encoded), absolute
    targets, a missing or unusable Host, and for WebSockets HTTP/1.0 and a missing
    `Connection: Upgrade` or version of the protocol. All other lines stay as they are.
    """
    first, *lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    if len(lines) > HEADERS_LIMIT or any(len(line) > LINE_LIMIT for line in (first, *lines)):
        raise BadHead("head_too_large", 431)
    method, target, version = _request_line(first)
    headers = [_header(line) for line in lines]
    if any(
        name in _UNWANTED or (name == b"content-length" and value != b"0")
        for name, value, _ in headers
    ):
        raise BadHead("bad_http", 400)
    upgrades = _is_websocket(headers)
    # A second request would reach aiohttp unseen, so the first is always the last.
    connection = [b"Connection: close"]
    if upgrades:
        version = b"HTTP/1.1"
        connection = [b"Upgrade: websocket", b"Connection: Upgrade, close"]
        if all(name != b"sec-websocket-version" for name, _, _ in headers):
            connection.append(b"Sec-WebSocket-Version: 13")
    first = b" ".join((method, target, version))
    return b"\r\n".join([first, *_kept(headers), *connection, b"", b""]), upgrades


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not _VERSION.fullmatch(version):
        raise BadHead("bad_http", 400)
    if method not in {b"GET", b"HEAD"}:
        raise BadHead("not_a_websocket", 405)
    target = quote_from_bytes(_ABSOLUTE.sub(b"", target, count=1).strip(), safe=_VISIBLE).encode()
    if len(target) > LINE_LIMIT:
        raise BadHead("head_too_large", 431)
    if target[:1] in {b"", b"?"}:
        target = b"/" + target
    if not target.startswith(b"/"):
        raise BadHead("bad_path", 400)
    return method, target, version


def _header(line: bytes) -> _Header:
    match = _HEADER.fullmatch(line)
    if not match:
        raise BadHead("bad_http", 400)
    name, value = match[1].lower(), match[2].strip()
    # aiohttp repeats or decodes these and fails where they are not ASCII.
    if not value.isascii() and (name.startswith(b"sec-websocket-") or name == b"expect"):
        raise BadHead("bad_http", 400)
    return name, value, line


def _is_websocket(headers: Sequence[_Header]) -> bool:
    upgrade = b",".join(value for name, value, _ in headers if name == b"upgrade")
    return b"websocket" in upgrade.lower() and any(
        name == b"sec-websocket-key" for name, _, _ in headers
    )


def _kept(headers: Sequence[_Header]) -> list[bytes]:
    lines = []
    seen = {b"connection", b"upgrade"}
    for name, value, line in headers:
        if name in seen or (name == b"host" and not _HOST.fullmatch(value)):
            continue
        if name in _ONCE:
            seen.add(name)
        lines.append(line)
    return lines if b"host" in seen else [b"Host: localhost", *lines]
