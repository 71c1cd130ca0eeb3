"""The gateway as a process of its own, and what can be seen of it from outside."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.mosquitto import free_port

PATIENCE = 30.0
ROOT = Path(__file__).resolve().parents[2]


class Process:
    """Start, stop and kill one gateway; its ports stay the same."""

    def __init__(self, folder: Path, mqtt_port: int, **options: Any) -> None:
        self.port = free_port()
        self.web_port = free_port()
        self.data = folder / "data"
        self.log = folder / "gateway.log"
        self.program: tuple[str, ...] = ("-m", "ocpp_addon", "run")
        self.environment: dict[str, str] = {}
        self._options_file = folder / "options.json"
        self._process: asyncio.subprocess.Process | None = None
        self.options = {
            "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
            "host": "127.0.0.1",
            "port": self.port,
            "web_port": self.web_port,
            "unknown_chargers": "accept",
            **options,
        }

    @property
    def pid(self) -> int:
        """Return the process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self, patience: float = PATIENCE) -> float:
        """Start and return how many seconds it took until it listened."""
        self._options_file.parent.mkdir(parents=True, exist_ok=True)
        self._options_file.write_text(json.dumps(self.options))
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.program,
                *("--options", str(self._options_file), "--data", str(self.data)),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self.environment},
            )
        async with asyncio.timeout(patience):
            while not await self._listens():
                if not self.running:
                    raise RuntimeError(f"the gateway has ended:\n{self.log.read_text()[-2000:]}")
                await asyncio.sleep(0.01)
        return time.monotonic() - began

    async def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        await self.wait()

    async def stop(self, patience: float = PATIENCE) -> tuple[int, float]:
        """Ask it to end; return its exit code and how many seconds that took."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        return await self.wait(patience), time.monotonic() - began

    async def wait(self, patience: float = PATIENCE) -> int:
        """Wait for its end and return the exit code."""
        assert self._process is not None
        async with asyncio.timeout(patience):
            return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self._process is not None and self.running:
            self._process.send_signal(number)

    async def end(self) -> None:
        """Make sure that it has ended."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def health(self) -> dict[str, Any]:
        """Return what /health says; {} when it does not answer."""
        with contextlib.suppress(OSError, aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"http://127.0.0.1:{self.web_port}/health") as response,
            ):
                found: dict[str, Any] = await response.json()
                return {**found, "http": response.status}
        return {}

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask the HTTP API; return status and JSON."""
        headers = {"X-Requested-With": "ocpp-gateway"}
        url = f"http://127.0.0.1:{self.web_port}/api/{path}"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body) as response,
        ):
            return response.status, None if response.status == 204 else await response.json()

    @property
    def memory(self) -> float:
        """Return the resident memory in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    @property
    def files(self) -> int:
        """Return how many files and sockets are open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def unsent(self) -> dict[int, int]:
        """Return how many bytes the kernel holds back, by the port of the charger."""
        found = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, queues, *_ = line.split()
            if state == "01" and int(local.partition(":")[2], 16) == self.port:
                found[int(remote.partition(":")[2], 16)] = int(queues.partition(":")[0], 16)
        return found

    @property
    def tasks(self) -> int:
        """Return how many tasks the event loop had lately; the program must be `observed`."""
        return int(self._observations()[-1].split()[0])

    @property
    def lags(self) -> list[float]:
        """Return by how many ms the event loop was late; the program must be `observed`."""
        return [float(word) for line in self._observations() for word in line.split()[1:]]

    def _observations(self) -> list[str]:
        return (self.data / "observed").read_text().splitlines()

    def lines(self, since: int = 0) -> list[str]:
        """Return the lines of the log, from a number on."""
        return self.log.read_text(errors="replace").splitlines()[since:]

    def count(self, text: str) -> int:
        """Return in how many lines of the log a text stands."""
        return sum(text in line for line in self.lines())

    def is_sound(self, scratch: Path) -> bool:
        """Tell whether a copy of the database passes its integrity check."""
        copy = shutil.copytree(self.data, scratch / "copy")
        try:
            connection = sqlite3.connect(copy / "gateway.sqlite3")
            try:
                return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))
            finally:
                connection.close()
        finally:
            shutil.rmtree(copy)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
