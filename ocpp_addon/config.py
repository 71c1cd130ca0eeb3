"""Options as people write them, checked and turned into frozen settings with every default.

It knows no room: whether topic templates overlap, say, is decided where topics are known.
"""

import ipaddress
import json
import os
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import voluptuous as vol

from ocpp_addon import checks
from ocpp_addon.checks import Check, Network
from ocpp_addon.errors import OptionsError
from ocpp_addon.text import printable

# Home Assistant maps its certificates here; elsewhere file names are relative to where we run.
SSL_FOLDER = Path("/ssl")


@dataclass(frozen=True)
class MqttSettings:
    """Where the broker is; without `host` the Supervisor knows, elsewhere it is 127.0.0.1."""

    host: str | None = None
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: Path | None = None
    client_id: str | None = None


@dataclass(frozen=True)
class TopicSettings:
    """The topic templates, as written in the options."""

    upstream: str = "ocpp/cp/${cid}/${action}"
    upstream_overrides: dict[str, str] = field(default_factory=dict)
    reply: str = "ocpp/cp/Reply/${cid}"
    error: str = "ocpp/cp/Error/${cid}"
    answer: str = "ocpp/cp/Answer/${cid}"
    replay: str | None = None
    downstream: tuple[str, ...] = ("ocpp/${cid}/+/+", "ocpp/cp/${cid}/Reply/+")
    presence: str = "ocpp/presence/${cid}"
    gateway: str = "ocpp/gateway/${gateway}"


@dataclass(frozen=True)
class ChargerOption:
    """A charger to make known at start; without a password anyone may use its id."""

    id: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """Everything the options decide; intervals and timeouts in seconds."""

    mqtt: MqttSettings = field(default_factory=MqttSettings)
    chargers: tuple[ChargerOption, ...] = ()
    unknown_chargers: Literal["ask", "accept", "refuse"] = "ask"
    central_system: Literal["home", "external"] = "home"
    answer_timeout: float = 10
    tag_policy: Literal["accept", "list"] = "accept"
    validation: Literal["warn", "strict", "off"] = "warn"
    heartbeat_interval: int = 300
    ping_interval: float = 30
    call_timeout: float = 30
    queue_limit: int = 32
    outbox_limit: int = 100_000
    discovery: bool = True
    discovery_prefix: str = "homeassistant"
    topics: TopicSettings = field(default_factory=TopicSettings)
    ssl: bool = False
    certfile: Path = field(default_factory=lambda: _certificate_path("fullchain.pem"))
    keyfile: Path = field(default_factory=lambda: _certificate_path("privkey.pem"))
    client_ca: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    name: str = "main"
    port: int = 33033
    tls_port: int = 33034
    web_port: int = 8099
    web_host: str = "127.0.0.1"
    web_token: str | None = field(default=None, repr=False)
    host: str | None = None


def read(path: Path) -> Settings:
    """Return the settings that the JSON file at `path` asks for; OptionsError names what is bad."""
    try:
        options = json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise OptionsError(f"The options file {path} does not exist.") from None
    except OSError as error:
        raise OptionsError(f"The options file {path} cannot be read: {error.strerror}.") from None
    except json.JSONDecodeError as error:
        raise OptionsError(
            f"The options file {path} is not JSON: {error.msg} at line {error.lineno},"
            f" column {error.colno}."
        ) from None
    except (ValueError, RecursionError):
        raise OptionsError(f"The options file {path} is not JSON.") from None
    if not isinstance(options, dict):
        raise OptionsError(f"The options file {path} holds no JSON object.")
    return load(options)


def load(options: Mapping[str, object]) -> Settings:
    """Return the settings for `options`; OptionsError is one sentence that names the key."""
    try:
        settings: Settings = vol.Schema(_SETTINGS)(options)
        _check_together(settings)
    except vol.Invalid as invalid:
        raise OptionsError(f"{_dotted(invalid.path)}: {invalid.error_message}.") from None
    return settings


def _dotted(path: Iterable[object]) -> str:
    """Return the place of a bad option as `topics.upstream_overrides[0].action`."""
    dotted = ""
    for step in path:
        dotted += f"[{step}]" if isinstance(step, int) else f".{printable(step)}"
    return dotted.removeprefix(".") or "options"


def _certificate_path(name: str) -> Path:
    return SSL_FOLDER / name if SSL_FOLDER.is_dir() else Path(name)


def _file(value: object) -> Path:
    return _certificate_path(checks.text()(value))


def _prefix(value: object) -> str:
    prefix: str = checks.template(())(value)
    if prefix.strip("/") != prefix:
        raise vol.Invalid("a topic without / at its ends is expected")
    return prefix


