"""The app in a container of Linux namespaces: the run and finish scripts of the image under s6.

It stands in for what s6-overlay adds to s6: with-contenv, the halt command and the exit code. The
image is this machine with the package, or the folder $APP_IMAGE that script/try-image has built.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from tests.packaging.files import ROOT, SERVICES
from tests.support.patience import PATIENCE, until

WITH_CONTENV = """#!/bin/sh
exec s6-envdir -Lfn -- /run/s6/container_environment "$@"
"""
HALT = """#!/bin/sh
exec s6-svscanctl -t /run/service
"""
NAME = "ocpp-gateway"
IMAGE = os.environ.get("APP_IMAGE")  # with the file system in rootfs and what ENV sets in env
RESULT = "s6-linux-init-container-results/exitcode"


class Container:
    """One container, which can be started again and keeps its /data and /ssl."""

    def __init__(self, folder: Path, hosts: dict[str, str]) -> None:
        self.root = folder / "root"
        self._run = self.root / "run"
        self._hosts = "".join(f"{address}\t{name}\n" for name, address in hosts.items())
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.log: list[str] = []
        self.trace: Path | None = None  # a folder for what strace sees
        for name in ("command", "data", "ssl"):
            (self.root / name).mkdir(parents=True)
        _write_script(self.root / "command/with-contenv", WITH_CONTENV)

    async def start(self, environment: dict[str, str]) -> None:
        """Start it; nothing of an earlier run is left but /data and /ssl."""
        self._lay_out(environment)
        self.log.clear()
        # With a filter in the kernel only what is traced is slow.
        what = ("strace", "-ff", "--seccomp-bpf", "--quiet=all", "-e", "trace=%file,%network", "-o")
        self._process = await asyncio.create_subprocess_exec(
            *((*what, self.trace / "t") if self.trace else ()),
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", ROOT / "tests/packaging/container.sh", self.root),
            *((f"{IMAGE}/rootfs",) if IMAGE else ("/", ROOT / "ocpp_addon")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read(self._process), name="log of the app")

    async def stop(self) -> int:
        """Stop it as Docker does and return its exit code."""
        await self._s6("s6-svscanctl", "-t", self._run / "service")
        return await self.ended()

    async def crash(self) -> int:
        """Let the gateway die and return the container's exit code."""
        await self._s6("s6-svc", "-k", self._run / "service" / NAME)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended, and return its exit code."""
        assert self._process is not None
        assert self._reader is not None
        await asyncio.wait_for(self._process.wait(), PATIENCE)
        await self._reader
        return int((self._run / RESULT).read_text())

    async def remove(self) -> None:
        """End it at once, if it still runs, with everything in it."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # The whole group: what strace ran would outlive it.
                os.killpg(self._process.pid, signal.SIGKILL)
            await self.ended()

    async def says(self, words: str) -> None:
        """Wait until the log has a line with `words`."""
        process = self._process
        assert process is not None
        await until(lambda: self._has_said(words) or process.returncode is not None)
        assert self._has_said(words), self.log

    def _has_said(self, words: str) -> bool:
        return any(words in line for line in self.log)

    def _lay_out(self, environment: dict[str, str]) -> None:
        """Make /run as s6-overlay leaves it when services start."""
        shutil.rmtree(self._run, ignore_errors=True)
        (self._run / "service").mkdir(parents=True)
        services = (
            Path(IMAGE, "rootfs", SERVICES.relative_to(ROOT / "rootfs")) if IMAGE else SERVICES
        )
        shutil.copytree(services / NAME, self._run / "service" / NAME)
        shutil.rmtree(self._run / "service" / NAME / "dependencies.d")
        (self._run / RESULT).parent.mkdir()
        (self._run / RESULT).write_text("0\n")
        (self._run / "s6/basedir/bin").mkdir(parents=True)
        _write_script(self._run / "s6/basedir/bin/halt", HALT)
        (self._run / "hosts").write_text(self._hosts)
        variables = {**_image_environment(), **environment}
        (self._run / "s6/container_environment").mkdir()
        for name, value in variables.items():
            (self._run / "s6/container_environment" / name).write_text(value)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.log.append(line.decode(errors="replace").rstrip("\n"))

    async def _s6(self, *command: str | Path) -> None:
        process = await asyncio.create_subprocess_exec(*command)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0, command


def _image_environment() -> dict[str, str]:
    """Return the variables that the image sets for every process."""
    if IMAGE:
        lines = Path(IMAGE, "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    (variables,) = re.findall(r"(?m)^ENV (.*)$", dockerfile)
    return {"PATH": path, **dict(item.split("=", 1) for item in variables.split())}


def _write_script(path: Path, text: str) -> None:
    path.write_text(text)
    os.chmod(path, 0o755)
