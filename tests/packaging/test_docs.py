"""DOCS.md and README.md: complete, and every example does what it says."""

import copy
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocpp_addon import config
from ocpp_addon.config import Settings
from tests.packaging.app_options import accepted, merged
from tests.packaging.files import CONFIG, ROOT
from tests.packaging.test_configuration import OUTSIDE_ONLY
from tests.support.stand import stand

DOCS = (ROOT / "DOCS.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
CODE = re.compile(r"(?ms)^( *)```(\w+)\n(.*?)^ *```$")


def blocks(text: str, language: str) -> list[str]:
    """Return the examples in a language."""
    return [found[3] for found in CODE.finditer(text) if found[2] == language]


def section(heading: str) -> str:
    """Return what stands below a heading of DOCS.md, until the next of its kind."""
    level = heading.split(maxsplit=1)[0]
    body = re.search(rf"(?ms)^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", DOCS)
    assert body is not None, heading
    return body[1]


EXAMPLES = [yaml.safe_load(block) for block in blocks(DOCS, "yaml")]
COMPOSE = next(one for one in EXAMPLES if "services" in one)
OPTIONS = [one for one in EXAMPLES if one.keys() <= CONFIG["schema"].keys()]


def test_explains_every_option_and_its_default() -> None:
    headings = re.findall(r"(?m)^### Option: `(.*)`$", DOCS)
    assert headings == [*dict.fromkeys(headings)]
    assert set(headings) == CONFIG["schema"].keys()
    for key in headings:
        text = section(f"### Option: `{key}`")
        default = getattr(Settings(), key)
        if isinstance(default, bool):
            assert f"Default: {'on' if default else 'off'}." in text, key
        elif isinstance(default, str | int | float):
            words = {f"`{default}` (default)", f"Default: `{default}`.", f"Default: {default}."}
            assert any(word in text for word in words), key


@pytest.mark.parametrize("group", ["chargers", "mqtt", "topics"])
def test_explains_every_member_of_a_group(group: str) -> None:
    schema = CONFIG["schema"][group]
    text = section(f"### Option: `{group}`")
    for key in schema[0] if isinstance(schema, list) else schema:
        assert f"`{key}`" in text, key


def test_names_the_default_topics() -> None:
    text = section("### Option: `topics`")
    for value in vars(Settings().topics).values():
        for topic in [value] if isinstance(value, str) else value or []:
            assert f"`{topic}`" in text


def test_explains_the_options_outside_home_assistant() -> None:
    text = section("## Without Home Assistant")
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", text)) == OUTSIDE_ONLY
    for key in OUTSIDE_ONLY - {"host", "web_token"}:
        assert re.search(rf"(?m)^\| `{key}` \| `?{getattr(Settings(), key)}`? \|", text), key


@pytest.mark.parametrize("options", OPTIONS, ids="-".join)
def test_examples_of_options_can_be_saved(options: dict[str, Any]) -> None:
    for key, value in options.items():
        # As a person puts it in place of what is there.
        assert accepted(CONFIG["schema"][key], value) == value
    config.load(accepted(CONFIG["schema"], merged(CONFIG["options"], options)))


def test_examples_are_all_looked_at() -> None:
    others = [one for one in EXAMPLES if one not in OPTIONS and one is not COMPOSE]
    assert len(OPTIONS) >= 4
    assert [one["action"] for one in others] == ["mqtt.publish"]


@pytest.mark.parametrize("text", [DOCS, README], ids=["DOCS.md", "README.md"])
def test_examples_of_options_files_are_fine(text: str) -> None:
    for block in blocks(text, "json"):
        content = json.loads(block)
        if "MessageTypeId" not in content:
            config.load(content)


def test_both_pages_turn_it_into_emqx_alike() -> None:
    (docs,) = (copy.deepcopy(one) for one in OPTIONS if "central_system" in one)
    (readme,) = (json.loads(one) for one in blocks(README, "json") if "central_system" in one)
    assert docs["topics"].pop("upstream_overrides") == []
    assert docs == readme


def test_compose_is_docker_run() -> None:
    (service,) = COMPOSE["services"].values()
    command = next(one for one in blocks(DOCS, "shell") if one.startswith("docker run"))
    words = shlex.split(command)
    assert service["image"] == words[-1] == "ghcr.io/ocpp-gateway/ocpp-gateway:latest"
    assert service["restart"] == words[words.index("--restart") + 1]
    published = [words[index + 1] for index, word in enumerate(words) if word == "--publish"]
    assert service["ports"] == published == ["33033:33033", "8099:8099"]
    assert service["volumes"] == ["./data:/data"]
    assert words[words.index("--volume") + 1] == "$PWD/data:/data"


def test_the_image_is_what_the_workflow_publishes() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/build.yaml").read_text())
    (service,) = COMPOSE["services"].values()
    owner = CONFIG["url"].split("/")[-2]
    assert service["image"] == f"ghcr.io/{owner}/{workflow['env']['IMAGE']}:latest"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    (text,) = blocks(DOCS, "ini")
    command = "/opt/ocpp-gateway/bin/ocpp-gateway"
    assert text.count(command) == 1
    unit = tmp_path / "ocpp-gateway.service"
    unit.write_text(text.replace(command, sys.executable))

    def analyze(*words: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["systemd-analyze", *words, unit], capture_output=True, text=True, check=False
        )

    verified = analyze("verify", "--man=no")
    assert (verified.returncode, verified.stderr) == (0, "")
    confined = analyze("security", "--offline=true", "--threshold=20")
    assert confined.returncode == 0, confined.stdout


async def test_the_commands_reach_a_charger(tmp_path: Path) -> None:
    shell = [line for block in blocks(section("## MQTT"), "shell") for line in block.splitlines()]
    commands = [line for line in shell if line.startswith("mosquitto_pub -t ocpp/garage/")]
    automation = next(one for one in EXAMPLES if one.get("action") == "mqtt.publish")["data"]
    messages = [parsed(command) for command in commands]
    messages.append((automation["topic"], automation["payload"]))
    async with stand(tmp_path) as one, one.charger("garage") as charger:
        await charger.boot()
        for count, (topic, payload) in enumerate(messages, 1):
            await one.watch.publish(topic, payload.encode())
            kind, unique_id, action, content = await charger.receive()
            assert (kind, action) == (2, topic.split("/")[-1])
            assert content == json.loads(payload)["Payload"]
            await charger.send([3, unique_id, {"status": "Accepted"}])
            reply = await one.watch.expect("ocpp/cp/Reply/garage", count)
            assert reply.json["UniqueId"] == unique_id
        (order,) = (line for line in shell if line.startswith("mosquitto_pub -t ocpp/set/"))
        topic, payload = parsed(order)
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}
        await charger.call("StatusNotification", status)
        await one.watch.publish(topic, payload.encode())
        _, unique_id, action, content = await charger.receive()
        assert (action, content["connectorId"]) == ("RemoteStartTransaction", 1)
        await charger.send([3, unique_id, {"status": "Accepted"}])


def parsed(command: str) -> tuple[str, str]:
    """Return topic and payload of a mosquitto_pub command."""
    program, *words = shlex.split(command)
    assert (program, words[0], words[2]) == ("mosquitto_pub", "-t", "-m")
    return words[1], words[3]


def test_names_what_the_page_shows() -> None:
    templates = (ROOT / "ocpp_addon/web/templates").glob("*.html")
    page = "".join(template.read_text("utf-8") for template in templates)
    shown = ("Connect your first charger", "Waiting for your approval", "Attempts that failed")
    for label in (*shown, "Export for a bug report"):
        assert f'"{label}"' in " ".join(DOCS.split())
        assert f">{label}<" in page
    assert "**Approve**" in DOCS
    assert ">Approve<" in page


@pytest.mark.parametrize("text", [DOCS, README], ids=["DOCS.md", "README.md"])
def test_links_lead_somewhere(text: str) -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"(?m)^#+ (.*)$", text)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif target.startswith(f"{CONFIG['url']}/blob/main/"):
            assert (ROOT / target.removeprefix(f"{CONFIG['url']}/blob/main/")).exists(), target
        elif "://" not in target:
            assert (ROOT / target).exists(), target
