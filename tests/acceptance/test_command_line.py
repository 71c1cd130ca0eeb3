"""The gateway as a program, and the commands that people give it."""

import asyncio
import contextlib
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.mosquitto import Mosquitto, free_port
from tests.support.patience import until
from tests.support.stand import Watch

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "SUPERVISOR_TOKEN"}


@contextlib.asynccontextmanager
async def program(*words: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the program in the background, and end it with SIGTERM."""
    with log.open("wb") as file:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ocpp_addon", *words, stderr=file, env=ENVIRONMENT
        )
    try:
        yield running
    finally:
        assert running.returncode is None, log.read_text()
        running.terminate()
        await asyncio.wait_for(running.wait(), 20)
        assert "Traceback" not in log.read_text()


async def result(*words: str, given: str = "") -> tuple[int | None, str, str]:
    """Run the program; return its exit code and what it printed."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ocpp_addon",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    out, err = await asyncio.wait_for(running.communicate(given.encode()), 60)
    return running.returncode, out.decode(), err.decode()


def rows(table: str) -> dict[str, list[str]]:
    """Return the cells of a printed table by the first of each row."""
    return {cells[0]: cells for line in table.splitlines()[1:] if (cells := line.split())}


async def test_from_nothing_to_a_session_and_out(tmp_path: Path) -> None:
    port, web_port = free_port(), free_port()
    options, log = tmp_path / "options.json", tmp_path / "log"
    api = ("--url", f"http://127.0.0.1:{web_port}")

    async def ask(*words: str, given: str = "") -> str:
        code, out, err = await result(*words, *api, given=given)
        assert (code, err) == (0, ""), words
        return out

    async def until_listed(state: str) -> None:
        async with asyncio.timeout(60):
            while rows(await ask("chargers", "list")).get("SIM1", [""] * 3)[2] != state:
                await asyncio.sleep(0.2)

    async with Mosquitto() as mosquitto, Watch(mosquitto.port) as watch:
        content: dict[str, Any] = {
            "mqtt": {"host": "127.0.0.1", "port": mosquitto.port},
            "chargers": [{"id": "garage", "password": "a-password-of-its-own"}],
            "port": port,
            "web_port": web_port,
        }
        options.write_text(json.dumps(content))
        assert (await result("check", str(options)))[0] == 0
        run = ("run", "--options", str(options), "--data", str(tmp_path / "data"))
        async with program(*run, log=log) as gateway:
            await watch.expect("ocpp/gateway/main")
            assert json.loads(options.read_text())["chargers"] == []
            assert rows(await ask("chargers", "list"))["garage"][1:4] == ["no", "approved", "yes"]

            simulated = ("simulate", "--id", "SIM1", "--url", f"ws://127.0.0.1:{port}/ocpp")
            words = (*simulated, "--charge", "--interval", "0.5")
            async with program(*words, log=tmp_path / "simulated"):
                await until_listed("pending")
                assert not watch.on("ocpp/cp/SIM1/BootNotification")
                assert "is approved." in await ask("chargers", "approve", "SIM1")
                await watch.expect("ocpp/cp/SIM1/BootNotification")
                await watch.expect("ocpp/cp/SIM1/MeterValues", 3)
                found = await ask("call", "SIM1", "GetConfiguration")
                assert json.loads(found)["configurationKey"]
                answers = [seen.json for seen in watch.on("ocpp/cp/Answer/SIM1")]
                [started] = [one for one in answers if one["Action"] == "StartTransaction"]
                stop = json.dumps({"transactionId": started["Payload"]["transactionId"]})
                assert "Accepted" in await ask("call", "SIM1", "RemoteStopTransaction", stop)
                await watch.expect("ocpp/cp/SIM1/StopTransaction")

                code, _, err = await result("call", "SIM1", "NoSuchThing", *api)
                assert (code, len(err.splitlines())) == (1, 1)
                assert "is disconnected" in await ask("chargers", "disconnect", "SIM1")
                assert "is forgotten" in await ask("chargers", "remove", "SIM1")
                await until_listed("pending")  # it dials again

            await ask("chargers", "add", "CP2", given="another-password\n")
            assert rows(await ask("chargers", "list"))["CP2"][3] == "yes"
            await ask("tags", "set", "T1", "--status", "Blocked", "--name", "Anna")
            assert rows(await ask("tags", "list"))["T1"][1:3] == ["Blocked", "Anna"]
            await ask("tags", "remove", "T1")
            assert "T1" not in rows(await ask("tags", "list"))
        assert gateway.returncode == 0
        await until(lambda: watch.on("ocpp/gateway/main")[-1].payload == b"offline")
    kept = log.read_text() + (tmp_path / "data" / "chargers.json").read_text()
    assert "password-of-its-own" not in kept
    assert "another-password" not in kept
    assert (tmp_path / "data" / "chargers.json").stat().st_mode & 0o777 == 0o600


async def test_the_script_prints_what_reaches_another_broker(tmp_path: Path) -> None:
    for name in ("script", ".venv", "requirements.lock", "constraints-dev.txt", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    users = tmp_path / "users"
    words = ("mosquitto_passwd", "-c", "-b", users, "a user", "secret")
    assert await (await asyncio.create_subprocess_exec(*words)).wait() == 0
    async with Mosquitto("allow_anonymous false", f"password_file {users}") as mosquitto:
        options = {
            "mqtt": {
                "host": "localhost",
                "port": mosquitto.port,
                "username": "a user",
                "password": "secret",
            },
            "port": free_port(),
            "web_port": free_port(),
        }
        (tmp_path / "o.json").write_text(json.dumps(options))
        running = await asyncio.create_subprocess_exec(
            tmp_path / "script" / "run",
            "--options",
            "o.json",
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert running.stdout is not None
        async with asyncio.timeout(60):
            while b"Watch" not in (line := await running.stdout.readline()):
                assert line
        told = shlex.split(line.decode().replace("PASSWORD", "secret"))[3:]
        watching = await asyncio.create_subprocess_exec(
            *told, "-C", "1", "-W", "20", stdout=asyncio.subprocess.PIPE
        )
        seen, _ = await watching.communicate()
        assert seen == b"ocpp/gateway/main online\n"
        running.terminate()
        assert await asyncio.wait_for(running.wait(), 20) == 0


async def test_bad_options_end_it_with_one_line(tmp_path: Path) -> None:
    options = tmp_path / "options.json"
    for content, start in [
        ('{"port": "many"}', "port: a whole number"),
        ('{"chargers": [{"id": "cp"}]}', "chargers: The id cp"),
        ('{"topics": {"reply": "ocpp/${cid}/a/b"}}', "topics.reply: its topic `ocpp/${cid}/a/b`"),
        ("{", f"The options file {options} is not JSON"),
    ]:
        options.write_text(content)
        for words in (("run", "--options", str(options)), ("check", str(options))):
            code, out, err = await result(*words)
            assert (code, out, len(err.splitlines())) == (1, "", 1)
            assert err.startswith(start)
