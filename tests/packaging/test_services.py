"""The s6 service tree: every file that s6-rc needs, of the right kind, and scripts that run."""

import os
import re
from pathlib import Path

import pytest

from tests.packaging.files import ROOT, SERVICES

NAMES = sorted(path.name for path in SERVICES.iterdir() if path.name != "user")
SCRIPTS = [path for name in ("run", "finish") for path in SERVICES.rglob(name)]
# What s6-overlay brings along.
BUILT_IN = {"base"}


def test_every_service_is_started() -> None:
    started = {path.name for path in (SERVICES / "user/contents.d").iterdir()}
    assert NAMES
    assert started == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_what_s6_needs(name: str) -> None:
    service = SERVICES / name
    assert (service / "type").read_text("ascii") == "longrun\n"
    assert {"run", "finish"} <= {path.name for path in service.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_a_service_depends_on_what_exists(name: str) -> None:
    depends = {path.name for path in (SERVICES / name / "dependencies.d").iterdir()}
    assert depends, "without a dependency it would start before s6-overlay is ready"
    assert depends <= BUILT_IN | set(NAMES)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_executed_and_see_the_environment(script: Path) -> None:
    assert os.access(script, os.X_OK)
    shebang = script.read_text("utf-8").splitlines()[0]
    # Without with-contenv a script sees neither the token nor the time zone.
    assert shebang in ("#!/command/with-contenv sh", "#!/command/with-contenv bashio")


def test_the_gateway_replaces_the_script() -> None:
    """Else SIGTERM would reach a shell."""
    last = (SERVICES / "ocpp-gateway/run").read_text("utf-8").splitlines()[-1]
    assert re.fullmatch(r"exec python3 -m ocpp_addon run .*", last)


def test_files_are_plain() -> None:
    for path in (ROOT / "rootfs").rglob("*"):
        assert not path.is_symlink(), path
        if path.is_file():
            content = path.read_bytes()
            assert b"\r" not in content, path
            assert content == b"" or content.endswith(b"\n"), path
            if path.parent.name in ("contents.d", "dependencies.d"):
                assert content == b"", path
