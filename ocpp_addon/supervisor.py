"""The Supervisor of Home Assistant, over its HTTP API: where the broker is, and our own options.

Every failure is a GatewayError with a sentence about what a person can do. No request here needs
more permission than every app (add-on) has.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiohttp
import voluptuous as vol

from ocpp_addon import checks
from ocpp_addon.config import MqttSettings
from ocpp_addon.errors import GatewayError
from ocpp_addon.text import printable

log = logging.getLogger(__name__)

TIMEOUT = 10.0
# Seconds before each repetition: at boot the Supervisor may not be ready for quite a while.
DELAYS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0)

_SLUG = re.compile(r"[-_.A-Za-z0-9]+")  # with the hash of its repository in front

NO_BROKER = (
    "Home Assistant knows no MQTT broker: install and start the Mosquitto broker app (add-on),"
    " or name another broker in the option mqtt."
)

# What the Supervisor says, and what that means for a person.
_MEANINGS = {
    "Service not enabled": NO_BROKER,
    "No access to mqtt service!": (
        "The Supervisor does not let this app (add-on) know the broker: name it in the option mqtt."
    ),
}

_MQTT_SERVICE = vol.Schema(
    {
        vol.Required("host"): checks.host,
        # Documented as text, sent as a number.
        vol.Required("port"): vol.All(vol.Coerce(int), checks.number(1, 65535)),
        vol.Optional("ssl", default=False): checks.switch,
        vol.Optional("username", default=None): vol.Any(None, checks.secret),
        vol.Optional("password", default=None): vol.Any(None, checks.secret),
    },
    extra=vol.REMOVE_EXTRA,
)


class Supervisor:
    """Ask the Supervisor, in the name of the app (add-on) whose token this is."""

    def __init__(
        self, session: aiohttp.ClientSession, token: str, url: str = "http://supervisor"
    ) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}
        self._url = url

    async def mqtt_service(self) -> MqttSettings:
        """Return where the broker is that Home Assistant uses."""
        data = await self._request("GET", "/services/mqtt")
        if not data:
            raise GatewayError(NO_BROKER)
        try:
            service = _MQTT_SERVICE(data)
        except vol.Invalid as invalid:
            place = ".".join(map(str, invalid.path))
            raise GatewayError(
                f"The Supervisor describes the broker in an unknown way ({printable(place)})."
            ) from None
        return MqttSettings(
            host=service["host"],
            port=service["port"],
            username=service["username"] or None,
            password=service["password"] or None,
            tls=service["ssl"],
        )

    async def self_info(self) -> dict[str, Any]:
        """Return what the Supervisor knows of this app: slug, version, options and more."""
        return await self._request("GET", "/addons/self/info")

    async def info(self) -> dict[str, Any]:
        """Return what runs here: versions, and the host's name."""
        return await self._request("GET", "/info")

    async def page_url(self) -> str:
        """Return the link that leads to our page from anywhere in Home Assistant."""
        slug = (await self.self_info()).get("slug")
        if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
            raise GatewayError("The Supervisor does not tell the name of this app (add-on).")
        return f"homeassistant://hassio/ingress/{slug}"

    async def change_options(self, changes: Mapping[str, object]) -> None:
        """Change some of the options that the user sees; they hold from the next start."""
        options = (await self.self_info()).get("options")
        if not isinstance(options, dict):
            raise GatewayError("The Supervisor does not tell the options of this app (add-on).")
        await self._request("POST", "/addons/self/options", {"options": {**options, **changes}})

    async def _request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Return `data` of the envelope `{"result": "ok", "data": {...}}`."""
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._session.request(
                    method, self._url + path, json=body, headers=self._headers
                ) as response,
            ):
                status = response.status
                text = await response.text(errors="replace")
        except TimeoutError:
            raise GatewayError("The Supervisor did not answer in time.") from None
        except aiohttp.ClientError as error:
            raise GatewayError(
                f"The Supervisor cannot be asked: {printable(error, 120)}."
            ) from None
        answer = _object(text)
        if status == 200 and answer.get("result") == "ok":
            data = answer.get("data")
            return data if isinstance(data, dict) else {}
        message = str(answer.get("message") or f"status {status}")
        sentence = f"The Supervisor refuses {path}: {printable(message, 120).rstrip('.')}."
        raise GatewayError(_MEANINGS.get(message, sentence))


_Result = TypeVar("_Result")


async def when_ready(ask: Callable[[], Awaitable[_Result]]) -> _Result:
    """Repeat a request until the Supervisor fulfils it; raises what the last one failed with."""
    for delay in DELAYS:
        try:
            return await ask()
        except GatewayError as error:
            log.debug("%s Asking again in %g s.", error, delay)
        await asyncio.sleep(delay)
    return await ask()


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
