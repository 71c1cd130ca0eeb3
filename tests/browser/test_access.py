"""The pages are for everybody: by keyboard and screen reader, light and dark, small and large."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser.conftest import Home
from tests.browser.scene import PAGES, lived_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERIOUS = ("serious", "critical")
WIDTHS = (360, 768, 1280, 2000)
# Some of what is folded away; in a list of messages all would be the same.
OPEN = """[...document.querySelectorAll("main details")].slice(0, 5)
  .forEach(details => details.open = true)"""


async def settled(page: Page) -> None:
    """Wait until a page follows what happens, where it does."""
    if await page.locator("body").get_attribute("data-view"):
        await expect(page.locator("#live")).to_have_text("Live")
    await page.evaluate(OPEN)


async def serious(page: Page, name: str) -> list[tuple[str, str, str]]:
    """Return what axe finds on a page that matters."""
    result = await Axe().run(page)
    return [
        (name, finding["id"], finding["nodes"][0]["html"])
        for finding in result.response["violations"]
        if finding["impact"] in SERIOUS
    ]


async def read_configuration(home: Home, page: Page) -> None:
    """Show what only a person's wish shows: a configuration, and the notice of a form."""
    await page.goto(f"{home.url}charger?id=garage")
    await page.get_by_role("button", name="Read all from the charger").click()
    await expect(page.locator(".keys")).to_contain_text("HeartbeatInterval")
    await settled(page)


async def widths(page: Page, name: str) -> None:
    """Hold a page against any width."""
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        wide = await page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide at {width}"


async def test_axe_finds_nothing_serious(home: Home) -> None:
    found = []
    page = await home.open()
    for path in ("", "connect", "sessions", "tags"):  # nothing is there yet
        await page.goto(home.url + path)
        await settled(page)
        found += await serious(page, f"empty {path}")
    async with lived_in(home):
        for scheme in ("light", "dark"):
            page = await home.open(color_scheme=scheme)
            for name, path in PAGES.items():
                await page.goto(home.url + path)
                await settled(page)
                found += await serious(page, f"{scheme} {name}")
            await read_configuration(home, page)
            found += await serious(page, f"{scheme} configuration")
    assert found == []
    # The page that is not there is one of them.
    home.faults = [fault for fault in home.faults if "404" not in fault]


async def test_pages_fit_into_any_width(home: Home) -> None:
    page = await home.open()
    await settled(page)
    await widths(page, "nothing yet")
    async with lived_in(home):
        for name, path in PAGES.items():
            await page.goto(home.url + path)
            await settled(page)
            await widths(page, name)
        await read_configuration(home, page)
        await widths(page, "configuration")
    home.faults = [fault for fault in home.faults if "404" not in fault]


async def test_a_charger_is_approved_by_keyboard(home: Home) -> None:
    home.simulate("garage")
    page = await home.open()
    await page.get_by_role("button", name="Approve garage").wait_for()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="garage")).to_be_focused()
    await page.keyboard.press("Tab")
    approve = page.get_by_role("button", name="Approve garage")
    await expect(approve).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("garage is approved.")).to_be_visible()
