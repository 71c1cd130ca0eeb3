"""The pages as HTML: whole, safe from what chargers say, and right without scripts."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest

from ocpp_addon.ocpp.messages import CallError, CallResult
from ocpp_addon.web.backend import Refused, Sample
from tests.web.conftest import FRAME, INGRESS, SESSION, Browse, Browser, FakeBackend, Serve

HTML = {"Accept": "text/html"}
PAGES = (
    *("/", "/connect", "/sessions", "/tags", "/charger?id=RDAM%20123"),
    *("/messages?charger=RDAM%20123", "/call?charger=RDAM%20123&action=Reset"),
)
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}javascript:alert(1)"


class Seen(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


class Reader:
    """A browser without scripts: it follows forms and redirects."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.headers: dict[str, str] = {}

    async def open(self, path: str) -> Seen:
        """Return a page."""
        url = self._browser.base + path
        async with self._browser.session.get(url, headers=HTML) as response:
            self.headers = dict(response.headers)
            assert response.status == 200, await response.text()
            return Seen(await response.text())

    async def send(self, where: str, origin: str = "/", **fields: str) -> Seen:
        """Send a form of a page and return the page that it leads to."""
        page = await self.open(origin)
        token = next(one["value"] for one in page.all("input") if one.get("name") == "form_token")
        form = {"form_token": token or "", **fields}
        url = f"{self._browser.base}/{where}"
        async with self._browser.session.post(
            url, data=form, headers=HTML, allow_redirects=False
        ) as response:
            assert response.status == 303, await response.text()
            self.location = response.headers["Location"]
        return await self.open("/" + self.location.removeprefix("./"))


@pytest.fixture
def reader(browser: Browser) -> Reader:
    return Reader(browser)


@pytest.mark.parametrize("path", PAGES)
async def test_pages_load_nothing_from_elsewhere(reader: Reader, path: str) -> None:
    page = await reader.open(path)
    policy = reader.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert reader.headers["Cache-Control"] == "no-store"
    assert reader.headers["X-Content-Type-Options"] == "nosniff"
    for tag, attributes in page.elements:
        assert tag != "style" and "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src", "srcset", "action", "formaction"):
            target = attributes.get(name) or ""
            assert not re.match(r"/|[a-z]+:", target), f"{tag} {target} is not relative"
    assert [one["src"] for one in page.all("script")] == [
        one["src"] for one in page.all("script") if str(one["src"]).startswith("static/page.js?")
    ]


@pytest.mark.parametrize("path", PAGES)
async def test_every_field_has_a_label(reader: Reader, path: str) -> None:
    page = await reader.open(path)
    labels = {one.get("for") for one in page.all("label")}
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))
    for tag in ("input", "select", "textarea"):
        for field in page.all(tag):
            assert field.get("type") == "hidden" or field["id"] in labels


@pytest.mark.parametrize("path", PAGES)
async def test_what_chargers_say_stays_text(
    reader: Reader, backend: FakeBackend, path: str
) -> None:
    plain = await reader.open(path)
    backend.vendor = EVIL
    backend.frames = [FRAME | {"frame": EVIL, "payload": {EVIL: EVIL}, "warnings": [EVIL]}]
    evil = await reader.open(path)
    known = {(tag, *attributes) for tag, attributes in plain.elements}
    known |= {("pre",), ("p",), ("span", "class")}
    assert {(tag, *attributes) for tag, attributes in evil.elements} <= known
    if "action=" not in path and path not in ("/connect", "/sessions", "/tags"):
        assert "onerror" in evil.text


async def test_static_files_are_kept_by_browsers(reader: Reader) -> None:
    page = await reader.open("/")
    [script] = page.all("script")
    await reader.open(f"/{script['src']}")
    assert "immutable" in reader.headers["Cache-Control"]
    assert reader.headers["Content-Type"].partition(";")[0] == "text/javascript"


