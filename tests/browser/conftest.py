"""A browser before the page as Home Assistant shows it: through ingress, under a prefix."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from ocpp_addon.simulator import Simulator
from ocpp_addon.web.server import WebServer
from tests.support.ingress import Ingress
from tests.support.stand import Stand, stand

PEER = "127.0.0.2"  # whence ingress comes here
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None) or next(
    filter(None, map(shutil.which, ("google-chrome", "google-chrome-stable"))), None
)
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
Open = Callable[..., Awaitable[Page]]


class Home:
    """A gateway whose page is behind ingress, and people who look at it."""

    def __init__(self, one: Stand, url: str, chromium: Browser, resources: AsyncExitStack) -> None:
        self.stand = one
        self.url = url
        self.faults: list[str] = []  # what a browser complains about, or should not have done
        self._chromium = chromium
        self._resources = resources

    async def open(self, path: str = "", **options: Any) -> Page:
        """Open a page in a browser of its own; `options` are Playwright's of a context."""
        context = await self._chromium.new_context(**{"locale": "en-GB", **options})
        self._resources.push_async_callback(context.close)
        page = await context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"error {error}"))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog {dialog.message}"))
        page.on("request", self._asked)
        await page.goto(self.url + path)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type} {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.faults.append(f"asked {request.url}")

    def simulate(self, charger_id: str, **options: Any) -> Simulator:
        """Let a simulated charger run."""
        options = {"interval": 1, "speed": 200, **options}
        charger = Simulator(charger_id, self.stand.url, **options)
        running = asyncio.create_task(charger.run(), name=charger_id)

        async def stop() -> None:
            running.cancel()
            await asyncio.wait({running})

        self._resources.push_async_callback(stop)
        return charger


@asynccontextmanager
async def home_of(chromium: Browser, folder: Path, **options: Any) -> AsyncIterator[Home]:
    """Set up a home; the web server must take PEER for ingress."""
    async with AsyncExitStack() as resources:
        one = await resources.enter_async_context(stand(folder, **options))
        ingress = Ingress(f"127.0.0.1:{one.gateway.web.port}", peer=PEER)
        url = await resources.enter_async_context(ingress.serve())
        yield Home(one, url, chromium, resources)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """Start a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None and "CI" not in os.environ:
        pytest.skip("needs Chromium")
    async with launched() as browser:
        yield browser


@pytest.fixture
def behind_ingress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway believe that it runs in Home Assistant, as far as its page is concerned."""
    pretend(monkeypatch)


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the web server take PEER for ingress."""
    monkeypatch.setattr("ocpp_addon.web.server.INGRESS_HOST", "127.0.0.1")
    monkeypatch.setattr("ocpp_addon.controls.QUIET", 0)
    monkeypatch.setattr(
        "ocpp_addon.gateway.WebServer",
        lambda backend, **options: partial(WebServer, backend)(
            **{**options, "ingress": True, "ingress_peer": PEER}
        ),
    )


@pytest_asyncio.fixture(loop_scope="session")
async def home(chromium: Browser, tmp_path: Path, behind_ingress: None) -> AsyncIterator[Home]:
    async with home_of(chromium, tmp_path, unknown_chargers="ask") as one:
        yield one
    assert one.faults == []
