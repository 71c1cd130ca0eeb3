"""The wheel in a clean environment: it brings all it needs, and the command that it promises."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from ocpp_addon import __version__
from tests.packaging.files import ROOT
from tests.support.mosquitto import free_port
from tests.support.patience import PATIENCE


def python_of_the_image() -> str:
    """Return Python 3.13 if it is there, else ours."""
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python"))
    for python in (shutil.which("python3.13"), *pyenv):
        if (
            python
            and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
        ):
            return str(python)
    return sys.executable


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install as a person would, with the locked versions; return the command."""
    folder = tmp_path_factory.mktemp("wheel")
    quiet = ("--quiet", "--disable-pip-version-check")
    build = ("wheel", *quiet, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name == f"ocpp_gateway-{__version__}-py3-none-any.whl"
    subprocess.run([python_of_the_image(), "-m", "venv", folder / "clean"], check=True)
    pip: list[str | Path] = [folder / "clean/bin/python", "-m", "pip"]
    locked = ("--require-hashes", "--requirement", ROOT / "requirements.lock")
    subprocess.run([*pip, "install", *quiet, *locked], check=True)
    subprocess.run([*pip, "install", *quiet, "--no-deps", wheel], check=True)
    # What the wheel asks for is what is locked.
    subprocess.run([*pip, "check", *quiet], check=True)
    return folder / "clean/bin/ocpp-gateway"


def test_the_command_is_there(command: Path, tmp_path: Path) -> None:
    def run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [command, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run("--version").stdout.strip() == __version__
    (tmp_path / "options.json").write_text("{}")
    assert run("check", "options.json").returncode == 0
    (tmp_path / "options.json").write_text('{"name": "a/b"}')
    refused = run("check", "options.json")
    assert (refused.returncode, refused.stderr.startswith("name: ")) == (1, True)


async def test_the_gateway_runs_from_it(command: Path, tmp_path: Path) -> None:
    port = free_port()
    broker = {"host": "127.0.0.1", "port": 1}
    options = {"port": 0, "host": "127.0.0.1", "web_port": port, "mqtt": broker}
    (tmp_path / "options.json").write_text(json.dumps(options))
    process = await asyncio.create_subprocess_exec(
        *(command, "run", "--options", "options.json", "--data", "data"), cwd=tmp_path
    )
    try:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
            while not await serves(session, f"http://127.0.0.1:{port}/"):
                assert process.returncode is None
                await asyncio.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), PATIENCE)
    assert code == 0


async def serves(session: aiohttp.ClientSession, url: str) -> bool:
    """Tell whether health, API and the description of the API are there."""
    try:
        for path in ("health", "api/chargers", "api/openapi.json"):
            async with session.get(url + path) as answer:
                assert answer.status == 200, path
    except aiohttp.ClientConnectionError:
        return False
    return True