_EVERYWHERE = ("cid", "clientid", "gateway")
_OF_A_MESSAGE = (*_EVERYWHERE, "action", "id", "type")


def _per_charger(*, wildcards: bool = False) -> Check:
    """Check a template that must differ from charger to charger."""
    template = checks.template(_EVERYWHERE, wildcards=wildcards)

    def check(value: object) -> str:
        topic: str = template(value)
        if "${cid}" not in topic and "${clientid}" not in topic:
            raise vol.Invalid("${cid} is expected in it, one topic cannot serve all chargers")
        return topic

    return check


def _mqtt(**given: Any) -> MqttSettings:
    if given.get("tls"):
        given.setdefault("port", 8883)
    return MqttSettings(**given)


def _topics(**given: Any) -> TopicSettings:
    overrides = given.pop("upstream_overrides", ())
    for index, (action, _) in enumerate(overrides):
        if action in [earlier for earlier, _ in overrides[:index]]:
            raise vol.Invalid("this action stands there twice", ["upstream_overrides", index])
    return TopicSettings(upstream_overrides=dict(overrides), **given)


def _check_together(settings: Settings) -> None:
    """Raise vol.Invalid where options that are fine alone do not fit together."""
    seen: set[str] = set()
    for index, charger in enumerate(settings.chargers):
        if charger.id in seen:
            raise vol.Invalid("this charger stands there twice", ["chargers", index, "id"])
        seen.add(charger.id)
    if not settings.web_token and not _is_loopback(settings.web_host):
        raise vol.Invalid("it is needed when web_host is not this machine alone", ["web_token"])
    ports = {"port": settings.port, "web_port": settings.web_port}
    if settings.ssl:
        ports["tls_port"] = settings.tls_port
    for name, port in ports.items():
        if port and list(ports.values()).count(port) > 1:
            raise vol.Invalid(f"port {port} stands there for two uses", [name])
    if settings.ssl:
        _check_readable(settings.certfile, ["certfile"])
        _check_readable(settings.keyfile, ["keyfile"])
        if settings.client_ca:
            _check_readable(settings.client_ca, ["client_ca"])
    if settings.mqtt.tls and settings.mqtt.ca:
        _check_readable(settings.mqtt.ca, ["mqtt", "ca"])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_readable(path: Path, key: list[Hashable]) -> None:
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise vol.Invalid(f"there is no readable file {path}", key)


_PORT_OR_FREE = checks.number(0, 65535)  # 0: any free port

_SETTINGS = checks.group(
    Settings,
    {
        "mqtt": checks.group(
            _mqtt,
            {
                "host": checks.host,
                "port": checks.number(1, 65535),
                "username": checks.text(),
                "password": checks.secret,
                "tls": checks.switch,
                "ca": _file,
                "client_id": checks.level,
            },
        ),
        "chargers": checks.items(
            checks.group(
                ChargerOption, {"id": checks.text(64), "password": checks.secret}, required="id"
            )
        ),
        "unknown_chargers": checks.choice("ask", "accept", "refuse"),
        "central_system": checks.choice("home", "external"),
        "answer_timeout": checks.number(0, 3600, whole=False),
        "tag_policy": checks.choice("accept", "list"),
        "validation": checks.choice("warn", "strict", "off"),
        "heartbeat_interval": checks.number(1, 86400),
        "ping_interval": checks.number(0, 3600, whole=False),
        "call_timeout": checks.number(0.1, 3600, whole=False),
        "queue_limit": checks.number(1, 10_000),
        "outbox_limit": checks.number(1, 10_000_000),
        "discovery": checks.switch,
        "discovery_prefix": _prefix,
        "topics": checks.group(
            _topics,
            {
                **dict.fromkeys(
                    ("upstream", "reply", "error", "answer", "replay"),
                    checks.template(_OF_A_MESSAGE),
                ),
                "upstream_overrides": checks.items(
                    checks.group(
                        lambda action, topic: (action, topic),
                        {"action": checks.text(64), "topic": checks.template(_OF_A_MESSAGE)},
                        required="action topic",
                    )
                ),
                "downstream": checks.items(_per_charger(wildcards=True)),
                "presence": _per_charger(),
                "gateway": checks.template(("gateway",)),
            },
        ),
        "ssl": checks.switch,
        "certfile": _file,
        "keyfile": _file,
        "client_ca": _file,
        "trusted_proxies": checks.items(checks.network),
        "log_level": checks.choice("debug", "info", "warning", "error"),
        "name": checks.level,
        "port": _PORT_OR_FREE,
        "tls_port": _PORT_OR_FREE,
        "web_port": _PORT_OR_FREE,
        "web_host": checks.host,
        "web_token": checks.token,
        "host": checks.host,
    },
)