async def test_many_chargers_weigh_little_on_the_way(
    browser: Browser, backend: FakeBackend
) -> None:
    backend.known = {f"CP{number:03}" for number in range(200)}
    headers = HTML | {"Accept-Encoding": "gzip"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(browser.base, headers=headers) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        assert len(await response.read()) < 40_000


async def test_plots_of_sessions_are_told_in_words(reader: Reader, backend: FakeBackend) -> None:
    backend.measured = [Sample(datetime.now(UTC), 0, 100_000)]
    backend.held = [SESSION, SESSION | {"ended_at": None, "transaction_id": 8}]
    page = await reader.open("/charger?id=RDAM%20123")
    told = [str(one["alt"]) for one in page.all("img") if "session" in str(one["alt"])]
    assert told[0] == "Power during the session: 12.35 kWh in 2 h 30 min"
    assert re.fullmatch(r"Power during the session: 12.35 kWh in \d+ h \d\d min", told[1])


async def test_a_charger_is_shown_with_its_last_sessions_alone(
    reader: Reader, backend: FakeBackend
) -> None:
    await reader.open("/charger?id=RDAM%20123")
    [(_, choice)] = [one for one in backend.asked if one[0] == "sessions"]
    assert choice.limit == 10


async def test_a_charger_is_shown_with_how_often_and_why_it_was_lost(reader: Reader) -> None:
    page = await reader.open("/charger?id=RDAM%20123")
    assert "2 times since the gateway started" in page.text
    assert "the charger has gone silent" in page.text


async def test_there_is_no_way_out_of_the_static_folder(browser: Browser) -> None:
    for name in ("..%2Fserver.py", "%2Fetc%2Fpasswd", "nothing"):
        assert (await browser.ask("GET", f"/static/{name}")).status == 404


async def test_errors_are_pages_for_people_and_json_for_programs(browser: Browser) -> None:
    url = f"{browser.base}/charger?id=nobody"
    async with browser.session.get(url, headers=HTML) as response:
        assert (response.status, response.content_type) == (404, "text/html")
        assert "There is no such charger." in Seen(await response.text()).text
    answer = await browser.ask("GET", "/charger?id=nobody")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_form_leads_back_with_a_notice_shown_once(
    reader: Reader, backend: FakeBackend
) -> None:
    fields = {"charger": "RDAM 123", "connector": "1", "do": "stop", "back": "./"}
    page = await reader.send("command", **fields)
    assert ("set", "RDAM 123", 1, "charging", "OFF") in backend.asked
    assert "RDAM 123: It was asked to stop charging." in page.text
    again = await reader.open("/" + reader.location.removeprefix("./"))
    assert "asked to stop" not in again.text


async def test_a_form_leads_back_to_where_it_stands(reader: Reader) -> None:
    page = await reader.open("/")
    back = next(str(one["value"]) for one in page.all("input") if one.get("name") == "back")
    await reader.send("command", charger="RDAM 123", connector="1", do="stop", back=back)
    place, mark, part = reader.location.partition("#")
    assert (
        place.startswith("./?notice=")
        and mark
        and part in [one.get("id") for one in page.all("div")]
    )


async def test_who_has_no_charger_is_told_what_to_do(reader: Reader, backend: FakeBackend) -> None:
    backend.known.clear()
    page = await reader.open("/")
    assert "Connect your first charger" in page.text
    assert "ws://192.168.1.2:33033/ocpp/ID" in page.text
    assert "you approve it" in page.text


async def test_whose_tag_charges_is_told_by_name(reader: Reader) -> None:
    for path in ("/", "/charger?id=RDAM%20123"):
        page = await reader.open(path)
        assert "Tag Anna" in page.text


async def test_a_refusal_is_told_in_words(reader: Reader, backend: FakeBackend) -> None:
    backend.refusal = Refused("refused", "The charger refused: it is locked.", 409)
    page = await reader.send("command", charger="RDAM 123", connector="1", do="start")
    assert "The charger refused: it is locked." in page.text
    assert reader.location.startswith("charger?id=RDAM+123&notice=")


@pytest.mark.parametrize(("amperes", "value"), [("16", "16"), ("8,5", "8.5"), ("0", "0")])
async def test_limits(reader: Reader, backend: FakeBackend, amperes: str, value: str) -> None:
    await reader.send("command", charger="RDAM 123", connector="1", do="limit", amperes=amperes)
    assert backend.changes[-1] == ("set", "RDAM 123", 1, "current_limit", value)


@pytest.mark.parametrize("amperes", ["", "-1", "501", "nan", "inf", "sixteen"])
async def test_limits_that_are_none(reader: Reader, backend: FakeBackend, amperes: str) -> None:
    page = await reader.send(
        "command", charger="RDAM 123", connector="1", do="limit", amperes=amperes
    )
    assert "from 0 to 500" in page.text
    assert not backend.changes


async def test_nobody_is_led_elsewhere(reader: Reader) -> None:
    for back in ("https://example.com", "//example.com", "../x", "charger?id=1\r\nX: y", "é"):
        await reader.send("command", charger="RDAM 123", do="refresh", back=back)
        assert reader.location.startswith("./?notice=")


async def test_a_password_is_made_up_and_shown_once(reader: Reader, backend: FakeBackend) -> None:
    page = await reader.send("add-charger", "/connect", charger="NEW")
    [(_, _, password)] = [one for one in backend.asked if one[0] == "set_password"]
    assert len(password) == 20 and password in page.text
    assert password not in (await reader.open("/connect")).text
    assert password not in reader.location


async def test_a_known_charger_is_not_taken_over(reader: Reader, backend: FakeBackend) -> None:
    page = await reader.send("add-charger", "/connect", charger="RDAM 123")
    assert "is known already" in page.text
    assert not backend.changes


async def test_a_password_is_sent_to_the_charger_first(
    reader: Reader, backend: FakeBackend
) -> None:
    asked = {"charger": "RDAM 123", "provision": "yes", "password": "Sixteen-letters!"}
    backend.outcome = CallResult("1", {"status": "Rejected"})
    page = await reader.send("set-password", **asked)
    assert "Nothing has changed." in page.text
    backend.outcome = CallResult("1", {"status": "Accepted"})
    page = await reader.send("set-password", **asked)
    assert "The charger accepted the new password." in page.text
    value = b"Sixteen-letters!".hex()
    change = {"key": "AuthorizationKey", "value": value}
    assert backend.changes == [("call", "RDAM 123", "ChangeConfiguration", change)] * 2
    page = await reader.send("set-password", charger="RDAM 123", provision="yes", password="short")
    assert "16 to 20 characters" in page.text


async def test_configuration_is_read_compared_and_written(
    reader: Reader, backend: FakeBackend
) -> None:
    def keys(interval: str) -> CallResult:
        return CallResult("1", {"configurationKey": [
            {"key": "HeartbeatInterval", "value": interval, "readonly": False},
            {"key": "AuthorizationKey", "value": "never-to-be-seen"}]})  # fmt: skip

    backend.outcome = keys("300")
    page = await reader.send("read-configuration", charger="RDAM 123")
    assert "The charger told 2 keys." in page.text and "never-to-be-seen" not in page.text
    backend.outcome = keys("60")
    page = await reader.send("read-configuration", charger="RDAM 123")
    assert "HeartbeatInterval changed 60 before: 300 Change" in page.text
    page = await reader.open("/charger?id=RDAM%20123&key=HeartbeatInterval")
    fields = {str(one.get("id")): one for one in page.all("input")}
    assert fields["write-key"]["value"] == "HeartbeatInterval"
    assert fields["write-value"]["value"] == "60"
    page = await reader.open("/charger?id=RDAM%20123&key=AuthorizationKey")
    fields = {str(one.get("id")): one for one in page.all("input")}
    assert fields["write-value"]["value"] == ""
    await reader.send(
        "write-configuration", charger="RDAM 123", key="HeartbeatInterval", value="90"
    )
    change = {"key": "HeartbeatInterval", "value": "90"}
    assert ("call", "RDAM 123", "ChangeConfiguration", change) in backend.asked


async def test_a_command_is_sent_from_its_form(reader: Reader, backend: FakeBackend) -> None:
    fields = {"charger": "RDAM 123", "action": "Reset", "f.type": "Soft"}
    backend.outcome = CallResult("1", {"status": "Accepted"})
    page = await reader.send("send", PAGES[-1], **fields)
    assert backend.changes[-1] == ("call", "RDAM 123", "Reset", {"type": "Soft"})
    assert "Reset: the charger accepted" in page.text
    backend.outcome = CallError("1", "InternalError", "locked", {})
    page = await reader.send("send", PAGES[-1], **fields)
    assert "the charger refused: InternalError locked" in page.text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"action": "Reset", "payload": "[1]"}, "The payload must be a JSON object."),
        ({"action": "Reset", "payload": "{"}, "The payload is not JSON."),
        ({"action": "Reset", "payload": '{"a": "•••"}'}, "Type what is hidden"),
        ({"action": "Nothing"}, "There is no such command."),
    ],
)
async def test_what_cannot_be_sent(
    reader: Reader, backend: FakeBackend, fields: dict[str, str], told: str
) -> None:
    page = await reader.send("send", PAGES[-1], charger="RDAM 123", **fields)
    assert told in page.text
    assert not backend.changes


