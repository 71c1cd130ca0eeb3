"""Every call of the HTTP API over real sockets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ocpp_addon.errors import GatewayError, StorageError
from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.web.backend import TagEntry
from tests.web.conftest import ATTEMPT, FRAME, SESSION, TAG, WRITE, Browser, FakeBackend

KNOWN = "/api/chargers/RDAM%20123"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/health", FakeBackend().health()),
        ("/api/chargers", FakeBackend().chargers()),
        (KNOWN, FakeBackend().charger("RDAM 123")),
        (f"{KNOWN}/messages", [FRAME]),
        ("/api/tags", [TAG]),
        ("/api/tags/CARD", TAG),
        ("/api/attempts", [ATTEMPT]),
        ("/api/sessions", [SESSION]),
        ("/api/sessions/totals", {"sessions": 1, "energy_wh": 12345, "hours": 2.5}),
    ],
)
async def test_reads(browser: Browser, path: str, content: object) -> None:
    answer = await browser.ask("GET", path)
    assert (answer.status, answer.content) == (200, content)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("status", "expected"), [("ok", 200), ("degraded", 200), ("unavailable", 503)]
)
async def test_health(browser: Browser, backend: FakeBackend, status: str, expected: int) -> None:
    backend.status = status
    answer = await browser.ask("GET", "/health")
    assert (answer.status, answer.content["status"]) == (expected, status)


@pytest.mark.parametrize(
    ("password", "stored"), [("s3cret", "s3cret"), ("", None), (None, None), ("é\x00", "é\x00")]
)
async def test_put_charger(
    browser: Browser, backend: FakeBackend, password: str | None, stored: str | None
) -> None:
    answer = await browser.write("PUT", "/api/chargers/new", {"password": password})
    assert (answer.status, answer.content["id"]) == (200, "new")
    assert backend.asked == [("set_password", "new", stored)]


@pytest.mark.parametrize(
    ("path", "charger_id"),
    [
        ("RDAM%20123", "RDAM 123"),
        ("caf%C3%A9", "café"),
        ("100%25", "100%"),
        ("a%2Fb", "a/b"),
        ("%7Bx%7D", "{x}"),
        ("a+b", "a+b"),
        ("%3Cscript%3E", "<script>"),
        ("a%3Fb%23c", "a?b#c"),
    ],
)
async def test_ids_are_percent_decoded_once(
    browser: Browser, backend: FakeBackend, path: str, charger_id: str
) -> None:
    await browser.write("PUT", f"/api/chargers/{path}", {"password": None})
    assert backend.asked == [("set_password", charger_id, None)]
    assert (await browser.ask("GET", f"/api/chargers/{path}")).content["id"] == charger_id


async def test_forget(browser: Browser) -> None:
    assert (await browser.write("DELETE", KNOWN)).status == 200
    answer = await browser.write("DELETE", "/api/chargers/nobody")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_approve(browser: Browser, backend: FakeBackend) -> None:
    answer = await browser.write("POST", f"{KNOWN}/approve", {"connection": "c1"})
    assert (answer.status, answer.content["id"]) == (200, "RDAM 123")
    assert backend.asked == [("approve", "RDAM 123", "c1")]
    answer = await browser.write("POST", f"{KNOWN}/approve", {"connection": "c0"})
    assert answer.status == 409
    assert answer.content == {
        "error": {"code": "other_connection", "description": "It has connected anew."}
    }


async def test_disconnect(browser: Browser, backend: FakeBackend) -> None:
    assert (await browser.write("POST", f"{KNOWN}/disconnect")).status == 200
    backend.online.clear()
    answer = await browser.write("POST", f"{KNOWN}/disconnect", {})
    assert (answer.status, answer.code) == (409, "not_connected")
    answer = await browser.write("POST", "/api/chargers/nobody/disconnect")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_call(browser: Browser, backend: FakeBackend) -> None:
    body = {"action": "Reset", "payload": {"type": "Soft"}}
    backend.outcome = CallResult("1", {"status": "Accepted", "odd": "\ud800"})
    answer = await browser.write("POST", f"{KNOWN}/call", body)
    assert answer.status == 200
    assert answer.content == {"result": {"status": "Accepted", "odd": "\ud800"}}

    backend.outcome = CallError("1", "GenericError", "No.", {"origin": "gateway"})
    answer = await browser.write("POST", f"{KNOWN}/call", {"action": "ClearCache"})
    assert answer.status == 200
    details = {"origin": "gateway"}
    assert answer.content == {
        "error": {"code": "GenericError", "description": "No.", "details": details}
    }
    assert backend.asked == [
        ("call", "RDAM 123", "Reset", {"type": "Soft"}),
        ("call", "RDAM 123", "ClearCache", {}),
    ]


async def test_nobody_is_called(browser: Browser, backend: FakeBackend) -> None:
    answer = await browser.write("POST", "/api/chargers/nobody/call", {"action": "Reset"})
    assert (answer.status, answer.code) == (404, "not_found")
    assert backend.asked == []


@pytest.mark.parametrize(
    ("body", "entry"),
    [
        ({}, TagEntry("Accepted")),
        ({"status": "Blocked", "name": "Anna's"}, TagEntry("Blocked", "Anna's")),
        ({"name": None, "parent": "", "expiry": None}, TagEntry("Accepted")),
        (
            {"parent": "family", "expiry": "2027-01-31T12:00:00+02:00"},
            TagEntry("Accepted", None, "family", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ),
        (
            {"expiry": "2027-01-31"},
            TagEntry("Accepted", expiry=datetime(2027, 1, 31, tzinfo=UTC)),
        ),
    ],
)
async def test_put_tag(
    browser: Browser, backend: FakeBackend, body: dict[str, Any], entry: TagEntry
) -> None:
    answer = await browser.write("PUT", "/api/tags/a%2Fcard", body)
    assert answer.status == 200
    assert backend.asked == [("put_tag", "a/card", entry)]


async def test_delete_tag(browser: Browser) -> None:
    assert (await browser.write("DELETE", "/api/tags/card")).status == 200
    answer = await browser.write("DELETE", "/api/tags/other")
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("id_tag", ["x" * 256, "a%0Ab", "%00"])
async def test_odd_tags_are_refused(browser: Browser, backend: FakeBackend, id_tag: str) -> None:
    answer = await browser.write("PUT", f"/api/tags/{id_tag}", {})
    assert (answer.status, answer.code) == (400, "bad_tag")
    assert backend.asked == []


@pytest.mark.parametrize(
    ("method", "path", "body", "key"),
    [
        ("PUT", KNOWN, {}, "password"),
        ("PUT", KNOWN, {"password": 7}, "password"),
        ("PUT", KNOWN, {"password": "hush" * 100}, "password"),
        ("PUT", KNOWN, {"password": "hush\ud800"}, "password"),
        ("PUT", KNOWN, {"password": "hush", "extra": 1}, "extra"),
        ("POST", f"{KNOWN}/approve", {}, "connection"),
        ("POST", f"{KNOWN}/approve", {"connection": 1}, "connection"),
        ("POST", f"{KNOWN}/approve", {"connection": "x" * 65}, "connection"),
        ("POST", f"{KNOWN}/call", {}, "action"),
        ("POST", f"{KNOWN}/call", {"action": ""}, "action"),
        ("POST", f"{KNOWN}/call", {"action": "x" * 65}, "action"),
        ("POST", f"{KNOWN}/call", {"action": "Reset", "payload": []}, "payload"),
        ("PUT", "/api/tags/card", {"status": "accepted"}, "status"),
        ("PUT", "/api/tags/card", {"name": "x" * 101}, "name"),
        ("PUT", "/api/tags/card", {"name": "a\nb"}, "name"),
        ("PUT", "/api/tags/card", {"parent": "p" * 21}, "parent"),
        ("PUT", "/api/tags/card", {"expiry": "soon"}, "expiry"),
        ("PUT", "/api/tags/card", {"expiry": 2027}, "expiry"),
        ("PUT", "/api/tags/card", {"expiry": "0001-01-01T00:00:00+10:00"}, "expiry"),
        ("PUT", "/api/tags/card", {"a\nb": 1}, r"a\nb"),
        ("PUT", "/api/tags/card", [], "The body"),
        ("PUT", "/api/tags/card", "card", "The body"),
    ],
)
async def test_bad_bodies_name_the_key_and_nothing_secret(
    browser: Browser, backend: FakeBackend, method: str, path: str, body: object, key: str
) -> None:
    answer = await browser.write(method, path, body)
    assert (answer.status, answer.code) == (400, "bad_request")
    description = answer.content["error"]["description"]
    assert description.startswith(key)
    assert "hush" not in description
    assert "\n" not in description
    assert backend.asked == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b'{"password": NaN}',
        b'{"password": "x"} x',
        b"[" * 5000,
        b'{"password": ' + b"9" * 5000 + b"}",
    ],
)
async def test_what_is_not_json(browser: Browser, backend: FakeBackend, raw: bytes) -> None:
    headers = WRITE | {"Content-Type": "application/json"}
    answer = await browser.ask("PUT", KNOWN, data=raw, headers=headers)
    assert (answer.status, answer.code) == (400, "bad_json")
    assert backend.asked == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_other_types_are_refused(browser: Browser, content_type: str) -> None:
    headers = WRITE | {"Content-Type": content_type}
    answer = await browser.ask("PUT", KNOWN, data=b'{"password": null}', headers=headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
async def test_the_body_limit(
    browser: Browser, backend: FakeBackend, extra: int, status: int
) -> None:
    frame = b'{"action": "DataTransfer", "payload": {"data": "%s"}}'
    room = 64 * 1024 - len(frame % b"")
    headers = WRITE | {"Content-Type": "application/json"}
    data = frame % (b"x" * (room + extra))
    answer = await browser.ask("POST", f"{KNOWN}/call", data=data, headers=headers)
    assert answer.status == status
    assert len(backend.asked) == (1 if status == 200 else 0)
    if status == 413:
        assert answer.content["error"]["description"] == "The body is larger than 64 KiB."


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/chargers/", 404, "not_found"),
        ("GET", "/api/chargers/nobody", 404, "not_found"),
        ("GET", "/api/chargers/nobody/messages", 404, "not_found"),
        ("GET", "/api/tags/nobodys", 404, "not_found"),
        ("GET", "/api/chargers/a/b/c", 404, "not_found"),
        ("GET", "/../../etc/passwd", 404, "not_found"),
        ("POST", "/api/chargers", 405, "method_not_allowed"),
        ("PATCH", KNOWN, 405, "method_not_allowed"),
        ("GET", f"{KNOWN}/call", 405, "method_not_allowed"),
    ],
)
async def test_errors_of_routing_are_json(
    browser: Browser, method: str, path: str, status: int, code: str
) -> None:
    answer = await browser.write(method, path)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (StorageError("The disk is full."), 503, "unavailable"),
        (GatewayError("The list is full."), 409, "refused"),
    ],
)
async def test_what_cannot_be_done_is_told_in_words(
    browser: Browser, backend: FakeBackend, failure: Exception, status: int, code: str
) -> None:
    backend.failure = failure
    answer = await browser.ask("GET", "/api/chargers")
    assert (answer.status, answer.code) == (status, code)
    assert answer.content["error"]["description"] == str(failure)


async def test_our_mistakes_are_logged_and_not_shown(
    browser: Browser, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.failure = RuntimeError("inner secret")
    answer = await browser.ask("GET", "/api/chargers")
    assert (answer.status, answer.code) == (500, "internal")
    assert "inner secret" not in str(answer.content)
    assert "inner secret" in caplog.text
