"""apparmor.txt: one profile that the Supervisor can rename, with what the app needs and no more."""

import re

import pytest

from tests.packaging.apparmor import TEXT, Profile, rules
from tests.packaging.files import CONFIG


def test_the_supervisor_finds_one_profile() -> None:
    found = [line for line in TEXT.splitlines() if line.startswith("profile ")]
    assert len(found) == 1
    assert found[0].split()[1] == CONFIG["slug"]


def test_includes_only_what_every_host_has() -> None:
    assert set(re.findall(r"#include <(.*)>", TEXT)) == {"tunables/global", "abstractions/base"}


@pytest.mark.parametrize("name", [CONFIG["slug"], "gateway", "health"])
def test_grants_nothing_wholesale(name: str) -> None:
    granted = rules(name)
    assert granted
    for rule in granted:
        assert rule not in ("file,", "network,", "capability,", "mount,", "ptrace,"), rule
        assert not re.match(r"/(\*\*|\{,\*\*\}) ", rule), rule
        assert not rule.startswith(("capability ", "mount ", "ptrace ", "deny ")), rule


def test_the_gateway_has_what_it_needs() -> None:
    granted = rules("gateway")
    for family in ("inet", "inet6"):
        for kind in ("stream", "dgram"):
            assert f"network {family} {kind}," in granted
    assert "signal (receive)," in granted
    assert "/data/{,**} rwk," in granted
    assert "/ssl/{,**} r," in granted


def test_the_gateway_writes_only_its_data_and_starts_no_program() -> None:
    for rule in rules("gateway"):
        path, _, permissions = rule.removesuffix(",").rpartition(" ")
        if not path.startswith(("/", "@")):
            continue
        assert "x" not in permissions, rule
        if "w" in permissions:
            assert path.startswith(("/data/", "/{,var/}tmp/", "/dev/{console,tty,")), rule


def test_only_the_gateway_and_the_health_check_reach_the_network() -> None:
    assert not [rule for rule in rules(CONFIG["slug"]) if rule.startswith("network inet")]
    outer = rules(CONFIG["slug"])
    assert "/usr/local/bin/python3* cx -> gateway," in outer
    assert "/usr/bin/curl cx -> health," in outer


@pytest.mark.parametrize(
    ("path", "permission", "allowed"),
    [
        ("/data/gateway.sqlite3", "w", True),
        ("/data/", "r", True),
        ("/data/a/b", "k", True),
        ("/data/program", "x", False),
        ("/ssl/privkey.pem", "r", True),
        ("/ssl/privkey.pem", "w", False),
        ("/proc/self/stat", "r", True),
        ("/proc/17/fd", "r", True),
        ("/proc/kcore", "r", False),
        ("/etc/hosts", "r", True),
        ("/etc/shadow", "r", False),
        ("/usr/local/lib/python3.13/site-packages/aiohttp/web.py", "r", True),
        ("/config/secrets.yaml", "r", False),
        ("/bin/sh", "x", False),
    ],
)
def test_the_gateway_is_confined(path: str, permission: str, allowed: bool) -> None:
    assert Profile.of(rules("gateway")).allows(path, permission) is allowed
