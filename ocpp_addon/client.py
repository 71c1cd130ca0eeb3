"""The HTTP API of a running gateway, as the command line uses it."""

import asyncio
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from ocpp_addon.errors import GatewayError
from ocpp_addon.text import printable

TIMEOUT = 10.0
# The gateway ends every Call by itself, after the ones that wait before it.
CALL_TIMEOUT = 300.0


class Client:
    """Talk to the gateway at `url`; every refusal is a GatewayError with its sentence."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"X-Requested-With": "ocpp-gateway"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def chargers(self) -> list[dict[str, Any]]:
        """Return what is known of all chargers."""
        return _objects(await self._request("GET", "chargers"))

    async def charger(self, charger_id: str) -> dict[str, Any]:
        """Return what is known of one charger."""
        return _object(await self._request("GET", "chargers", charger_id))

    async def add_charger(self, charger_id: str, password: str | None) -> None:
        """Make a charger known, with this password or without any."""
        await self._request("PUT", "chargers", charger_id, body={"password": password})

    async def approve(self, charger_id: str, connection: str) -> None:
        """Let in the charger that waits on this connection."""
        body = {"connection": connection}
        await self._request("POST", "chargers", charger_id, "approve", body=body)

    async def remove_charger(self, charger_id: str) -> None:
        """Forget a charger."""
        await self._request("DELETE", "chargers", charger_id)

    async def disconnect(self, charger_id: str) -> None:
        """Close a charger's connection."""
        await self._request("POST", "chargers", charger_id, "disconnect", body={})

    async def call(self, charger_id: str, action: str, payload: object) -> dict[str, Any]:
        """Send a Call to a charger and return `{"result": …}` or `{"error": …}`."""
        body = {"action": action, "payload": payload}
        return _object(
            await self._request(
                "POST", "chargers", charger_id, "call", body=body, limit=CALL_TIMEOUT
            )
        )

    async def tags(self) -> list[dict[str, Any]]:
        """Return the known tags."""
        return _objects(await self._request("GET", "tags"))

    async def put_tag(self, id_tag: str, entry: dict[str, str]) -> None:
        """Store what holds for a tag."""
        await self._request("PUT", "tags", id_tag, body=entry)

    async def remove_tag(self, id_tag: str) -> None:
        """Forget a tag."""
        await self._request("DELETE", "tags", id_tag)

    async def _request(
        self, method: str, *path: str, body: object = None, limit: float = TIMEOUT
    ) -> object:
        url = "/".join([self._url, "api", *(quote(segment, safe="") for segment in path)])
        try:
            async with (
                asyncio.timeout(limit),
                self._session.request(method, URL(url, encoded=True), json=body) as response,
            ):
                answer = await _json(response)
        except TimeoutError:
            raise GatewayError(f"The gateway at {self._url} did not answer in time.") from None
        except (aiohttp.ClientError, ValueError) as error:
            reason = printable(error, 200)
            raise GatewayError(f"No gateway answers at {self._url}: {reason}.") from None
        if response.ok:
            return answer
        refusal = answer.get("error") if isinstance(answer, dict) else None
        described = refusal.get("description") if isinstance(refusal, dict) else None
        raise GatewayError(
            printable(described, 500) if described else f"The gateway answered {response.status}."
        )


async def _json(response: aiohttp.ClientResponse) -> Any:
    """Return the JSON of a response, None where there is none."""
    if response.content_type != "application/json":
        return None
    return await response.json()


def _objects(answer: object) -> list[dict[str, Any]]:
    if not isinstance(answer, list):
        raise GatewayError("What answers there is no gateway.")
    return [_object(item) for item in answer]


def _object(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise GatewayError("What answers there is no gateway.")
    return answer
