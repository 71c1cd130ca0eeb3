"""Live updates over a real WebSocket."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from ocpp_addon.web import live as module
from tests.web.conftest import ATTEMPT, FRAME, Browse, Browser, FakeBackend, Serve

CHARGER = "RDAM 123"


async def event(viewer: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """Return the next event of a kind."""
    async with asyncio.timeout(30):
        while True:
            found: dict[str, Any] = json.loads(await viewer.receive_str())
            if found["event"] == kind:
                return found


async def watched(backend: FakeBackend, viewer: aiohttp.ClientWebSocketResponse) -> None:
    """Return once the viewer is served."""
    assert (await event(viewer, "health"))["health"] == backend.health()


async def test_what_happens_is_told(browser: Browser, backend: FakeBackend) -> None:
    async with browser.session.ws_connect(browser.base + "/api/live") as viewer:
        await watched(backend, viewer)
        assert backend.listener is not None
        backend.listener.attempted(ATTEMPT)
        assert await event(viewer, "attempt") == {"event": "attempt", "attempt": ATTEMPT}
        backend.listener.message(CHARGER, lambda: FRAME)
        assert await event(viewer, "message") == {
            "event": "message",
            "charger": CHARGER,
            "message": FRAME,
        }
        assert (await event(viewer, "charger"))["charger"] == backend.charger(CHARGER)
        backend.status = "degraded"
        assert (await event(viewer, "health"))["health"]["status"] == "degraded"
        backend.known.clear()
        backend.listener.charger_changed(CHARGER)
        assert await event(viewer, "forgotten") == {"event": "forgotten", "charger": CHARGER}


async def test_a_viewer_of_one_charger_hears_of_no_other(
    browser: Browser, backend: FakeBackend
) -> None:
    url = browser.base + "/api/live?charger=RDAM%20123"
    async with browser.session.ws_connect(url) as viewer:
        await watched(backend, viewer)
        assert backend.listener is not None
        backend.listener.message("other", lambda: pytest.fail("it was made readable"))
        backend.listener.message(CHARGER, lambda: FRAME)
        assert (await event(viewer, "message"))["charger"] == CHARGER


async def test_what_nobody_sees_is_not_made_readable(
    browser: Browser, backend: FakeBackend
) -> None:
    assert backend.listener is not None
    backend.listener.message(CHARGER, lambda: pytest.fail("it was made readable"))


async def test_a_page_that_missed_something_is_told_to_reload(
    browser: Browser, backend: FakeBackend
) -> None:
    assert backend.listener is not None
    backend.listener.attempted(ATTEMPT)
    async with browser.session.ws_connect(browser.base + "/api/live?since=0") as viewer:
        assert await event(viewer, "reload") == {"event": "reload"}


async def test_a_viewer_that_does_not_read_is_cut(
    browser: Browser, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_TIMEOUT", 0.2)
    monkeypatch.setattr(module, "MESSAGES_LIMIT", 1_000_000)
    monkeypatch.setattr(module, "LETTERS_LIMIT", 10**12)
    url = browser.base.replace("http://", "")
    host, port = url.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        f"GET /api/live HTTP/1.1\r\nHost: {url}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    async with asyncio.timeout(30):
        await reader.readuntil(b"\r\n\r\n")
    async with browser.session.ws_connect(browser.base + "/api/live") as other:
        await watched(backend, other)
        live = backend.listener
        assert isinstance(live, module.Live)
        large = FRAME | {"frame": "x" * 100_000}
        async with asyncio.timeout(60):
            while len(live._viewers) > 1:
                live.message(CHARGER, lambda: large)
                assert (await event(other, "message"))["message"] == large
    writer.close()


async def test_viewers_are_limited(
    browser: Browser, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "VIEWERS_LIMIT", 1)
    async with browser.session.ws_connect(browser.base + "/api/live") as viewer:
        await watched(backend, viewer)
        answer = await browser.ask("GET", "/api/live")
        assert (answer.status, answer.code) == (503, "crowded")
    assert (await browser.ask("GET", "/api/live?view=nothing")).code == "bad_view"


async def test_what_is_no_websocket_is_told_so(browser: Browser) -> None:
    answer = await browser.ask("GET", "/api/live")
    assert (answer.status, answer.code) == (426, "not_a_websocket")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
    ],
)
async def test_no_page_of_another_host_may_watch(
    browser: Browser, headers: dict[str, str], status: int
) -> None:
    try:
        async with browser.session.ws_connect(browser.base + "/api/live", headers=headers):
            got = 101
    except aiohttp.WSServerHandshakeError as error:
        got = error.status
    assert got == status


async def test_with_a_token_watching_needs_it(serve: Serve, browse: Browse) -> None:
    browser = browse(await serve(token="correct-horse"))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await browser.session.ws_connect(browser.base + "/api/live")
    assert refused.value.status == 401


VIEWS: list[tuple[str, dict[str, Any] | None, str]] = [
    ("overview", None, "card-"),
    ("charger&charger=RDAM%20123", None, 'id="state"'),
    ("messages&charger=RDAM%20123", FRAME, 'id="frame-'),
    ("connect", None, 'id="attempts"'),
]


@pytest.mark.parametrize(("view", "frame", "part"), VIEWS)
async def test_each_page_is_told_its_part(
    browser: Browser, backend: FakeBackend, view: str, frame: dict[str, Any] | None, part: str
) -> None:
    async with browser.session.ws_connect(f"{browser.base}/api/live?view={view}") as viewer:
        await asyncio.sleep(0.05)  # until it is among the viewers
        assert backend.listener is not None
        backend.listener.attempted(ATTEMPT)
        backend.listener.message(CHARGER, lambda: FRAME)
        async with asyncio.timeout(30):
            while part not in (found := json.loads(await viewer.receive_str())).get("html", ""):
                pass
        assert found["event"] == ("frame" if frame else "html")


async def test_sessions_are_loaded_again_when_one_ends(
    browser: Browser, backend: FakeBackend
) -> None:
    async with browser.session.ws_connect(f"{browser.base}/api/live?view=sessions") as viewer:
        await asyncio.sleep(0.05)
        assert backend.listener is not None
        backend.listener.message(CHARGER, lambda: FRAME | {"action": "StopTransaction"})
        assert await event(viewer, "reload") == {"event": "reload"}


async def test_a_mistake_in_a_page_stays_in_it(
    browser: Browser, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    frame = {"frame": "and nothing else"}
    async with (
        browser.session.ws_connect(f"{browser.base}/api/live?view=messages") as broken,
        browser.session.ws_connect(f"{browser.base}/api/live") as whole,
    ):
        await watched(backend, whole)
        assert backend.listener is not None
        for _ in range(3):
            backend.listener.message(CHARGER, lambda: frame)
            assert (await event(whole, "message"))["message"] == frame
        backend.listener.message(CHARGER, lambda: FRAME)
        await event(broken, "frame")
    said = [record for record in caplog.records if "cannot be kept up to date" in record.message]
    assert len(said) == 1


async def test_a_flood_is_cut_short(browser: Browser, backend: FakeBackend) -> None:
    shown = 0

    def show() -> dict[str, Any]:
        nonlocal shown
        shown += 1
        return FRAME

    url = f"{browser.base}/api/live"
    async with (
        browser.session.ws_connect(f"{url}?view=messages&charger=RDAM%20123") as page,
        browser.session.ws_connect(f"{url}?view=connect") as connect,
        browser.session.ws_connect(url) as program,
    ):
        await watched(backend, program)
        assert backend.listener is not None
        for number in range(10_000):
            backend.listener.message(CHARGER, show)
            backend.listener.attempted(ATTEMPT | {"count": number})
        await event(page, "reload")
        await event(program, "reload")
        counts = [(await event(program, "attempt"))["attempt"]["count"] for _ in range(20)]
        assert counts == list(range(9_980, 10_000))
        while 'id="attempts"' not in (await event(connect, "html"))["html"]:
            pass
    assert shown <= 2 * module.MESSAGES_LIMIT


async def test_large_messages_are_cut_short_sooner(
    browser: Browser, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RELOAD_EVERY", 3600)
    large = FRAME | {"frame": "x" * 16_384}
    shown = 0

    def show() -> dict[str, Any]:
        nonlocal shown
        shown += 1
        return large

    url = f"{browser.base}/api/live"
    async with browser.session.ws_connect(f"{url}?view=messages") as page:
        await asyncio.sleep(0.05)
        assert backend.listener is not None
        for _ in range(200):
            backend.listener.message(CHARGER, show)
        assert shown == module.LETTERS_LIMIT // 16_384
        await event(page, "reload")
        for _ in range(200):  # it goes on, but the page has just been loaded anew
            backend.listener.message(CHARGER, show)
        async with asyncio.timeout(30):
            while shown < 3 * module.LETTERS_LIMIT // 16_384:
                backend.listener.message(CHARGER, show)
                await asyncio.sleep(0.01)
        kinds = [json.loads(await page.receive_str())["event"] for _ in range(shown - 4)]
        assert "reload" not in kinds