async def test_tags_are_named_and_allowed(reader: Reader, backend: FakeBackend) -> None:
    page = await reader.send("put-tag", "/tags", tag="04A1", name="Anna", status="Accepted")
    assert "Anna may charge now." in page.text
    [(_, id_tag, entry)] = backend.asked
    assert (id_tag, entry.name, entry.status) == ("04A1", "Anna", "Accepted")


async def test_forms_of_others_are_refused(
    serve: Serve, browse: Browse, backend: FakeBackend
) -> None:
    server = await serve(ingress=True)
    browser = browse(server, INGRESS)
    url = f"{browser.base}/command"
    form = {"charger": "RDAM 123", "connector": "1", "do": "start"}
    anna = {"X-Remote-User-Id": "anna", "X-Ingress-Path": "/a"}
    async with browser.session.get(f"{browser.base}/", headers=anna) as response:
        page = Seen(await response.text())
    token = next(one["value"] for one in page.all("input") if one.get("name") == "form_token")
    attempts: list[tuple[dict[str, str], dict[str, Any]]] = [
        (anna, form),
        (anna, form | {"form_token": "x"}),
        (anna | {"X-Remote-User-Id": "berta"}, form | {"form_token": token}),
        (anna | {"Origin": "https://evil.example"}, form | {"form_token": token}),
    ]
    for headers, fields in attempts:
        async with browser.session.post(
            url, data=fields, headers=headers, allow_redirects=False
        ) as response:
            assert response.status == 403
    assert not backend.changes
    async with browser.session.post(
        url, data=form | {"form_token": token}, headers=anna, allow_redirects=False
    ) as response:
        assert response.status == 303
    assert backend.asked == [("set", "RDAM 123", 1, "charging", "ON")]


