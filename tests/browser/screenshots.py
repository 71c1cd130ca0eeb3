"""Take pictures of the pages of a house that is lived in; for script/screenshots."""

import asyncio
import sys
import tempfile
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from playwright.async_api import Page

from ocpp_addon.places import Place, Places
from tests.browser.conftest import Home, home_of, launched, pretend
from tests.browser.scene import PAGES, lived_in

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
LOOKS = {"overview": [("desktop", "dark"), ("phone", "light")]}
USUAL = [("desktop", "light"), ("phone", "dark")]


async def take(folder: Path) -> None:
    """Write each picture as <page>-<size>-<scheme>.png."""
    with tempfile.TemporaryDirectory() as data, pytest.MonkeyPatch.context() as patch:
        pretend(patch)
        place = Place(("192.168.1.10",), ("homeassistant.local",), 33033, None)
        patch.setattr(Places, "find", AsyncMock(return_value=place))
        async with (
            launched() as chromium,
            home_of(chromium, Path(data), unknown_chargers="ask") as home,
        ):
            await _take(home, folder, "welcome", "")
            async with lived_in(home):
                for name, where in PAGES.items():
                    if name != "error":
                        await _take(home, folder, name, where)


async def _take(home: Home, folder: Path, name: str, where: str) -> None:
    for size, scheme in [*LOOKS.get(name, []), *USUAL]:
        page = await home.open(
            where, color_scheme=scheme, viewport=SIZES[size], reduced_motion="reduce"
        )
        await prepared(page, name)
        path = folder / f"{name}-{size}-{scheme}.png"
        await page.screenshot(path=path, full_page=name != "messages")


async def prepared(page: Page, name: str) -> None:
    """Open what is worth a look."""
    await page.wait_for_timeout(1000)
    if name == "messages":
        await page.locator("#frames li.received", has_text="MeterValues").first.click()
    if name == "connect" and page.viewport_size == SIZES["desktop"]:
        await page.locator("#brands summary").click()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
