"""Who may talk to the API, over real sockets with real addresses."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from ocpp_addon.web.backend import Refused
from ocpp_addon.web.guard import Guard
from ocpp_addon.web.logins import FAILURES_LIMIT, Logins
from tests.web.conftest import INGRESS, WRITE, Browse, Browser, Serve

STRANGER = "127.0.0.3"  # a peer that is neither 127.0.0.1 nor the ingress
TOKEN = "correct-horse"


async def test_a_stranger_is_refused_whatever_it_claims(serve: Serve, browse: Browse) -> None:
    forged = WRITE | {
        "X-Ingress-Path": "/api/hassio_ingress/x",
        "X-Remote-User-Id": "admin",
        "X-Forwarded-For": "127.0.0.1",
        "X-Real-IP": INGRESS,
        "Forwarded": "for=127.0.0.1",
    }
    for options in ({"ingress": True}, {}, {"ingress": True, "token": TOKEN}):
        stranger = browse(await serve(**options), STRANGER)
        forged["Authorization"] = f"Bearer {TOKEN}"
        for method, path in [("GET", "/health"), ("GET", "/api/chargers"), ("GET", "/nothing")]:
            answer = await stranger.ask(method, path, headers=forged)
            assert (answer.status, answer.code) == (403, "forbidden")


async def test_home_assistant_and_loopback_are_let_in(serve: Serve, browse: Browse) -> None:
    server = await serve(ingress=True)
    for source in (INGRESS, "127.0.0.1"):
        browser = browse(server, source)
        assert (await browser.ask("GET", "/health")).status == 200
        assert (await browser.ask("GET", "/api/chargers")).status == 200
        assert (await browser.write("DELETE", "/api/tags/card")).status == 200


@pytest.mark.parametrize(
    ("headers", "right"),
    [
        ({}, False),
        ({"Authorization": f"Bearer {TOKEN}"}, True),
        ({"Authorization": f"bearer  {TOKEN}"}, True),
        ({"Authorization": "Bearer wrong"}, False),
        ({"Authorization": "Bearer"}, False),
        ({"Authorization": f"Bearer {TOKEN}x"}, False),
        ({"Authorization": f"Basic {TOKEN}"}, False),
        ({"Authorization": TOKEN}, False),
        ({"Authorization": "Bearer é"}, False),
    ],
)
async def test_the_token(
    serve: Serve, browse: Browse, headers: dict[str, str], right: bool
) -> None:
    server = await serve(token=TOKEN)
    for source in ("127.0.0.1", STRANGER):
        answer = await browse(server, source).ask("GET", "/api/chargers", headers=headers)
        assert answer.status == (200 if right else 401)
        if not right:
            assert answer.code == "unauthorized"
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert TOKEN not in str(answer.content)


async def test_who_gave_many_wrong_tokens_is_told_to_wait(serve: Serve, browse: Browse) -> None:
    server = await serve(token=TOKEN)
    wrong, right = ({"Authorization": f"Bearer {token}"} for token in ("wrong", TOKEN))
    answers = [
        await browse(server).ask("GET", "/api/chargers", headers=wrong)
        for _ in range(FAILURES_LIMIT)
    ]
    assert [answer.status for answer in answers[:-1]] == [401] * (FAILURES_LIMIT - 1)
    for headers in (wrong, right):
        answer = await browse(server).ask("GET", "/api/chargers", headers=headers)
        assert (answer.status, answer.code) == (429, "throttled")
    assert (await browse(server).ask("GET", "/api/chargers")).status == 401
    assert (await browse(server).ask("GET", "/health", headers=wrong)).status == 200
    assert (await browse(server, STRANGER).ask("GET", "/api/chargers", headers=right)).status == 200


async def test_only_loopback_sees_health_without_token(serve: Serve, browse: Browse) -> None:
    server = await serve(token=TOKEN)
    assert (await browse(server).ask("GET", "/health")).status == 200
    assert (await browse(server).ask("HEAD", "/health")).status == 200
    assert (await browse(server).ask("POST", "/health", headers=WRITE)).status == 401
    assert (await browse(server, STRANGER).ask("GET", "/health")).status == 401


@pytest.mark.parametrize(
    ("remote", "right"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("127.0.0.3", False),
        ("::ffff:192.168.1.5", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_peers(remote: str, right: bool) -> None:
    request = make_mocked_request("GET", "/api/tags", {"Host": "localhost"}).clone(remote=remote)
    if right:
        Guard().check(request)
    else:
        with pytest.raises(Refused):
            Guard().check(request)


def test_the_token_is_not_in_the_repr() -> None:
    assert TOKEN not in repr(Guard(logins=Logins(TOKEN)))


@pytest.mark.parametrize("value", [None, "", "XMLHttpRequest", "ocpp-gateway2"])
@pytest.mark.parametrize("ingress", [False, True])
async def test_writes_need_the_header(
    serve: Serve, browse: Browse, value: str | None, ingress: bool
) -> None:
    server = await serve(ingress=ingress)
    browser = browse(server, INGRESS if ingress else "127.0.0.1")
    headers = {} if value is None else {"X-Requested-With": value}
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        answer = await browser.ask(method, "/api/tags/card", headers=headers)
        assert (answer.status, answer.code) == (403, "csrf")


async def test_no_page_of_another_host_gets_leave(browser: Browser) -> None:
    preflight = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "X-Requested-With",
    }
    answer = await browser.ask("OPTIONS", "/api/tags/card", headers=preflight)
    assert answer.status == 403
    assert not any(name.startswith("Access-Control") for name in answer.headers)


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("127.0.0.1:8099", True),
        ("192.168.1.5", True),
        ("[::1]:8099", True),
        ("[fe80::1]", True),
        ("localhost:8099", True),
        ("LocalHost", True),
        ("gateway.localhost", True),
        ("nas", True),
        ("nas.local:8099", True),
        ("nas.lan", True),
        ("nas.home.arpa.", True),
        ("evil.example", False),
        ("evil.example:8099", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example?.local", False),
        ("user@nas.local", False),
        ("nas.local:port", False),
        ("[nas", False),
        (".local.evil.example", False),
    ],
)
async def test_hosts(serve: Serve, browse: Browse, host: str, right: bool) -> None:
    for options in ({}, {"token": TOKEN}):
        headers = {"Host": host, "Authorization": f"Bearer {TOKEN}"}
        answer = await browse(await serve(**options)).ask("GET", "/api/tags", headers=headers)
        assert answer.status == (200 if right else 403)
        if not right:
            assert answer.code == "bad_host"


async def test_the_name_that_it_listens_on_is_its_own(
    serve: Serve, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocpp_addon.web.guard.is_local", lambda name: False)
    browser = browse(await serve(host="Localhost"))
    for name, status in [("localhost", 200), ("LOCALHOST:8099", 200), ("other", 403)]:
        assert (await browser.ask("GET", "/api/tags", headers={"Host": name})).status == status


OURS = "http://nas.local:8099"


@pytest.mark.parametrize(
    ("origin", "host", "right"),
    [
        (OURS, "nas.local:8099", True),
        ("http://NAS.local:8099", "nas.LOCAL:8099", True),
        ("http://nas.local", "nas.local", True),
        ("http://nas.local:80", "nas.local", True),
        ("https://nas.local", "nas.local:443", True),
        ("http://[::1]:8099", "[::1]:8099", True),
        (OURS, "nas.local", False),
        ("http://nas.local:8123", "nas.local:8099", False),
        ("http://evil.example", "nas.local:8099", False),
        ("http://nas.local:8099.evil.example", "nas.local:8099", False),
        ("http://nas.local:8099@evil.example", "nas.local:8099", False),
        ("http://nas.local:8099/path", "nas.local:8099", False),
        ("null", "nas.local:8099", False),
        ("", "nas.local:8099", False),
        ("file://", "nas.local:8099", False),
        ("nas.local:8099", "nas.local:8099", False),
        ("chrome-extension://nas.local:8099", "nas.local:8099", False),
    ],
)
async def test_origins_on_direct_access(
    browser: Browser, origin: str, host: str, right: bool
) -> None:
    # Nobody but the ingress is believed about forwarding.
    headers = WRITE | {"Host": host, "Origin": origin, "X-Forwarded-Host": "evil.example"}
    for method, path in [("GET", "/api/tags"), ("DELETE", "/api/tags/card")]:
        answer = await browser.ask(method, path, headers=headers)
        assert answer.status == (200 if right else 403)
        if not right:
            assert answer.code == "bad_origin"


@pytest.mark.parametrize(
    ("origin", "headers", "right"),
    [
        ("https://ha.example", {"X-Forwarded-Host": "ha.example"}, True),
        ("https://ha.example:8443", {"X-Forwarded-Host": "ha.example:8443"}, True),
        ("https://ha.example:8443", {"X-Forwarded-Host": "ha.example"}, True),
        ("https://ha.example", {"X-Forwarded-Host": "ha.example, inner:8123"}, True),
        ("https://ha.example", {"Host": "ha.example"}, True),
        ("http://homeassistant.local:8123", {"Host": "homeassistant.local:8123"}, True),
        ("https://ha.example:8444", {"X-Forwarded-Host": "ha.example:8443"}, False),
        ("https://evil.example", {"X-Forwarded-Host": "ha.example"}, False),
        ("https://evil.example", {"X-Forwarded-Host": "ha.example", "Host": "evil.example"}, False),
        ("https://inner", {"X-Forwarded-Host": "ha.example, inner"}, False),
        ("null", {"X-Forwarded-Host": "ha.example"}, False),
    ],
)
async def test_origins_through_ingress(
    serve: Serve, browse: Browse, origin: str, headers: dict[str, Any], right: bool
) -> None:
    browser = browse(await serve(ingress=True), INGRESS)
    headers = WRITE | headers | {"Origin": origin}
    answer = await browser.ask("DELETE", "/api/tags/card", headers=headers)
    assert answer.status == (200 if right else 403)


@pytest.mark.parametrize("kind", ["", "; charset=nonsense", "; charset=utf-16"])
async def test_a_form_that_cannot_be_read_is_refused(browser: Browser, kind: str) -> None:
    headers = {"Content-Type": f"application/x-www-form-urlencoded{kind}"}
    answer = await browser.ask("POST", "/approve", data=b"charger=\xff\xfe\xff", headers=headers)
    assert answer.status in (400, 403)
