"""The command line: what it runs, what it asks of the API, what it prints, and its exit codes."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import ocpp_addon
from ocpp_addon import __main__, gateway, logs, simulator
from ocpp_addon.__main__ import main
from ocpp_addon.config import Settings

CHARGER = {
    "id": "CP 1",
    "connected": True,
    "connection": "c7",
    "approval": "pending",
    "protected": False,
    "vendor": "Evil\u202e",
    "model": "Box",
    "protocol": "1.6",
    "address": "192.168.1.9",
    "last_seen": "2026-11-24T17:00:00.000Z",
}


class FakeApi:
    """What the gateway's API answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: Any = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.raw_path, body))
        self.headers = request.headers
        status, content = self.answers.get((request.method, request.raw_path), (204, None))
        if content is None:
            return web.Response(status=status)
        return web.json_response(content, status=status)


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApi]:
    monkeypatch.delenv("OCPP_GATEWAY_TOKEN", raising=False)
    fake = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    async with TestServer(app) as server:
        fake.url = f"http://127.0.0.1:{server.port}"
        yield fake


async def online(api: FakeApi, *words: str) -> int:
    """Run a command against the fake; it has an event loop of its own, so it gets a thread."""
    return await asyncio.to_thread(main, [*words, "--url", api.url])


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    for name in logs._TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET)


