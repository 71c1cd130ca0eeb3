"""A real Mosquitto on a free port of loopback, that can be stopped, killed, frozen and emptied."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import Self

_PROGRAM = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin") or "mosquitto"


def free_port() -> int:
    """Return a port that nobody listens on just now, and no outgoing connection gets by chance."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Mosquitto:
    """Run one broker; it keeps its port over restarts and remembers nothing."""

    def __init__(self, *configuration: str, nodelay: bool = True) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="mosquitto-"))
        lines = [f"listener {self.port} 127.0.0.1", "persistence false"]
        if not any(line.startswith("allow_anonymous") for line in configuration):
            lines.append("allow_anonymous true")
        if os.geteuid() == 0:
            lines.append("user root")  # else it could not read what only we may
        if nodelay:
            lines.append("set_tcp_nodelay true")
        file = self._folder / "mosquitto.conf"
        file.write_text("\n".join([*lines, *configuration]) + "\n")
        self._command = [_PROGRAM, "-c", str(file)]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.resume()
        await self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.returncode is None, "mosquitto does not start"
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    async def stop(self) -> None:
        """End it in good order."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it at once: what only it knew is gone."""
        await self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._send(number)
            await self._process.wait()
            self._process = None

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
