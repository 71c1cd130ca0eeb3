"""config.yaml and repository.yaml against what the Supervisor and the usual linter accept."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import voluptuous as vol

from ocpp_addon import config
from ocpp_addon.config import Settings
from ocpp_addon.errors import OptionsError
from tests.packaging.app_options import accepted, bounds, merged, parse
from tests.packaging.files import CONFIG, ROOT, read_yaml

# Keys that the gateway may want, each refused when it only restates its default.
SCHEMA = vol.Schema(
    {
        vol.Required("name"): str,
        vol.Required("version"): vol.Match(r"^\d+\.\d+\.\d+$"),
        vol.Required("slug"): vol.Match(r"^[-_.A-Za-z0-9]+$"),
        vol.Required("description"): str,
        vol.Required("arch"): vol.All([vol.In(["aarch64", "amd64"])], vol.Length(min=1)),
        vol.Required("url"): vol.Url(),
        # s6-overlay 3 is its own init.
        vol.Required("init"): vol.In([False]),
        "homeassistant": vol.Match(r"^\d{4}\.\d+\.\d+$"),
        "startup": vol.In(["initialize", "system", "services", "once"]),
        "boot": vol.In(["manual", "manual_only"]),
        "stage": vol.In(["experimental", "deprecated"]),
        "timeout": vol.All(int, vol.Range(min=11, max=300)),
        "ingress": vol.In([True]),
        "panel_icon": vol.Match(r"^mdi:[a-z0-9-]+$"),
        "panel_title": str,
        "services": [vol.Match(r"^(mqtt|mysql):(provide|want|need)$")],
        "map": [
            {
                vol.Required("type"): vol.In(["data", "ssl", "share", "media", "backup"]),
                "read_only": vol.In([False]),
                "path": str,
            }
        ],
        "ports": {vol.Match(r"^\d+/(tcp|udp)$"): vol.Any(None, vol.Range(min=1, max=65535))},
        "backup": vol.In(["cold"]),
        "backup_exclude": [str],
        "breaking_versions": [str],
        "image": vol.Match(r"^[a-z0-9./-]+$"),
        vol.Required("options"): vol.All(dict, vol.Length(min=1)),
        vol.Required("schema"): vol.All(dict, vol.Length(min=1)),
    }
)

OUTSIDE_ONLY = {"port", "tls_port", "web_port", "web_host", "web_token", "host"}


def leaves(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every declared type with its path; a list counts as what it holds."""
    if isinstance(schema, list):
        assert len(schema) == 1, "the Supervisor looks at the first item alone"
        schema = schema[0]
    if isinstance(schema, str):
        yield path, schema
        return
    for key, declared in schema.items():
        yield from leaves(declared, (*path, key))


LEAVES = list(leaves(CONFIG["schema"]))


def test_holds_what_the_supervisor_and_the_linter_accept() -> None:
    SCHEMA(CONFIG)


def rating(config: dict[str, Any], *, own_profile: bool) -> int:
    """Return the security rating that the Supervisor shows, from 1 to 8."""
    if config.get("docker_api") or config.get("full_access"):
        return 1
    total = 5
    total += {True: 1 if own_profile else 0, False: -1}[config.get("apparmor", True)]
    if config.get("ingress"):
        total += 2
    elif config.get("auth_api"):
        total += 1
    if config.get("privileged") or config.get("kernel_modules"):
        total -= 1
    total -= {"manager": 1, "admin": 2}.get(config.get("hassio_role", "default"), 0)
    total -= 1 if config.get("host_network") else 0
    total -= 2 if config.get("host_pid") else 0
    if config.get("host_uts") and "SYS_ADMIN" in config.get("privileged", []):
        total -= 1
    return min(max(total, 1), 8)


def test_the_rating_is_the_best_there_is() -> None:
    assert rating(CONFIG, own_profile=(ROOT / "apparmor.txt").is_file()) == 8


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"apparmor": False}, 6),
        ({"ingress": False}, 6),
        ({"ingress": False, "auth_api": True}, 7),
        ({"privileged": ["NET_ADMIN"]}, 7),
        ({"privileged": ["SYS_ADMIN"], "host_uts": True}, 6),
        ({"hassio_role": "manager"}, 7),
        ({"hassio_role": "admin", "host_network": True, "host_pid": True}, 3),
        ({"full_access": True}, 1),
        ({"docker_api": True}, 1),
    ],
)
def test_what_would_lower_the_rating(change: dict[str, Any], expected: int) -> None:
    assert rating({**CONFIG, **change}, own_profile=True) == expected


def test_asks_for_no_permission_that_it_does_not_use() -> None:
    """What it asks the Supervisor needs none of these (see test_app.py)."""
    assert not CONFIG.keys() & {"hassio_api", "homeassistant_api", "auth_api", "hassio_role"}
    assert CONFIG["services"] == ["mqtt:want"]
    assert CONFIG["map"] == [{"type": "ssl"}], "certificates, and only to read them"


def test_lists_of_groups_are_flat() -> None:
    """A list inside such a group would be required in every entry."""
    for path, declared in groups(CONFIG["schema"]):
        if isinstance(declared, list) and isinstance(declared[0], dict):
            assert all(isinstance(member, str) for member in declared[0].values()), path


