"""How fast the page is: first paint with 50 chargers, the cost of a live update, and its weight.

usage: python -m benchmarks.page [--rounds N]

Prints the aims beside the figures. Needs Chromium, as the tests do.
"""

import argparse
import asyncio
import statistics
import time
from typing import Any

import aiohttp
from playwright.async_api import async_playwright

from ocpp_addon.web.live import Live
from ocpp_addon.web.renderer import Renderer
from ocpp_addon.web.server import WebServer
from ocpp_addon.web.views import views
from tests.browser.conftest import CHROMIUM, OPTIONS
from tests.web.conftest import FRAME, FakeBackend

CHARGERS = 50
VIEWERS = 20
FIRST_PAINT = """new Promise(done => new PerformanceObserver(list => {
  const [entry] = list.getEntriesByName("first-contentful-paint");
  if (entry) done(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""
STATIC = ("style.css", "page.js", "icon.svg")
PATHS = {
    "overview": "/",
    "charger": "/charger?id=CP00",
    "messages": "/messages?charger=CP00",
    "connect": "/connect",
}


async def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="page loads (%(default)s)")
    rounds: int = parser.parse_args().rounds
    backend = FakeBackend(known={f"CP{number:02}" for number in range(CHARGERS)})
    backend.online = set(backend.known)
    values = [{"measurand": "Power.Active.Import", "value": str(n), "unit": "W"} for n in range(9)]
    meter = {"connectorId": 1, "meterValue": [{"sampledValue": values}]}
    backend.frames = [FRAME | {"id": str(n), "payload": meter} for n in range(100)]
    async with WebServer(backend, host="127.0.0.1", port=0) as server:
        url = f"http://127.0.0.1:{server.port}"
        running = asyncio.create_task(server.run(), name="web")
        await _paint(url, rounds)
        await _updates(backend, url)
        await _weigh(url)
        running.cancel()


async def _paint(url: str, rounds: int) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS])
        times = []
        for _ in range(rounds + 1):
            context = await browser.new_context()  # with an empty cache
            page = await context.new_page()
            await page.goto(f"{url}/health")  # the browser's own start is not ours
            await page.goto(url)
            times.append(await page.evaluate(FIRST_PAINT))
            await context.close()
        await browser.close()
    median = statistics.median(times[1:])  # the first one warms both sides up
    print(
        f"first paint of the overview, {CHARGERS} chargers: {median:.0f} ms"
        f" ({min(times[1:]):.0f} to {max(times[1:]):.0f}; aim < 300 ms)"
    )


async def _updates(backend: FakeBackend, url: str) -> None:
    """Time what one frame costs the server's process for each page that shows it."""
    async with aiohttp.ClientSession() as session:
        for view in ("overview", "messages"):
            sockets = [
                await session.ws_connect(f"{url}/api/live?view={view}") for _ in range(VIEWERS)
            ]
            await asyncio.sleep(0.2)
            live = backend.listener
            assert isinstance(live, Live)
            before, count = time.process_time(), 0
            for number in range(200):
                event: dict[str, Any] = {"event": "charger", "charger": backend.charger("CP00")}
                if view == "messages":
                    message = FRAME | {"id": str(number)}
                    event = {"event": "message", "charger": "CP00", "message": message}
                live._tell(event, "CP00")
                for socket in sockets:
                    await socket.receive_str()
                count += VIEWERS
            each = (time.process_time() - before) / count * 1000
            print(
                f"a live update of {view}, each of {VIEWERS} viewers: {each:.3f} ms"
                " (their side included; aim < 1 ms)"
            )
            for socket in sockets:
                await socket.close()
    renderer = Renderer()
    card = views(renderer, backend)["overview"]
    begin = time.perf_counter()
    for _ in range(500):
        card.show({"event": "charger", "charger": backend.charger("CP00")}, None)
    print(f"rendering a card once for all viewers: {(time.perf_counter() - begin) * 2:.3f} ms")


async def _weigh(url: str) -> None:
    """Weigh pages as they are on the way, and unpacked; Home Assistant's ingress packs them too."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def size(path: str, encoding: str) -> int:
            async with session.get(url + path, headers={"Accept-Encoding": encoding}) as response:
                return len(await response.read())

        async def both(*paths: str) -> list[int]:
            return [sum([await size(path, way) for path in paths]) for way in ("gzip", "identity")]

        kept, whole = await both(*(f"/static/{name}" for name in STATIC))
        print(f"files that browsers keep: {kept / 1024:.0f} KB, unpacked {whole / 1024:.0f}")
        for name, path in PATHS.items():
            sent, unpacked = await both(path)
            print(
                f"weight of {name} with them: {(sent + kept) / 1024:.0f} KB, unpacked"
                f" {(unpacked + whole) / 1024:.0f} (aim < 150 KB)"
            )


if __name__ == "__main__":
    asyncio.run(main())
