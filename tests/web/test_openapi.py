"""The description of the API, held against the API itself."""

import json
from importlib import resources
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from ocpp_addon.web.server import WebServer
from tests.web.conftest import ATTEMPT, FRAME, Browser, FakeBackend

DOCUMENT: dict[str, Any] = json.loads(
    (resources.files("ocpp_addon.web") / "openapi.json").read_text()
)
OPERATIONS = {
    (path, method): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def described(schema: dict[str, Any], value: object) -> None:
    """Fail unless a value is what the document says."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def _real(path: str) -> str:
    """Return a path with an id that the back-end knows."""
    return path.replace("{id}", "card" if "tags" in path else "RDAM%20123")


def test_it_is_valid() -> None:
    validate(DOCUMENT)


async def test_it_is_served(browser: Browser) -> None:
    assert (await browser.ask("GET", "/api/openapi.json")).content == DOCUMENT


async def test_it_names_every_call_and_no_other(backend: FakeBackend) -> None:
    async with WebServer(backend, host="127.0.0.1", port=0) as server:
        app = server._runner.app
        routes = {
            (resource.canonical, route.method.lower())
            for resource in app.router.resources()
            for route in resource
            if isinstance(resource, web.Resource) and route.method != "HEAD"
        }
    api = {
        (path, method)
        for path, method in routes
        if path.startswith(("/api/", "/health", "/metrics"))
    }
    assert api == set(OPERATIONS)


@pytest.mark.parametrize(
    "path", [path for path, method in OPERATIONS if method == "get" and path != "/api/live"]
)
async def test_answers_are_as_described(browser: Browser, path: str) -> None:
    operation = DOCUMENT["paths"][path]["get"]
    url = browser.base + _real(path)
    async with browser.session.get(url) as response:
        content = operation["responses"]["200"]["content"][response.content_type]
        is_json = response.content_type == "application/json"
        described(content["schema"], await (response.json() if is_json else response.text()))


@pytest.mark.parametrize(
    ("path", "method"), [key for key in OPERATIONS if key[1] in ("put", "post", "delete")]
)
async def test_writes_are_as_described(browser: Browser, path: str, method: str) -> None:
    bodies = {
        "putCharger": {"password": None},
        "approve": {"connection": "c1"},
        "call": {"action": "Reset"},
        "putTag": {"name": "Anna"},
    }
    operation = OPERATIONS[path, method]
    body = bodies.get(operation["operationId"])
    if body is not None:
        described(operation["requestBody"]["content"]["application/json"]["schema"], body)
    where = _real(path)
    answer = await browser.write(method.upper(), where, body)
    assert answer.status == 200
    described(
        operation["responses"]["200"]["content"]["application/json"]["schema"], answer.content
    )
    assert any(
        parameter["$ref"].endswith("/RequestedWith") for parameter in operation["parameters"]
    )
    refusal = await browser.ask(method.upper(), where)
    described(
        DOCUMENT["components"]["responses"]["Refusal"]["content"]["application/json"]["schema"],
        refusal.content,
    )


@pytest.mark.parametrize(
    "event",
    [
        {"event": "charger", "charger": FakeBackend().charger("RDAM 123")},
        {"event": "forgotten", "charger": "RDAM 123"},
        {"event": "message", "charger": "RDAM 123", "message": FRAME},
        {"event": "attempt", "attempt": ATTEMPT},
        {"event": "health", "health": FakeBackend().health()},
        {"event": "reload"},
    ],
)
def test_events_are_described(event: dict[str, Any]) -> None:
    described(DOCUMENT["components"]["schemas"]["Event"], event)
