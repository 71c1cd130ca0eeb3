"""The image: Dockerfile, build.yaml and build context, and the pictures of the store."""

import re
import struct
from pathlib import Path

import pytest
import voluptuous as vol

from tests.packaging.container import IMAGE
from tests.packaging.files import CONFIG, ROOT, read_yaml

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def instructions(name: str) -> list[str]:
    """Return the arguments of all instructions of that name, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    return re.findall(rf"(?m)^{name} (.*)$", joined)


def default_base() -> str:
    (base,) = (
        argument.partition("=")[2]
        for argument in instructions("ARG")
        if argument.startswith("BUILD_FROM=")
    )
    return base


def test_build_yaml_names_the_base_of_the_dockerfile() -> None:
    """Supervisors before 2026.04 pass a base without Python where build.yaml names none."""
    build = read_yaml("build.yaml")
    vol.Schema({vol.Required("build_from"): {vol.Required(arch): str for arch in CONFIG["arch"]}})(
        build
    )
    assert set(build["build_from"].values()) == {default_base()}


def test_base_is_pinned_and_can_be_replaced() -> None:
    assert instructions("FROM") == ["${BUILD_FROM}"]
    assert re.search(r":3\.\d+-alpine\d\.\d+$", default_base())
    assert not re.search(r"\b(apk|apt-get)\b", " ".join(instructions("RUN")))


def test_installs_only_known_wheels() -> None:
    (install,) = (run for run in instructions("RUN") if "pip install" in run)
    assert "--require-hashes -r requirements.lock" in install
    assert "--only-binary :all:" in install
    locked = (ROOT / "requirements.lock").read_text("utf-8")
    packages = re.findall(r"(?m)^[\w.-]+==\S+ \\$", locked)
    assert packages
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", locked)) >= len(packages)


def test_has_a_health_check_without_a_shell() -> None:
    (check,) = instructions("HEALTHCHECK")
    assert re.search(r'CMD \["curl", .*"http://127\.0\.0\.1:8099/health"\]$', check)


def test_says_what_it_is() -> None:
    (labels,) = instructions("LABEL")
    for name in ("title", "description", "source", "licenses"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert 'io.hass.type="app"' in labels
    assert 'io.hass.version="${BUILD_VERSION}"' in labels
    assert 'io.hass.arch="${BUILD_ARCH}"' in labels


def test_context_holds_what_is_copied_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sources = {copy.split()[0] for copy in instructions("COPY")}
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == sources
    for source in sources:
        assert (ROOT / source).exists()


@pytest.mark.skipif(IMAGE is None, reason="needs an image, see script/try-image")
def test_starts_from_byte_code() -> None:
    image = Path(str(IMAGE), "rootfs")
    modules = list((image / "usr/src/app/ocpp_addon").rglob("*.py"))
    modules += (image / "usr/local/lib").rglob("aiohttp/*.py")
    assert len(modules) > 60
    for module in modules:
        (compiled,) = (module.parent / "__pycache__").glob(f"{module.stem}.cpython-*.pyc")
        flags = compiled.read_bytes()[4:8]
        assert flags == b"\1\0\0\0", f"{module} would be compared with its byte code (PEP 552)"


@pytest.mark.parametrize(("name", "size"), [("icon.png", (128, 128)), ("logo.png", (250, 100))])
def test_pictures(name: str, size: tuple[int, int]) -> None:
    content = (ROOT / name).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == size
