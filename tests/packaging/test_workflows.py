"""The workflows: nothing in them changes by itself, and they build what config.yaml promises."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.packaging.files import CONFIG, ROOT, read_yaml

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit(path: Any) -> None:
    for line in re.findall(r"uses: (.*)", path.read_text("utf-8")):
        if not line.startswith("./"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v?\d[\d.]*", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_may_only_read_unless_they_say_so(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}


def test_builds_every_architecture() -> None:
    build = read_yaml(".github/workflows/build.yaml")
    assert json.loads(build["env"]["ARCHITECTURES"]) == CONFIG["arch"]


def test_tests_every_python_that_is_promised() -> None:
    tested = read_yaml(".github/workflows/test.yaml")["jobs"]["test"]["strategy"]["matrix"][
        "python"
    ]
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'requires-python = ">={tested[0]}"' in project
    base = re.search(r"base-python:(\d\.\d+)-", (ROOT / "Dockerfile").read_text("utf-8"))
    assert base is not None
    assert base[1] in tested


def test_what_is_pinned_gets_updates() -> None:
    updates = read_yaml(".github/dependabot.yml")["updates"]
    assert [update["package-ecosystem"] for update in updates] == ["github-actions"]
    upgrade = (ROOT / ".github/workflows/update.yaml").read_text("utf-8")
    assert "script/lock --upgrade" in upgrade
