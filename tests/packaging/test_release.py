"""One version in one place, and the script that releases the next one."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocpp_addon import __version__
from tests.packaging.files import CONFIG, ROOT

NEWS = "# Changelog\n\n## Unreleased\n\n- Something new.\n\n## 0.1.0\n\n- The first.\n"


class Repository:
    """A small repository with what a release touches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "script").mkdir()
        shutil.copy(ROOT / "script/release", folder / "script/release")
        (folder / "ocpp_addon").mkdir()
        self.write("ocpp_addon/__init__.py", '"""About."""\n\n__version__ = "0.1.0"\n')
        self.write("config.yaml", '---\nname: X\nversion: "0.1.0"\nhomeassistant: "2024.11.0"\n')
        self.write("CHANGELOG.md", NEWS)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "A Maintainer")
        self.git("config", "user.email", "maintainer@example.com")
        self.commit()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "Change something")

    def release(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, self.folder / "script/release", *words],
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_package_the_app_and_the_changelog_agree() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "script/release", "--check"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == __version__ == CONFIG["version"]


def test_changelog_reads_as_the_supervisor_shows_it() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()
    assert lines[0] == "# Changelog"
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    versions = [heading for heading in headings if heading != "Unreleased"]
    assert headings in (versions, ["Unreleased", *versions])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    assert numbers == sorted(numbers, reverse=True)
    assert all(line.startswith(("- ", "  ", "## ")) for line in lines[1:] if line)


def test_releases_what_is_unreleased(repository: Repository) -> None:
    done = repository.release("0.2.0")
    assert done.returncode == 0, done.stderr
    assert '__version__ = "0.2.0"' in repository.read("ocpp_addon/__init__.py")
    assert repository.read("config.yaml").splitlines()[2] == 'version: "0.2.0"'
    assert 'homeassistant: "2024.11.0"' in repository.read("config.yaml")
    assert repository.read("CHANGELOG.md") == NEWS.replace("Unreleased", "0.2.0")
    assert repository.git("describe", "--exact-match") == "0.2.0"
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("log", "-1", "--format=%s") == "Release 0.2.0"
    assert repository.release("--check").stdout == "0.2.0\n"


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("0.1.0", "0.1.0 does not come after 0.1.0."),
        ("0.0.9", "0.0.9 does not come after 0.1.0."),
        ("1.0", "1.0 is no version such as 0.1.0."),
        ("v0.2.0", "v0.2.0 is no version such as 0.1.0."),
        ("0.02.0", "0.02.0 is no version such as 0.1.0."),
    ],
)
def test_refuses_a_wrong_version(repository: Repository, version: str, sentence: str) -> None:
    assert_refuses(repository, version, sentence)


def test_refuses_to_release_nothing(repository: Repository) -> None:
    repository.write("CHANGELOG.md", NEWS.replace("- Something new.\n\n", ""))
    repository.commit()
    assert_refuses(repository, "0.2.0", 'CHANGELOG.md has no list under "## Unreleased".')


def test_refuses_what_is_not_committed(repository: Repository) -> None:
    repository.write("config.yaml", repository.read("config.yaml") + "init: false\n")
    assert_refuses(repository, "0.2.0", "There are changes that are not committed.")


def test_refuses_where_the_places_differ(repository: Repository) -> None:
    repository.write("config.yaml", '---\nversion: "0.1.1"\n')
    repository.commit()
    assert_refuses(
        repository,
        "0.2.0",
        "The versions differ: ocpp_addon/__init__.py 0.1.0, config.yaml 0.1.1, CHANGELOG.md 0.1.0.",
    )


def test_refuses_a_version_that_has_a_tag(repository: Repository) -> None:
    repository.git("tag", "0.2.0")
    assert_refuses(repository, "0.2.0", "There is a tag 0.2.0 already.")


def test_explains_itself(repository: Repository) -> None:
    done = repository.release()
    assert done.returncode == 2
    assert "script/release --check" in done.stderr


def assert_refuses(repository: Repository, version: str, sentence: str) -> None:
    """Check that nothing is released, and why."""
    before = repository.git("rev-parse", "HEAD"), repository.git("tag")
    done = repository.release(version)
    assert (done.returncode, done.stderr.strip()) == (1, sentence)
    assert (repository.git("rev-parse", "HEAD"), repository.git("tag")) == before