async def test_chargers_are_listed_as_a_table(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["GET", "/api/chargers"] = (200, [CHARGER, {"id": "B", "connected": False}])
    assert await online(api, "chargers", "list") == 0
    heads, first, second = capsys.readouterr().out.splitlines()
    assert heads.split("  ")[0] == "ID"
    assert first.split() == [
        *("CP", "1", "yes", "pending", "no", "Evil\\u202e", "Box", "1.6", "192.168.1.9"),
        "2026-11-24T17:00:00.000Z",
    ]
    assert second.split() == ["B", "no", "-", "no", "-", "-", "-", "-"]
    assert heads.index("CONNECTED") == first.index("yes") == second.index("no")


@pytest.mark.parametrize(
    ("words", "typed", "body"),
    [
        (["--password", "s3cret"], "", {"password": "s3cret"}),
        (["--no-password"], "", {"password": None}),
        ([], "typed in\n", {"password": "typed in"}),
        (["--password", ""], "typed in\n", {"password": "typed in"}),
    ],
)
async def test_a_charger_is_added_with_or_without_password(
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    typed: str,
    body: dict[str, Any],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert await online(api, "chargers", "add", "CP 1/ä", *words) == 0
    assert api.asked == [("PUT", "/api/chargers/CP%201%2F%C3%A4", body)]
    assert api.headers["X-Requested-With"] == "ocpp-gateway"
    printed = capsys.readouterr().out
    assert printed == f"CP 1/ä is known, {'with' if body['password'] else 'without'} a password.\n"


@pytest.mark.parametrize("typed", ["", "\n"])
async def test_a_pipe_that_holds_no_password_unprotects_no_charger(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert await online(api, "chargers", "add", "CP1") == 1
    assert api.asked == []
    assert "--no-password" in capsys.readouterr().err


async def test_a_password_is_asked_for_without_showing_it(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    typed = ["hidden", ""]
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    for password in ("hidden", None):
        assert await online(api, "chargers", "add", "CP1") == 0
        assert api.asked.pop() == ("PUT", "/api/chargers/CP1", {"password": password})


async def test_approval_names_the_connection_that_waits(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["GET", "/api/chargers/CP1"] = (200, CHARGER)
    assert await online(api, "chargers", "approve", "CP1") == 0
    assert api.asked[-1] == ("POST", "/api/chargers/CP1/approve", {"connection": "c7"})
    assert "192.168.1.9" in capsys.readouterr().out


async def test_what_does_not_wait_is_not_approved(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["GET", "/api/chargers/CP1"] = (200, {**CHARGER, "approval": "approved"})
    assert await online(api, "chargers", "approve", "CP1") == 1
    assert capsys.readouterr().err == "CP1 does not wait for approval.\n"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["chargers", "remove", "CP1"], ("DELETE", "/api/chargers/CP1", None)),
        (["chargers", "disconnect", "CP1"], ("POST", "/api/chargers/CP1/disconnect", {})),
        (["tags", "remove", "04A1"], ("DELETE", "/api/tags/04A1", None)),
        (["tags", "set", "04A1"], ("PUT", "/api/tags/04A1", {"status": "Accepted"})),
        (
            [
                *("tags", "set", "04A1", "--status", "Blocked", "--name", "Ann", "--parent", "P"),
                *("--expiry", "2027-01-31T00:00:00Z"),
            ],
            (
                "PUT",
                "/api/tags/04A1",
                {
                    "status": "Blocked",
                    "name": "Ann",
                    "parent": "P",
                    "expiry": "2027-01-31T00:00:00Z",
                },
            ),
        ),
    ],
)
async def test_changes_are_asked_for_and_confirmed(
    api: FakeApi,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    asked: tuple[str, str, Any],
) -> None:
    assert await online(api, *words) == 0
    assert api.asked == [asked]
    assert capsys.readouterr().out.endswith(".\n")


async def test_tags_are_listed(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["GET", "/api/tags"] = (200, [{"idTag": "04A1", "status": "Accepted"}])
    assert await online(api, "tags", "list") == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["04A1", "Accepted", "-", "-", "-"]


async def test_a_call_prints_the_answer(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["POST", "/api/chargers/CP1/call"] = (200, {"result": {"status": "Accepted"}})
    words = ("call", "CP1", "Reset", '{"type": "Soft"}', "--token", "t0ken")
    assert await online(api, *words) == 0
    assert json.loads(capsys.readouterr().out) == {"status": "Accepted"}
    body = {"action": "Reset", "payload": {"type": "Soft"}}
    assert api.asked == [("POST", "/api/chargers/CP1/call", body)]
    assert api.headers["Authorization"] == "Bearer t0ken"


async def test_a_call_that_fails_says_so(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "GenericError", "description": "offline", "details": {"reason": "offline"}}
    api.answers["POST", "/api/chargers/CP1/call"] = (200, {"error": error})
    assert await online(api, "call", "CP1", "GetConfiguration") == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"reason": "offline"}
    assert printed.err == "GenericError: offline\n"
    assert api.asked[0][2]["payload"] == {}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((404, {"error": {"code": "unknown", "description": "No such."}}), "No such.\n"),
        ((502, None), "The gateway answered 502.\n"),
        ((500, ["odd"]), "The gateway answered 500.\n"),
        ((200, {"not": "a list"}), "What answers there is no gateway.\n"),
        ((200, ["no object"]), "What answers there is no gateway.\n"),
    ],
)
async def test_a_refusal_is_one_sentence(
    api: FakeApi, capsys: pytest.CaptureFixture[str], answer: tuple[int, Any], sentence: str
) -> None:
    api.answers["GET", "/api/chargers"] = answer
    assert await online(api, "chargers", "list") == 1
    assert capsys.readouterr().err == sentence


async def test_a_gateway_that_is_not_there_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["chargers", "list", "--url"]
    for url in ("http://127.0.0.1:1", "http://127.0.0.1:999999", "nonsense"):
        assert await asyncio.to_thread(main, [*words, url]) == 1
        printed = capsys.readouterr().err
        assert printed.startswith(f"No gateway answers at {url}: ")
        assert len(printed.splitlines()) == 1


async def test_the_token_may_come_from_the_environment(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCPP_GATEWAY_TOKEN", "t0ken")
    assert await online(api, "tags", "remove", "04A1") == 0
    assert api.headers["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    "words",
    [
        ["chargers"],
        ["chargers", "add"],
        ["chargers", "add", "CP1", "--password", "x", "--no-password"],
        ["call", "CP1", "Reset", "not json"],
        ["call", "CP1", "Reset", "[]"],
        ["simulate", "--connectors", "0"],
        ["simulate", "--interval", "-1"],
        ["--nonsense"],
        ["nonsense"],
    ],
)
def test_what_is_not_understood_exits_with_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{ocpp_addon.__version__}\n"


class TestRun:
    """How `run` finds its options and data."""

    @pytest.fixture(autouse=True)
    def ran(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Path, Path | None]]:
        monkeypatch.delenv("SUPERVISOR_TOKEN", raising=False)
        ran: list[tuple[Settings, Path, Path | None]] = []

        async def run(settings: Settings, data: Path, options: Path | None = None) -> int:
            ran.append((settings, data, options))
            return 0

        monkeypatch.setattr(gateway, "run", run)
        return ran

    def test_without_anything_the_defaults_hold(self, ran: list[Any]) -> None:
        assert main([]) == 0
        assert ran == [(Settings(), Path("data"), None)]
        assert logging.getLogger().level == logging.INFO
        assert logging.getLogger("aiohttp.access").level == logging.WARNING

    @pytest.mark.parametrize("command", [[], ["run"]])
    def test_with_files(self, ran: list[Any], tmp_path: Path, command: list[str]) -> None:
        options = tmp_path / "options.json"
        options.write_text('{"name": "garage", "log_level": "debug"}')
        words = ["--options", str(options), "--data", str(tmp_path)]
        assert main([*command, *words]) == 0
        assert ran == [(Settings(name="garage", log_level="debug"), tmp_path, options)]
        assert logging.getLogger().level == logging.DEBUG

    def test_in_home_assistant(
        self, ran: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SUPERVISOR_TOKEN", "t0ken")
        monkeypatch.setattr(__main__, "SUPERVISED_DATA", tmp_path)
        (tmp_path / "options.json").write_text('{"name": "garage"}')
        assert main([]) == 0
        assert ran == [(Settings(name="garage"), tmp_path, tmp_path / "options.json")]

    def test_bad_options_are_one_sentence(
        self, ran: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = tmp_path / "options.json"
        options.write_text('{"port": "many"}')
        assert main(["--options", str(options)]) == 1
        assert capsys.readouterr().err.startswith("port: a whole number")
        assert ran == []

    def test_ctrl_c_is_no_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def interrupted(*_: object) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(gateway, "run", interrupted)
        assert main([]) == 130


def test_check_tells_whether_a_file_is_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPERVISOR_TOKEN", raising=False)
    options = tmp_path / "options.json"
    options.write_text('{"name": "garage"}')
    assert main(["check", str(options)]) == 0
    assert main(["check", "--options", str(options)]) == 0
    assert capsys.readouterr().out == f"{options}: fine.\n" * 2
    options.write_text('{"topics": {"reply": "ocpp/${cid}/a/b"}}')
    assert main(["check", str(options)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["check", str(tmp_path / "missing.json")]) == 1
    assert capsys.readouterr().err.endswith("missing.json does not exist.\n")


def test_simulate_runs_a_charger(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[simulator.Simulator] = []

    async def run(charger: simulator.Simulator) -> None:
        ran.append(charger)

    monkeypatch.setattr(simulator.Simulator, "run", run)
    words = ["--id", "CP9", "--password", "s3cret", "--connectors", "2", "--interval", "0.5"]
    assert main(["simulate", *words]) == 0
    assert (ran[0].id, ran[0].password, len(ran[0].connectors)) == ("CP9", "s3cret", 2)
    assert ran[0].configuration["MeterValueSampleInterval"] == "0.5"


def test_simulate_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(ocpp_addon, "simulator")
    for name in [one for one in sys.modules if one.startswith("ocpp_addon.simulator")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "websockets.asyncio.client", None)
    assert main(["simulate"]) == 1
    assert "pip install 'ocpp-gateway[simulator]'" in capsys.readouterr().err
