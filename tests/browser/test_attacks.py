"""Pages of strangers, in the same browser, try to steer the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import CHROMIUM, OPTIONS, Home
from tests.support.stand import stand

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = """<!doctype html><title>evil</title>
<form id="form" method="post" action="{target}add-charger" target="_self">
<input name="charger" value="intruder"><input name="open" value="yes">
<input name="form_token" value="guessed"></form>
<form id="text" method="post" action="{target}api/chargers/intruder" enctype="text/plain">
<input name='{{"password": null, "x": "' value='"}}'></form>"""


@asynccontextmanager
async def stranger(target: str) -> AsyncIterator[str]:
    """Serve a page of another origin, and yield its URL."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=EVIL.format(target=target), content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def attack(page: Page, target: str, evil: str) -> None:
    """Try what a foreign page can try."""
    for form in ("form", "text"):
        await page.goto(evil)
        async with page.expect_navigation() as gone:
            await page.evaluate(f"document.getElementById('{form}').submit()")
        answer = await gone.value
        assert (answer.request.method, answer.status) == ("POST", 403)
    await page.goto(evil)
    write = """async target => {
      const body = JSON.stringify({ password: null });
      const headers = { "Content-Type": "application/json", "X-Requested-With": "ocpp-gateway" };
      const request = { method: "PUT", headers, body };
      return fetch(target + "api/chargers/intruder", request).then(() => "sent", () => "blocked");
    }"""
    assert await page.evaluate(write, target) == "blocked"
    read = "target => fetch(target + 'api/chargers').then(() => 'read', () => 'blocked')"
    assert await page.evaluate(read, target) == "blocked"
    listen = """target => new Promise(done => {
      const socket = new WebSocket(target.replace("http", "ws") + "api/live");
      socket.onmessage = () => done("read");
      socket.onclose = () => done("blocked");
    })"""
    assert await page.evaluate(listen, target) == "blocked"
    frame = """target => new Promise(done => {
      const frame = document.createElement("iframe");
      frame.src = target;
      frame.onload = done;
      document.body.append(frame);
    })"""
    await page.evaluate(frame, target)
    assert await page.frame_locator("iframe").locator("nav").count() == 0


async def test_through_ingress(home: Home) -> None:
    await home.open()  # the person is signed in there
    async with stranger(home.url) as evil:
        page = await home.open()
        await attack(page, home.url, evil)
    assert home.stand.gateway.credentials.ids() == []
    home.faults.clear()  # the browser tells the foreign page what it may not do


async def test_directly(chromium: Browser, tmp_path: Path) -> None:
    async with stand(tmp_path) as one, stranger(one.api) as evil:
        context = await chromium.new_context()
        await attack(await context.new_page(), one.api, evil)
        await context.close()
        assert one.gateway.credentials.ids() == []


async def test_a_name_that_is_bound_to_our_address(tmp_path: Path) -> None:
    async with stand(tmp_path) as one, async_playwright() as playwright:
        rule = "--host-resolver-rules=MAP evil.example 127.0.0.1"
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, rule])
        page = await browser.new_page()
        answer = await page.goto(one.api.replace("127.0.0.1", "evil.example"))
        assert answer is not None and answer.status == 403
        await expect(page.get_by_text("Open the gateway by its address")).to_be_visible()
        ask = "fetch('api/chargers').then(answer => answer.status)"
        assert await page.evaluate(ask) == 403
        await browser.close()
