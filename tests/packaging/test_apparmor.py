"""apparmor.txt: one profile that the Supervisor can rename, with what the app needs and no more."""

import re

import pytest

from tests.packaging.files import CONFIG, ROOT

TEXT = (ROOT / "apparmor.txt").read_text("utf-8")


def profile(name: str) -> list[str]:
    """Return the rules of one profile, without those of the profiles in it."""
    indent = re.search(rf"(?m)^( *)profile {name} ", TEXT)
    assert indent is not None
    block = TEXT[indent.start() :].partition(f"\n{indent[1]}}}\n")[0]
    inner = "  " + indent[1]
    return [
        line.strip()
        for line in block.splitlines()[1:]
        if re.match(rf"{inner}[^ #}}]", line) and not line.startswith(f"{inner}profile ")
    ]


def test_the_supervisor_finds_one_profile() -> None:
    found = [line for line in TEXT.splitlines() if line.startswith("profile ")]
    assert len(found) == 1
    assert found[0].split()[1] == CONFIG["slug"]


def test_includes_only_what_every_host_has() -> None:
    assert set(re.findall(r"#include <(.*)>", TEXT)) == {"tunables/global", "abstractions/base"}


@pytest.mark.parametrize("name", [CONFIG["slug"], "gateway", "health"])
def test_grants_nothing_wholesale(name: str) -> None:
    rules = profile(name)
    assert rules
    for rule in rules:
        assert rule not in ("file,", "network,", "capability,", "mount,", "ptrace,"), rule
        assert not re.match(r"/(\*\*|\{,\*\*\}) ", rule), rule
        assert not rule.startswith(("capability ", "mount ", "ptrace ", "deny ")), rule


def test_the_gateway_has_what_it_needs() -> None:
    rules = profile("gateway")
    for family in ("inet", "inet6"):
        for kind in ("stream", "dgram"):
            assert f"network {family} {kind}," in rules
    assert "signal (receive)," in rules
    assert "/data/{,**} rwk," in rules
    assert "/ssl/{,**} r," in rules


def test_the_gateway_writes_only_its_data_and_starts_no_program() -> None:
    for rule in profile("gateway"):
        path, _, permissions = rule.removesuffix(",").rpartition(" ")
        if not path.startswith(("/", "@")):
            continue
        assert "x" not in permissions, rule
        if "w" in permissions:
            assert path.startswith(("/data/", "/{,var/}tmp/", "/dev/{console,tty,")), rule


def test_only_the_gateway_and_the_health_check_reach_the_network() -> None:
    assert not [rule for rule in profile(CONFIG["slug"]) if rule.startswith("network inet")]
    outer = profile(CONFIG["slug"])
    assert "/usr/local/bin/python3* cx -> gateway," in outer
    assert "/usr/bin/curl cx -> health," in outer