def groups(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every group and list with its dotted path."""
    for key, declared in schema.items():
        if not isinstance(declared, str):
            yield path + key, declared
        if isinstance(declared, dict):
            yield from groups(declared, f"{path}{key}.")


def test_default_options_satisfy_the_schema() -> None:
    assert accepted(CONFIG["schema"], CONFIG["options"]) == CONFIG["options"]


def test_names_the_options_of_the_gateway() -> None:
    ours = {field for field in Settings.__dataclass_fields__ if field not in OUTSIDE_ONLY}
    assert CONFIG["schema"].keys() == ours
    for group, settings in (("mqtt", config.MqttSettings), ("topics", config.TopicSettings)):
        assert CONFIG["schema"][group].keys() == settings.__dataclass_fields__.keys()
    charger = CONFIG["schema"]["chargers"][0].keys()
    assert charger == config.ChargerOption.__dataclass_fields__.keys()


def test_defaults_are_those_of_the_gateway() -> None:
    assert config.load(CONFIG["options"]) == Settings()


@pytest.mark.parametrize(("path", "declared"), LEAVES, ids=str)
def test_declares_types_that_work_in_every_supervisor(path: tuple[str, ...], declared: str) -> None:
    parse(declared)


@pytest.mark.parametrize(
    ("path", "declared"),
    [leaf for leaf in LEAVES if parse(leaf[1])[0] in ("int", "float", "list")],
    ids=str,
)
def test_the_form_and_the_gateway_agree_on_what_is_right(
    path: tuple[str, ...], declared: str
) -> None:
    name, detail, _ = parse(declared)
    assert detail is not None
    (key,) = path
    if name == "list":
        for choice in detail.split("|"):
            config.load({key: choice})
        return
    low, high = bounds(detail)
    assert low is not None
    assert high is not None
    step = 1 if name == "int" else 0.01
    for value in (low, high):
        config.load({key: int(value) if value.is_integer() else value})
    for value in (low - step, high + step):
        with pytest.raises(OptionsError):
            config.load({key: int(value) if name == "int" else value})


def test_a_form_that_was_filled_in_reaches_the_gateway() -> None:
    chosen = {
        "chargers": [{"id": "CP1", "password": "secret"}, {"id": "CP2"}],
        "mqtt": {"host": "broker", "port": 8883, "username": "u", "password": "p", "tls": True},
        "topics": {
            "upstream_overrides": [{"action": "BootNotification", "topic": "b/${cid}"}],
            "downstream": ["cmd/${cid}/#"],
        },
        "trusted_proxies": ["192.168.1.0/24"],
        "answer_timeout": 0,
        "log_level": "debug",
    }
    stored = accepted(CONFIG["schema"], merged(CONFIG["options"], chosen))
    settings = config.load(stored)
    assert [charger.id for charger in settings.chargers] == ["CP1", "CP2"]
    assert settings.mqtt.port == 8883
    assert settings.topics.upstream_overrides == {"BootNotification": "b/${cid}"}
    assert settings.answer_timeout == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"chargers": [{"password": "x"}]}, "missing option"),
        ({"unknown_chargers": "perhaps"}, "value must be one of"),
        ({"heartbeat_interval": 0}, "value must be at least 1"),
        ({"mqtt": {"port": 0}}, "value must be at least 1"),
        ({"topics": {"upstream_overrides": [{"action": "A"}]}}, "missing option"),
    ],
)
def test_the_form_refuses_nonsense(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(vol.Invalid, match=sentence):
        accepted(CONFIG["schema"], merged(CONFIG["options"], options))


def test_groups_have_defaults() -> None:
    """Without one, a group is required, even if all its members are optional."""
    for key, declared in CONFIG["schema"].items():
        if isinstance(declared, dict) or (
            isinstance(declared, list) and not isinstance(declared[0], str)
        ):
            assert key in CONFIG["options"], key


def test_a_switch_without_default_is_off() -> None:
    """The form shows an optional switch as off, so it must be."""
    for path, declared in LEAVES:
        if parse(declared)[0] == "bool" and path[0] not in CONFIG["options"]:
            assert getattr(Settings(), path[0]) is False, path


def test_chargers_find_the_ports_of_the_gateway() -> None:
    assert CONFIG["ports"] == {"33033/tcp": 33033, "33034/tcp": None}
    assert (Settings().port, Settings().tls_port) == (33033, 33034)
    assert Settings().web_port == 8099, "the port that ingress asks"


def test_no_other_file_looks_like_an_app() -> None:
    """The store takes every file of these names for an app, at any depth."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    names = {f"config.{end}" for end in ("yaml", "yml", "json")}
    assert [path for path in listed if Path(path).name in names] == ["config.yaml"]


def test_repository() -> None:
    repository = read_yaml("repository.yaml")
    vol.Schema({vol.Required("name"): str, "url": vol.Url(), "maintainer": str})(repository)
    assert repository["url"] == CONFIG["url"]


@pytest.mark.parametrize("name", ["Dockerfile"])
def test_every_file_names_the_same_repository(name: str) -> None:
    assert CONFIG["url"] in (ROOT / name).read_text("utf-8")
