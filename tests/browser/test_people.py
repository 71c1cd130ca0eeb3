"""What people do with the page, in a real browser behind ingress."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import PEER, Home
from tests.browser.scene import lived_in
from tests.support.ingress import Ingress
from tests.support.mosquitto import Mosquitto
from tests.support.patience import until
from tests.support.stand import Stand, Watch

pytestmark = pytest.mark.asyncio(loop_scope="session")

PASSWORD = "first-password-16"


async def approved(home: Home, charger_id: str = "garage", **options: object) -> Page:
    """Let a charger connect, approve it on the overview and return that page."""
    page = await home.open()
    home.simulate(charger_id, password=PASSWORD, **options)
    await page.get_by_role("button", name=f"Approve {charger_id}").click()
    await expect(page.get_by_role("status").filter(has_text="is approved")).to_be_visible()
    return page


async def test_a_waiting_charger_appears_and_is_approved(home: Home) -> None:
    page = await home.open()
    await expect(page.get_by_text("Connect your first charger")).to_be_visible()
    home.simulate("garage", password=PASSWORD)
    card = page.get_by_role("article", name="garage")
    await expect(card).to_contain_text("Simulated")
    await expect(card).to_contain_text("came along and will be kept")
    await card.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("garage is approved.")).to_be_visible()
    await expect(card.get_by_text("connected", exact=True)).to_be_visible()
    await expect(card).to_contain_text("Available")
    assert home.stand.gateway.credentials.protected("garage")


async def test_a_waiting_charger_is_refused(home: Home) -> None:
    page = await home.open()
    home.simulate("stranger")
    await page.get_by_role("button", name="Refuse stranger").click()
    await expect(page.get_by_text("stranger is refused")).to_be_visible()
    await expect(page.get_by_role("article", name="stranger")).to_have_count(0)
    await page.get_by_role("link", name="Connect", exact=True).click()
    await expect(page.get_by_text("A person refused this charger.")).to_be_visible()


async def test_a_session_is_watched_limited_and_stopped(home: Home) -> None:
    page = await approved(home, charge=True)
    card = page.get_by_role("article", name="garage")
    await expect(card.get_by_text("Charging", exact=True)).to_be_visible()
    power = card.locator(".readings div", has_text="Power").locator("dd")
    energy = card.locator(".readings div", has_text="Session").locator("dd")
    await expect(power).to_have_text(re.compile(r"\d kW"))
    before = await energy.inner_text()
    await expect(energy).not_to_have_text(before)
    # What somebody types must outlive the updates that come meanwhile.
    limit = card.get_by_label(re.compile("Limit of"))
    await limit.fill("10")
    now = await energy.inner_text()
    await expect(energy).not_to_have_text(now)
    await expect(limit).to_have_value("10")
    await card.get_by_role("button", name="Set limit").click()
    await expect(page.get_by_text("the limit is 10 A now")).to_be_visible()
    await card.get_by_role("button", name="Stop").click()
    await expect(page.get_by_text("It was asked to stop charging.")).to_be_visible()
    await expect(card.get_by_role("button", name="Start")).to_be_visible()
    await page.get_by_role("link", name="Sessions").click()
    await expect(page.get_by_role("row").filter(has_text="garage")).to_contain_text("Remote")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download as CSV").click()
    text = Path(await (await download.value).path()).read_text()
    assert text.startswith("charger,connector,transaction_id") and "garage" in text


async def test_a_charger_is_watched_on_its_own_page(home: Home) -> None:
    page = await approved(home, charge=True)
    await page.get_by_role("link", name="garage").click()
    energy = page.locator("#state .readings div", has_text="Session").locator("dd")
    before = await energy.inner_text()
    await expect(energy).not_to_have_text(before)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator("#sessions")).to_contain_text("Remote")


async def test_a_command_is_sent_and_sent_again(home: Home) -> None:
    page = await approved(home)
    await page.goto(f"{home.url}messages?charger=garage")
    await expect(page.locator("#live")).to_have_text("Live")
    second = await home.open("call?charger=garage&action=GetConfiguration")
    await second.get_by_label("key").fill('["HeartbeatInterval"]')
    await second.get_by_role("button", name="Send GetConfiguration").click()
    await expect(second.locator("#notice")).to_contain_text("GetConfiguration: the charger")
    await expect(second.locator("pre").first).to_contain_text('"HeartbeatInterval"')
    sent = page.locator("#frames li.sent").filter(has_text="GetConfiguration").first
    answer = page.locator("#frames li.received").filter(has_text="GetConfiguration").first
    await expect(answer).to_contain_text("HeartbeatInterval = 300")
    await expect(answer).to_contain_text(re.compile(r"[\d.]+ ms"))
    await sent.locator("summary").click()
    await expect(sent.get_by_role("button", name="Copy as MQTT publish")).to_be_visible()
    command = await sent.get_by_role("button", name="Copy as MQTT").get_attribute("data-copy")
    assert command is not None
    assert command.startswith("mosquitto_pub -t ocpp/garage/Call/GetConfiguration -m '{")
    await sent.get_by_role("link", name="Edit and send").click()
    await expect(page.get_by_label("key")).to_have_value(re.compile("HeartbeatInterval"))


async def test_messages_are_searched_and_paused(home: Home) -> None:
    page = await approved(home, charge=True)
    await page.goto(f"{home.url}messages?charger=garage")
    await page.get_by_label("Search").fill("BootNotification")
    await expect(page.locator("#frames li:visible").first).to_contain_text("BootNotification")
    await expect(page.locator("#frames li:visible", has_text="MeterValues")).to_have_count(0)
    await page.get_by_label("Search").fill("")
    await page.get_by_label("Show").select_option(label="to the charger")
    await expect(page.locator("#frames li.received:visible")).to_have_count(0)
    await page.get_by_label("Show").select_option(label="everything")
    await page.get_by_role("button", name="Pause").click()
    count = await page.locator("#frames li").count()
    seen = len(home.stand.watch.on("ocpp/cp/garage/MeterValues"))
    await until(lambda: len(home.stand.watch.on("ocpp/cp/garage/MeterValues")) > seen + 2)
    assert await page.locator("#frames li").count() == count
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator("#frames li").nth(count + 2)).to_be_attached()


async def test_broken_frames_are_marked(home: Home) -> None:
    await home.stand.request("PUT", "api/chargers/CP1", {"password": None})
    page = await home.open("messages?charger=CP1")
    await expect(page.locator("#live")).to_have_text("Live")
    async with home.stand.charger("CP1") as charger:
        await charger.boot()
        await charger.send('[2,"r1","StatusNotification",{"connectorId":"one","status":"X"}')
        await charger.receive()
    row = page.locator("#frames li.received").filter(has_text="StatusNotification").first
    await expect(row).to_contain_text("repaired")
    await expect(row).to_contain_text("finding")
    await row.locator("summary").click()
    await expect(row).to_contain_text("connectorId must be integer")
    await page.get_by_label("Show").select_option(label="errors, findings and repairs")
    await expect(page.locator("#frames li:visible")).to_have_count(1)


async def test_a_password_is_changed_in_the_charger_too(home: Home) -> None:
    page = await approved(home)
    await page.get_by_role("link", name="garage").click()
    await page.get_by_label("Send it to the charger").check()
    await page.get_by_role("button", name="Set password").click()
    notice = page.locator("#notice")
    await expect(notice).to_contain_text("The charger accepted the new password.")
    password = await notice.locator(".secret").inner_text()
    await page.reload()
    await expect(page.get_by_text(password)).to_have_count(0)
    roster = home.stand.gateway.roster
    first = roster.connection("garage")
    await page.get_by_text("When nothing else helps").click()
    await page.get_by_role("button", name="Drop the connection").click()
    await until(lambda: roster.connection("garage") not in (None, first))
    again = roster.connection("garage")
    assert again is not None and again.peer.secret == password.encode().hex().encode()
    with pytest.raises(Exception, match="401"):  # the old one has had its day
        async with home.stand.charger("garage", PASSWORD):
            pass
    messages = await home.open("messages?charger=garage")
    await expect(messages.locator("#frames")).to_contain_text("AuthorizationKey")
    assert password.encode().hex() not in await messages.content()


async def test_a_bug_report_is_exported(home: Home) -> None:
    page = await approved(home)
    change = {"key": "AuthorizationKey", "value": "hidden-from-everyone"}
    body = {"action": "ChangeConfiguration", "payload": change}
    await home.stand.request("POST", "api/chargers/garage/call", body)
    await page.goto(f"{home.url}messages?charger=garage")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Export for a bug report").click()
    text = Path(await (await download.value).path()).read_text()
    head, *frames = [json.loads(line) for line in text.splitlines()]
    assert (head["id"], head["vendor"]) == ("garage", "Simulated")
    assert any(frame.get("action") == "ChangeConfiguration" for frame in frames)
    assert "hidden-from-everyone" not in text


async def test_configuration_is_read_and_written(home: Home) -> None:
    page = await approved(home)
    await page.get_by_role("link", name="garage").click()
    await page.get_by_role("button", name="Read all from the charger").click()
    row = page.locator(".keys li").filter(has_text="HeartbeatInterval")
    await expect(row).to_contain_text("300")
    await row.get_by_role("link", name="Change").click()
    await expect(page.get_by_label("Key", exact=True)).to_have_value("HeartbeatInterval")
    await expect(page.get_by_label("Value", exact=True)).to_have_value("300")
    await page.get_by_label("Value", exact=True).fill("77")
    await page.get_by_role("button", name="Write to the charger").click()
    await expect(page.locator("#notice")).to_contain_text("accepted")
    await expect(row).to_contain_text("77")
    await expect(row).to_contain_text("changed")


async def test_failures_to_connect_are_explained_as_they_happen(home: Home) -> None:
    page = await home.open("connect")
    await expect(page.locator("#live")).to_have_text("Live")
    port = home.stand.port
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/ocpp/x"):
            pass
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"https://127.0.0.1:{port}/ocpp/x")
    attempts = page.locator("#attempts")
    await expect(attempts).to_contain_text("choose OCPP-J")
    await expect(attempts).to_contain_text("Let the charger's address start with ws://")
    await expect(page.locator(".urls code").first).to_have_text(f"ws://127.0.0.1:{port}/ocpp/ID")


async def test_an_unknown_tag_is_named_and_allowed(home: Home) -> None:
    await approved(home, charge=True)
    page = await home.open("tags")
    card = page.get_by_role("article").filter(has_text="SIMULATED")
    await expect(card).to_contain_text("not listed")
    await card.get_by_label("Name").fill("Anna's card")
    await card.get_by_role("button", name="Allow").click()
    await expect(page.get_by_text("Anna's card may charge now.")).to_be_visible()
    card = page.get_by_role("article").filter(has_text="Anna's card")
    await expect(card).to_contain_text("allowed")


async def test_everything_works_without_scripts(home: Home) -> None:
    home.simulate("garage")
    await until(lambda: home.stand.gateway.roster.connection("garage"))
    page = await home.open(java_script_enabled=False)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#notice p")).to_have_text("garage is approved.")
    await page.get_by_role("link", name="garage").click()
    await page.get_by_role("link", name="Messages").click()
    await page.get_by_label("Search").fill("BootNotification")
    await page.get_by_role("button", name="Filter").click()
    assert await page.locator("#frames li").count() >= 2
    await page.locator("#frames li").first.locator("summary").click()
    await expect(page.locator("#frames li pre").first).to_be_visible()
    await page.get_by_role("link", name="Send a command").click()
    await page.get_by_label("Command").select_option("Reset")
    await page.get_by_role("button", name="Show its form").click()
    await page.get_by_label("type", exact=True).select_option("Soft")
    await page.get_by_role("button", name="Send Reset").click()
    await expect(page.locator("#notice")).to_contain_text("Reset: the charger accepted")


async def test_text_of_chargers_runs_nowhere(home: Home) -> None:
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    name = "<img src=x onerror=alert(3)>"
    page = await home.open()
    boot = {"chargePointVendor": evil, "chargePointModel": evil, "firmwareVersion": evil}
    async with home.stand.charger(name.replace("<", "%3C").replace(">", "%3E")) as charger:
        await charger.call("BootNotification", boot)
        await page.get_by_role("button", name="Approve").click()
        await charger.receive()  # it is asked to boot again
        tag = {"idTag": evil}
        await charger.call("Authorize", tag)
        await charger.call(evil, {evil: evil})
        await expect(page.get_by_role("article")).to_contain_text("connected")
        for path in ("", "tags", "connect", "sessions"):
            await page.goto(home.url + path)
        for where in ("charger?id=", "messages?charger=", "call?charger="):
            await page.goto(home.url + where + "%3Cimg%20src%3Dx%20onerror%3Dalert(3)%3E")
            await expect(page.locator("h1")).to_have_text(name)
        await charger.call("Heartbeat")
        await asyncio.sleep(0.7)  # let an update arrive
    assert await page.locator("main img[src=x]").count() == 0


async def test_a_page_lives_on_when_the_gateway_restarts(
    chromium: Browser, behind_ingress: None, tmp_path: Path
) -> None:
    async with AsyncExitStack() as resources:
        mosquitto = await resources.enter_async_context(Mosquitto())
        one = Stand(mosquitto, Watch(mosquitto.port), tmp_path)
        async with one.run(unknown_chargers="ask"):
            ports = {"web_port": one.gateway.web.port, "port": one.port}
            ingress = Ingress(f"127.0.0.1:{ports['web_port']}", peer=PEER)
            url = await resources.enter_async_context(ingress.serve())
            home = Home(one, url, chromium, resources)
            page = await home.open()
            await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator("#live")).to_contain_text("connecting again")
        async with one.run(unknown_chargers="ask", **ports):
            home.simulate("garage")
            approve = page.get_by_role("button", name="Approve garage")
            await approve.click(timeout=20_000)
            await expect(page.get_by_text("garage is approved.")).to_be_visible()


async def test_all_variables_of_an_ocpp_2_charger_are_read(home: Home) -> None:
    await home.stand.request("PUT", "api/chargers/CP2", {"password": None})
    async with home.stand.charger("CP2", subprotocols=("ocpp2.0.1",)) as charger:
        station = {"vendorName": "Two", "model": "Point-oh"}
        boot = {"reason": "PowerUp", "chargingStation": station}
        await charger.call("BootNotification", boot)
        page = await home.open("charger?id=CP2")
        await expect(page.locator("#live")).to_have_text("Live")
        click = asyncio.create_task(
            page.get_by_role("button", name="Read all from the charger").click()
        )
        [_, unique_id, action, asked] = await charger.receive()
        assert action == "GetBaseReport"
        await charger.send([3, unique_id, {"status": "Accepted"}])
        await click
        await expect(page.locator("#notice")).to_contain_text("sends its variables")
        await expect(page.locator("#live")).to_have_text("Live")
        item = {
            "component": {"name": "OCPPCommCtrlr"},
            "variable": {"name": "HeartbeatInterval"},
            "variableAttribute": [{"value": "86400"}],
        }
        many = [
            {**item, "variable": {"name": f"Filler{number}"}} for number in range(300)
        ]  # more than what is kept of a message to look at
        report = {"requestId": asked["requestId"], "seqNo": 0, "reportData": [*many, item]}
        report["generatedAt"] = "2026-11-25T00:00:00Z"
        await charger.call("NotifyReport", report)
        row = page.locator(".keys li").filter(has_text="OCPPCommCtrlr.HeartbeatInterval")
        await expect(row).to_contain_text("86400")


async def test_the_page_to_connect_shows_who_waits(home: Home) -> None:
    page = await home.open("connect")
    await expect(page.locator("#live")).to_have_text("Live")
    home.simulate("garage")
    approve = page.get_by_role("button", name="Approve garage")
    await expect(approve).to_be_visible()
    second = await home.open("connect")
    await second.get_by_role("button", name="Approve garage").click()
    await expect(second.get_by_text("garage is approved.")).to_be_visible()
    await expect(approve).to_have_count(0)


async def test_a_charger_that_leaves_is_seen_on_its_pages(home: Home) -> None:
    await home.stand.request("PUT", "api/chargers/CP1", {"password": None})
    pages = [await home.open(path) for path in ("charger?id=CP1", "messages?charger=CP1")]
    async with home.stand.charger("CP1") as charger:
        await charger.boot()
        for page in pages:
            await expect(page.locator("#connection")).to_have_text("connected")
    for page in pages:
        await expect(page.locator("#connection")).to_have_text("not connected")


async def test_times_are_those_of_the_reader(home: Home) -> None:
    page = await home.open("tags", timezone_id="Pacific/Auckland")
    await page.get_by_label("Tag", exact=True).fill("card")
    section = page.locator("section").filter(has_text="Add a tag")
    await section.get_by_text("Group and end").click()
    await section.get_by_label("Until").fill("2031-07-01T12:00:00")  # winter there: UTC+12
    await section.get_by_role("button", name="Allow").click()
    await expect(page.get_by_text("card may charge now.")).to_be_visible()
    [tag] = (await home.stand.request("GET", "api/tags"))[1]
    assert tag["expiry"] == "2031-07-01T00:00:00.000Z"
    card = page.get_by_role("article").filter(has_text="card")
    await card.get_by_text("Group and end").click()
    await expect(card.get_by_label("Until")).to_have_value("2031-07-01T12:00")
    async with lived_in(home):
        # Browsers may ask for an image before the script has run, and then do so again.
        zoned = page.wait_for_event("request", lambda one: "&offset=780" in one.url)  # summer
        chart = asyncio.ensure_future(zoned)
        await page.goto(f"{home.url}charger?id=garage")
        await page.locator("img.chart").first.scroll_into_view_if_needed()
        assert "chart.svg" in (await chart).url


async def test_time_goes_on_while_nothing_happens(home: Home) -> None:
    page = await home.open()
    await page.clock.install()
    async with home.stand.charger("CP1") as charger:
        await page.get_by_role("button", name="Approve CP1").click()
        await expect(page.get_by_text("CP1 is approved.")).to_be_visible()
        while (await charger.receive())[2] != "TriggerMessage":
            pass
        start = {"connectorId": 1, "idTag": "card", "meterStart": 0}
        start["timestamp"] = datetime.now(UTC).isoformat()
        await charger.call("StartTransaction", start)
        time = page.locator(".readings div", has_text="Time").locator("dd")
        await expect(time).to_have_text("0 min")
        await page.clock.fast_forward("01:05:20")
        await expect(time).to_have_text("1 h 05 min")


async def test_a_broker_that_leaves_is_seen(home: Home) -> None:
    page = await home.open()
    await expect(page.get_by_text("MQTT broker connected")).to_be_visible()
    await home.stand.mosquitto.stop()
    await expect(page.get_by_text("MQTT broker disconnected")).to_be_visible()
    await home.stand.mosquitto.start()
    await expect(page.get_by_text("MQTT broker connected")).to_be_visible(timeout=20_000)