async def test_signing_in_and_out(serve: Serve, browse: Browse) -> None:
    browser = browse(await serve(token="correct-horse"))
    async with browser.session.get(
        f"{browser.base}/charger?id=x", headers=HTML, allow_redirects=False
    ) as response:
        assert (response.status, response.headers["Location"]) == (303, "sign-in")
    async with browser.session.get(f"{browser.base}/sign-in", headers=HTML) as response:
        page = Seen(await response.text())
    assert not list(page.all("nav"))  # it leads nowhere yet
    token = next(one["value"] for one in page.all("input") if one.get("name") == "form_token")
    for word, status in (("wrong", 401), ("correct-horse", 303)):
        form = {"form_token": token, "token": word}
        async with browser.session.post(
            f"{browser.base}/sign-in", data=form, headers=HTML, allow_redirects=False
        ) as response:
            assert response.status == status
            cookies = response.cookies
    [cookie] = cookies.values()
    assert cookie["httponly"] and cookie["samesite"] == "Strict"
    headers = HTML | {"Cookie": f"{cookie.key}={cookie.value}"}
    async with browser.session.get(f"{browser.base}/", headers=headers) as response:
        page = Seen(await response.text())
        assert response.status == 200 and "Sign out" in page.text
    token = next(one["value"] for one in page.all("input") if one.get("name") == "form_token")
    async with browser.session.post(
        f"{browser.base}/sign-out",
        data={"form_token": token},
        headers=headers,
        allow_redirects=False,
    ) as response:
        assert response.status == 303
    async with browser.session.get(
        f"{browser.base}/", headers=headers, allow_redirects=False
    ) as response:
        assert response.status == 303


