"""Where the broker is, and who we are there: from the options, else from the Supervisor."""

import hashlib
import re
import socket
import ssl
from functools import lru_cache
from pathlib import Path

from ocpp_addon.config import MqttSettings
from ocpp_addon.errors import OptionsError
from ocpp_addon.mqtt.link import Address
from ocpp_addon.supervisor import Supervisor


class BrokerAddress:
    """Find it anew each time: the Supervisor may have moved the broker."""

    def __init__(
        self, mqtt: MqttSettings, supervisor: Supervisor | None, name: str, data: Path
    ) -> None:
        self._mqtt = mqtt
        self._supervisor = supervisor
        self._client_id = client_id(name, data)

    async def find(self) -> Address:
        """Return the address. Raises GatewayError where the Supervisor knows none."""
        mqtt = self._mqtt
        if mqtt.host is None and self._supervisor is not None:
            mqtt = await self._supervisor.mqtt_service()
        return Address(
            mqtt.host or "127.0.0.1",
            mqtt.port,
            mqtt.username,
            mqtt.password,
            tls_context(mqtt),
            mqtt.client_id or self._client_id,
        )


@lru_cache(maxsize=2)
def tls_context(mqtt: MqttSettings) -> ssl.SSLContext | None:
    """Return what a connection with TLS needs, None without. Raises OptionsError."""
    if not mqtt.tls:
        return None
    try:
        return ssl.create_default_context(cafile=str(mqtt.ca) if mqtt.ca else None)
    except (OSError, ssl.SSLError) as error:
        raise OptionsError(f"mqtt.ca: {mqtt.ca} cannot be used: {error}.") from None


def client_id(name: str, data: Path) -> str:
    """Return an MQTT client id that is the same after a restart and another's on no other host.

    The broker then ends an old connection of ours, and with it its will, before the new one.
    """
    place = f"{socket.gethostname()}|{data.resolve()}|{name}"
    slug = re.sub(r"[^A-Za-z0-9]", "", name)[:8]
    return f"ocpp-{slug}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
