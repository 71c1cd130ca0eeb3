"""Every option and every port is named and explained, in every language and in the same places."""

import re
from typing import Any

import pytest
import voluptuous as vol

from ocpp_addon.config import Settings
from tests.packaging.files import CONFIG, ROOT, read_yaml

LANGUAGES = {"en", "de", "fr", "nl", "es", "it", "zh-Hans"}

# Written alone, they stand for the same thing in every language.
_TECHNICAL = re.compile(r"\$\{\w+\}|ocpp/[\w${}/+]+|\"[a-z]+\"|/ssl|[a-z]+\.pem|\b\d+\b")


def rules(schema: Any) -> dict[Any, Any]:
    """Return what a translation of the options `schema` must hold: all of it, and no more."""
    texts: dict[Any, Any] = {}
    for key, declared in schema.items():
        inner = declared[0] if isinstance(declared, list) else declared
        entry: dict[Any, Any] = {
            vol.Required("name"): vol.Match(r"^\S.{1,48}$"),
            vol.Required("description"): vol.Match(r"^\S.{8,}[.。]$"),
        }
        if isinstance(inner, dict):
            entry[vol.Required("fields")] = rules(inner)
        texts[vol.Required(key)] = entry
    return texts


def described(texts: dict[str, Any], path: str = "") -> dict[str, str]:
    """Return the descriptions by dotted path."""
    found = {}
    for key, entry in texts.items():
        found[path + key] = entry["description"]
        found |= described(entry.get("fields", {}), f"{path}{key}.")
    return found


def test_languages() -> None:
    assert {path.stem for path in (ROOT / "translations").glob("*.yaml")} == LANGUAGES


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_names_and_explains_every_option_and_port(language: str) -> None:
    ports = {vol.Required(port): vol.Match(r"^\S.+\S$") for port in CONFIG["ports"]}
    vol.Schema(
        {
            vol.Required("configuration"): rules(CONFIG["schema"]),
            vol.Required("network"): ports,
        }
    )(read_yaml(f"translations/{language}.yaml"))


@pytest.mark.parametrize("language", sorted(LANGUAGES - {"en"}))
def test_says_the_same_in_every_language(language: str) -> None:
    english = described(read_yaml("translations/en.yaml")["configuration"])
    other = described(read_yaml(f"translations/{language}.yaml")["configuration"])
    for path, text in other.items():
        plain = text.replace("« ", '"').replace(" »", '"')
        expected = sorted(_TECHNICAL.findall(english[path]))
        assert sorted(_TECHNICAL.findall(plain)) == expected, path
        assert text != english[path], path


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_tells_the_defaults_that_the_form_does_not_show(language: str) -> None:
    texts = described(read_yaml(f"translations/{language}.yaml")["configuration"])
    settings = Settings()
    for key in CONFIG["schema"].keys() - CONFIG["options"].keys() - {"client_ca"}:
        default = getattr(settings, key)
        if key in ("certfile", "keyfile"):
            default = default.name
        if default != ():
            assert re.search(rf"\b{default}\b", texts[key]), key
    for key, default in vars(settings.topics).items():
        for topic in [default] if isinstance(default, str) else default or []:
            assert topic in texts[f"topics.{key}"], key
    assert str(settings.mqtt.port) in texts["mqtt.port"]