async def test_who_did_it_is_in_the_log(
    serve: Serve, browse: Browse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    browser = browse(await serve(ingress=True), INGRESS)
    anna = {"X-Remote-User-Id": "5f2c", "X-Remote-User-Display-Name": "Anna\u202eroot"} | HTML
    async with browser.session.get(f"{browser.base}/", headers=anna) as response:
        page = Seen(await response.text())
    token = next(one["value"] for one in page.all("input") if one.get("name") == "form_token")
    form = {"form_token": token, "charger": "RDAM 123", "connector": "1", "do": "stop"}
    async with browser.session.post(f"{browser.base}/command", data=form, headers=anna) as response:
        assert response.status == 200
    said = [record.getMessage() for record in caplog.records if "RDAM 123" in record.getMessage()]
    assert said == [
        "command stop of RDAM 123 by Anna\\u202eroot: RDAM 123: It was asked to stop charging."
    ]


async def test_what_else_forms_do(reader: Reader, backend: FakeBackend) -> None:
    known = {"charger": "RDAM 123"}
    for where, fields, words in (
        ("approve", {"connection": "c1"}, "RDAM 123 is approved."),
        ("approve", {"connection": "old"}, "It has connected anew."),
        ("approve", {}, "The form lacks its field connection."),
        ("refuse", {}, "RDAM 123 is refused"),
        ("disconnect", {}, "The connection is dropped"),
        ("forget", {}, "Tick that you are sure"),
        ("set-password", {"open": "yes"}, "No password is needed any more."),
        ("set-password", {"password": "chosen"}, "The new password holds from now on."),
        ("diagnostics", {"location": "ftp://x/"}, "GetDiagnostics: the charger accepted"),
        ("command", {"do": "explode"}, "There is no such command."),
        ("command", {"do": "stop", "connector": "one"}, "A number is expected."),
    ):
        page = await reader.send(where, **(known | fields))
        assert words in page.text, where
    assert "chosen" not in page.text
    page = await reader.send("delete-tag", "/tags", tag="nobody")
    assert "There is no such tag." in page.text
    page = await reader.send("put-tag", "/tags", tag="x", status="Accepted", expiry="tomorrow")
    assert "a time like" in page.text
    page = await reader.send(
        "put-tag", "/tags", tag="x", status="Blocked", expiry="2030-01-01T10:00"
    )
    assert "x is blocked now." in page.text
    page = await reader.send("forget", charger="RDAM 123", sure="yes")
    assert "RDAM 123 is forgotten." in page.text


async def test_an_export_says_whose_it_is(browser: Browser) -> None:
    url = f"{browser.base}/messages.jsonl?charger=RDAM%20123"
    async with browser.session.get(url) as response:
        assert response.content_type == "application/jsonl"
        head, frame = (await response.text()).splitlines()
    assert '"id":"RDAM 123"' in head and '"action":"Heartbeat"' in frame
    assert (await browser.ask("GET", "/messages?charger=nobody")).status == 404


async def test_long_lists_are_cut_and_can_be_had(reader: Reader, backend: FakeBackend) -> None:
    backend.frames = [FRAME | {"id": str(number)} for number in range(60)]
    path = "/messages?charger=RDAM%20123"
    assert "20 older messages" in (await reader.open(path)).text
    assert "older messages" not in (await reader.open(f"{path}&all=yes")).text
    assert "Nothing to show yet" in (await reader.open(f"{path}&q=zzz")).text
