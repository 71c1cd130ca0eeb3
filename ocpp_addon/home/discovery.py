"""The discovery payloads that make chargers devices in Home Assistant; pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ocpp_addon import __version__
from ocpp_addon.home import entities
from ocpp_addon.home.chargers import ChargerFacts
from ocpp_addon.home.entities import Entity

ORIGIN = {
    "name": "OCPP gateway",
    "sw": __version__,
    "url": "https://github.com/ocpp-gateway/ocpp-gateway",
}


class DeviceTopics(Protocol):
    """Where a device listens and speaks; connector 0 is the charger itself."""

    @property
    def gateway(self) -> str: ...
    def presence(self, charger_id: str) -> str: ...
    def state(self, charger_id: str, connector: int) -> str: ...
    def order(self, charger_id: str, connector: int, key: str) -> str: ...
    def event(self, charger_id: str, connector: int) -> str: ...
    def tag(self, charger_id: str) -> str: ...


@dataclass(frozen=True)
class Component:
    """One entity of a device, as its id says: the connector's number and the entity's key."""

    connector: int
    key: str

    def __str__(self) -> str:
        return f"{self.connector}_{self.key}"

    @classmethod
    def read(cls, text: str) -> "Component":
        """Undo `str()`; ValueError for anything else."""
        connector, key = text.split("_", 1)
        return cls(int(connector), key)


def device_id(charger_id: str) -> str:
    """Return the id of a charger's device: the same for ever, and another for each charger."""
    return _identity(charger_id)


def gateway_id(name: str) -> str:
    """Return the id of a gateway's own device; no charger's can be the same."""
    return f"ocpp_gateway_{_identity(name)}"


def gateway_payload(name: str, topics: DeviceTopics, page: str | None) -> dict[str, Any]:
    """Return the discovery payload of the gateway itself; `page` is the address of its page."""
    identity = gateway_id(name)
    device = {
        "ids": [identity],
        "name": "OCPP gateway" if name == "main" else f"OCPP gateway {name}",
        "mdl": "OCPP gateway",
        "sw": __version__,
        **({"cu": page} if page else {}),
    }
    connected = {
        "p": "binary_sensor",
        "unique_id": f"{identity}_connected",
        "name": "Connected",
        "state_topic": topics.gateway,
        "payload_on": "online",
        "payload_off": "offline",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
    }
    return {"dev": device, "o": ORIGIN, "cmps": {"connected": connected}}


def charger_payload(
    charger_id: str,
    facts: ChargerFacts,
    components: Mapping[Component, str],
    topics: DeviceTopics,
    gateway_name: str,
    page: str | None,
) -> dict[str, Any]:
    """Return the discovery payload of a charger.

    `components` are all that were ever announced, with their platforms: those that we no longer
    know are taken back.
    """
    identity = device_id(charger_id)
    device = {
        "ids": [identity],
        "name": charger_id,
        "mf": facts.vendor,
        "mdl": facts.model,
        "sn": facts.serial,
        "sw": facts.firmware,
        "via_device": gateway_id(gateway_name),
        "cu": page,
    }
    by_gateway = {"topic": topics.gateway}
    by_presence = {"topic": topics.presence(charger_id)}
    connectors = {one.connector for one in components if one.connector}
    described: dict[str, dict[str, Any]] = {}
    for one, platform in sorted(components.items(), key=lambda item: _order(item[0])):
        entity = entities.find(one.connector, one.key)
        if entity is None or entity.platform != platform:
            described[str(one)] = {"p": platform}
            continue
        described[str(one)] = {
            "p": platform,
            "unique_id": f"{identity}_{one}",
            "name": entities.called(entity, one.connector, alone=len(connectors) == 1),
            **_topics(entity, charger_id, one.connector, topics),
            **entity.options,
            **({"availability": [by_gateway]} if entity.always else {}),
        }
    return {
        "dev": {key: value for key, value in device.items() if value},
        "o": ORIGIN,
        "availability": [by_gateway, by_presence],
        "availability_mode": "all",
        "qos": 1,
        "cmps": described,
    }


def _topics(
    entity: Entity, charger_id: str, connector: int, topics: DeviceTopics
) -> dict[str, str]:
    if entity.platform == "tag":
        return {"topic": topics.tag(charger_id)}
    if entity.platform == "event":
        return {"state_topic": topics.event(charger_id, connector)}
    places = {}
    if entity.key == entities.CONNECTED:
        places["state_topic"] = topics.presence(charger_id)
    elif entity.platform != "button":
        places["state_topic"] = topics.state(charger_id, connector)
    if entity.order is not None:
        places["command_topic"] = topics.order(charger_id, connector, entity.order)
    return places


def _order(component: Component) -> tuple[int, int, str]:
    place = entities.place(component.connector, component.key)
    return component.connector, place, component.key


def _identity(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{slug}_{digest}"
