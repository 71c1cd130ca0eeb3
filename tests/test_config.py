"""Options: defaults, blanks, and one sentence naming the key for whatever is wrong."""

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_addon import config
from ocpp_addon.config import ChargerOption, MqttSettings, Settings, TopicSettings, load, read
from ocpp_addon.errors import OptionsError

SECRET = "correct horse battery staple"

# Options, and what their one line must start with.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"mqt": {}}, "mqt: there is no such option, did you mean mqtt."),
    ({"xyzzy": 1}, "xyzzy: there is no such option."),
    ({"line\nbreak": 1}, "line\\nbreak: there is no such option"),
    ({"mqtt": []}, "mqtt: a group of options"),
    ({"mqtt": f"mqtt://user:{SECRET}@host"}, "mqtt: a group of options"),
    ({"mqtt": {"pasword": SECRET}}, "mqtt.pasword: there is no such option, did you mean pass"),
    ({"mqtt": {"password": [SECRET]}}, "mqtt.password: a text"),
    ({"mqtt": {"password": SECRET * 10}}, "mqtt.password: a text of at most 256"),
    ({"mqtt": {"password": SECRET + "\ud800"}}, "mqtt.password: a text"),
    ({"mqtt": {"username": 5}}, "mqtt.username: a text"),
    ({"mqtt": {"username": "a\x00b"}}, "mqtt.username: a text without control characters"),
    ({"mqtt": {"host": 5}}, "mqtt.host: a text"),
    ({"mqtt": {"host": "mqtt://broker"}}, "mqtt.host: a host name or address is expected, wi"),
    ({"mqtt": {"host": "broker:1883"}}, "mqtt.host: a host name or address"),
    ({"mqtt": {"host": f"user:{SECRET}@broker"}}, "mqtt.host: a host name or address"),
    ({"mqtt": {"host": "b" * 257}}, "mqtt.host: at most 256 characters are expected, not 257."),
    ({"mqtt": {"port": 0}}, "mqtt.port: a whole number from 1 to 65535 is expected, not 0."),
    ({"mqtt": {"port": 65536}}, "mqtt.port: a whole number from 1 to 65535 is expected, not 6"),
    ({"mqtt": {"port": "1883"}}, "mqtt.port: a whole number"),
    ({"mqtt": {"port": 1883.0}}, "mqtt.port: a whole number"),
    ({"mqtt": {"port": 10**5000}}, "mqtt.port: a whole number from 1 to 65535 is expected."),
    ({"mqtt": {"tls": "yes"}}, "mqtt.tls: true or false"),
    ({"mqtt": {"tls": True, "ca": "missing.pem"}}, "mqtt.ca: there is no readable file"),
    ({"mqtt": {"client_id": "a/b"}}, "mqtt.client_id: a text without / + # and $"),
    ({"chargers": {}}, "chargers: a list"),
    ({"chargers": ["CP1"]}, "chargers[0]: a group of options"),
    ({"chargers": [{"password": SECRET}]}, "chargers[0].id: it is missing."),
    ({"chargers": [{"id": ""}]}, "chargers[0].id: it is missing."),
    ({"chargers": [{"id": "A"}, {"id": 7}]}, "chargers[1].id: a text"),
    ({"chargers": [{"id": "A" * 65}]}, "chargers[0].id: at most 64"),
    ({"chargers": [{"id": "A"}, {"id": "A"}]}, "chargers[1].id: this charger stands there twice"),
    ({"chargers": [{"id": "A", "password": 12}]}, "chargers[0].password: a text"),
    ({"chargers": [{"id": "A", "pass": SECRET}]}, "chargers[0].pass: there is no such option, d"),
    ({"unknown_chargers": "deny"}, "unknown_chargers: one of ask, accept, refuse"),
    ({"unknown_chargers": ["ask"]}, "unknown_chargers: one of"),
    ({"central_system": "external "}, "central_system: one of home, external"),
    ({"answer_timeout": -1}, "answer_timeout: a number from 0 to 3600 is expected, not -1."),
    ({"answer_timeout": float("nan")}, "answer_timeout: a number"),
    ({"answer_timeout": float("inf")}, "answer_timeout: a number"),
    ({"answer_timeout": True}, "answer_timeout: a number"),
    ({"tag_policy": "none"}, "tag_policy: one of accept, list"),
    ({"validation": True}, "validation: one of warn, strict, off"),
    ({"heartbeat_interval": 0}, "heartbeat_interval: a whole number from 1 to"),
    ({"heartbeat_interval": 1.5}, "heartbeat_interval: a whole number"),
    ({"ping_interval": "30"}, "ping_interval: a number"),
    ({"call_timeout": 0}, "call_timeout: a number from 0.1"),
    ({"queue_limit": 0}, "queue_limit: a whole number"),
    ({"outbox_limit": -5}, "outbox_limit: a whole number"),
    ({"discovery": 1}, "discovery: true or false"),
    ({"discovery_prefix": "home/#"}, "discovery_prefix: a topic without the wildcards"),
    ({"discovery_prefix": "${cid}"}, "discovery_prefix: ${cid} means nothing here (known: none)"),
    ({"discovery_prefix": "homeassistant/"}, "discovery_prefix: a topic without / at its ends"),
    ({"topics": {"upsteam": "a"}}, "topics.upsteam: there is no such option, did you mean upst"),
    ({"topics": {"upstream": "cp/${charger}"}}, "topics.upstream: ${charger} means nothing here"),
    ({"topics": {"upstream": "cp/${cid"}}, "topics.upstream: ${cid means nothing here"),
    ({"topics": {"upstream": "$SYS/cp"}}, "topics.upstream: $ means nothing here"),
    ({"topics": {"reply": "a/+/b"}}, "topics.reply: a topic without the wildcards"),
    ({"topics": {"error": ["a"]}}, "topics.error: a text"),
    ({"topics": {"answer": "a\x00"}}, "topics.answer: a text without control characters"),
    ({"topics": {"replay": "a" * 2000}}, "topics.replay: at most 1024 characters"),
    ({"topics": {"downstream": "ocpp/${cid}/#"}}, "topics.downstream: a list"),
    ({"topics": {"downstream": ["ocpp/all"]}}, "topics.downstream[0]: ${cid} is expected"),
    ({"topics": {"downstream": ["${cid}/a+"]}}, "topics.downstream[0]: + must be a whole level"),
    ({"topics": {"downstream": ["${cid}/#/a"]}}, "topics.downstream[0]: + must be a whole level"),
    ({"topics": {"downstream": ["${cid}/${id}"]}}, "topics.downstream[0]: ${id} means nothing"),
    ({"topics": {"presence": "online"}}, "topics.presence: ${cid} is expected"),
    ({"topics": {"gateway": "gw/${cid}"}}, "topics.gateway: ${cid} means nothing here"),
    ({"topics": {"upstream_overrides": {}}}, "topics.upstream_overrides: a list"),
    (
        {"topics": {"upstream_overrides": [{"action": "Heartbeat"}]}},
        "topics.upstream_overrides[0].topic: it is missing.",
    ),
    (
        {"topics": {"upstream_overrides": [{"action": "A", "topic": "a/#"}]}},
        "topics.upstream_overrides[0].topic: a topic without the wildcards",
    ),
    (
        {"topics": {"upstream_overrides": [{"action": "A", "topic": "a"}] * 2}},
        "topics.upstream_overrides[1]: this action stands there twice",
    ),
    ({"ssl": "true"}, "ssl: true or false"),
    ({"ssl": True}, "certfile: there is no readable file"),
    ({"certfile": 1}, "certfile: a text"),
    ({"client_ca": False}, "client_ca: a text"),
    ({"trusted_proxies": "10.0.0.1"}, "trusted_proxies: a list"),
    ({"trusted_proxies": ["10.0.0.1", "proxy"]}, "trusted_proxies[1]: an address or network"),
    ({"log_level": "verbose"}, "log_level: one of debug, info, warning, error"),
    ({"name": "a/b"}, "name: a text without / + # and $"),
    ({"port": -1}, "port: a whole number from 0 to 65535 is expected, not -1."),
    ({"port": 8099}, "port: port 8099 stands there for two uses."),
    ({"tls_port": 70000}, "tls_port: a whole number"),
    ({"web_port": None, "port": 8099}, "port: port 8099"),
    ({"web_host": "0.0.0.0"}, "web_token: it is needed"),
    ({"web_host": "gateway.lan"}, "web_token: it is needed"),
    ({"web_host": "http://x"}, "web_host: a host name or address"),
    ({"web_token": f"{SECRET}"}, "web_token: 1 to 256 letters, digits and signs without blanks"),
    ({"host": "one two"}, "host: a host name or address"),
]


@pytest.mark.parametrize(("options", "start"), BAD, ids=[start for _, start in BAD])
def test_each_mistake_gives_one_line_that_names_the_key(
    options: dict[str, Any], start: str
) -> None:
    with pytest.raises(OptionsError) as caught:
        load(options)
    sentence = str(caught.value)
    assert sentence.startswith(start)
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert SECRET not in sentence


def test_nothing_given_gives_the_documented_defaults() -> None:
    settings = load({})
    assert settings == Settings()
    assert settings.topics == TopicSettings(
        upstream="ocpp/cp/${cid}/${action}",
        upstream_overrides={},
        reply="ocpp/cp/Reply/${cid}",
        error="ocpp/cp/Error/${cid}",
        answer="ocpp/cp/Answer/${cid}",
        replay=None,
        downstream=("ocpp/${cid}/+/+", "ocpp/cp/${cid}/Reply/+"),
        presence="ocpp/presence/${cid}",
        gateway="ocpp/gateway/${gateway}",
    )
    assert (settings.port, settings.tls_port, settings.web_port) == (33033, 33034, 8099)
    assert (settings.web_host, settings.host) == ("127.0.0.1", None)
    assert (settings.mqtt.host, settings.mqtt.port) == (None, 1883)


def test_everything_given_arrives(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem", "ca.pem"):
        (tmp_path / name).touch()
    options: dict[str, Any] = {
        "mqtt": {
            "host": "core-mosquitto",
            "port": 8884,
            "username": "u",
            "password": SECRET,
            "tls": True,
            "ca": str(tmp_path / "ca.pem"),
            "client_id": "gateway",
        },
        "chargers": [{"id": "RDAM 123", "password": SECRET}, {"id": "充电桩", "password": None}],
        "unknown_chargers": "refuse",
        "central_system": "external",
        "answer_timeout": 0,
        "tag_policy": "list",
        "validation": "strict",
        "heartbeat_interval": 60,
        "ping_interval": 0.5,
        "call_timeout": 5,
        "queue_limit": 4,
        "outbox_limit": 50,
        "discovery": False,
        "discovery_prefix": "ha/prefix",
        "topics": {
            "upstream": "up/${clientid}/${type}/${id}",
            "upstream_overrides": [{"action": "BootNotification", "topic": "n/${cid}/${action}"}],
            "replay": "old/${cid}",
            "downstream": ["down/${cid}/#"],
        },
        "ssl": True,
        "certfile": str(tmp_path / "cert.pem"),
        "keyfile": str(tmp_path / "key.pem"),
        "client_ca": str(tmp_path / "ca.pem"),
        "trusted_proxies": ["10.0.0.1", "fd00::/8", "192.168.1.7/24"],
        "log_level": "debug",
        "name": "garage",
        "port": 0,
        "tls_port": 0,
        "web_port": 0,
        "web_host": "::",
        "web_token": "token",
        "host": "192.168.1.2",
    }
    assert load(options) == Settings(
        mqtt=MqttSettings(
            "core-mosquitto", 8884, "u", SECRET, True, tmp_path / "ca.pem", "gateway"
        ),
        chargers=(ChargerOption("RDAM 123", SECRET), ChargerOption("充电桩")),
        unknown_chargers="refuse",
        central_system="external",
        answer_timeout=0,
        tag_policy="list",
        validation="strict",
        heartbeat_interval=60,
        ping_interval=0.5,
        call_timeout=5,
        queue_limit=4,
        outbox_limit=50,
        discovery=False,
        discovery_prefix="ha/prefix",
        topics=TopicSettings(
            upstream="up/${clientid}/${type}/${id}",
            upstream_overrides={"BootNotification": "n/${cid}/${action}"},
            replay="old/${cid}",
            downstream=("down/${cid}/#",),
        ),
        ssl=True,
        certfile=tmp_path / "cert.pem",
        keyfile=tmp_path / "key.pem",
        client_ca=tmp_path / "ca.pem",
        trusted_proxies=(
            ip_network("10.0.0.1/32"),
            ip_network("fd00::/8"),
            ip_network("192.168.1.0/24"),
        ),
        log_level="debug",
        name="garage",
        port=0,
        tls_port=0,
        web_port=0,
        web_host="::",
        web_token="token",
        host="192.168.1.2",
    )


def test_what_was_left_blank_counts_as_absent() -> None:
    blank: dict[str, Any] = {
        "mqtt": {"host": "", "port": None, "username": "", "password": "", "ca": ""},
        "topics": {"upstream": None, "replay": "", "downstream": None},
        "chargers": None,
        "client_ca": "",
        "web_token": "",
        "log_level": None,
    }
    assert load(blank) == Settings()


def test_a_broker_with_tls_is_on_the_port_for_it() -> None:
    assert load({"mqtt": {"host": "b", "tls": True}}).mqtt.port == 8883


def test_loopback_needs_no_token() -> None:
    for host in ("127.0.0.2", "::1", "localhost"):
        assert load({"web_host": host}).web_host == host


def test_certificates_are_in_home_assistants_folder_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SSL_FOLDER", tmp_path / "ssl")
    assert load({}).certfile == Path("fullchain.pem")
    (tmp_path / "ssl").mkdir()
    assert load({}).certfile == tmp_path / "ssl" / "fullchain.pem"
    assert load({"client_ca": "ca.pem"}).client_ca == tmp_path / "ssl" / "ca.pem"
    assert load({"client_ca": "/etc/ca.pem"}).client_ca == Path("/etc/ca.pem")


def test_secrets_are_not_shown() -> None:
    settings = load(
        {
            "mqtt": {"password": SECRET},
            "chargers": [{"id": "CP1", "password": SECRET}],
            "web_token": "token-of-the-page",
        }
    )
    assert SECRET not in repr(settings)
    assert "token-of-the-page" not in repr(settings)


@given(
    st.dictionaries(
        st.sampled_from([*Settings.__dataclass_fields__, "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_whatever_stands_there_is_settings_or_one_sentence(options: dict[str, Any]) -> None:
    try:
        load(options)
    except OptionsError as error:
        assert str(error).isprintable()


def test_reads_a_file_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text(json.dumps({"name": "garage"}), encoding)
        assert read(path).name == "garage"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"name": }', "is not JSON: Expecting value at line 1, column 10."),
        (b"\xff", "is not JSON."),
        (b'{"port": ' + b"1" * 5000 + b"}", "is not JSON."),
        (b"[" * 100_000, "is not JSON."),
        (b"[]", "holds no JSON object."),
    ],
)
def test_a_file_that_is_no_json_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "options.json"
    path.write_bytes(content)
    with pytest.raises(OptionsError) as caught:
        read(path)
    assert str(caught.value) == f"The options file {path} {sentence}"


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"missing\.json does not exist\.$"):
        read(tmp_path / "missing.json")
    with pytest.raises(OptionsError, match=r"cannot be read: Is a directory\.$"):
        read(tmp_path)
