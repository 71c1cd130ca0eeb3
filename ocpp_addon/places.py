"""Where chargers find this machine: the addresses, names and ports to enter in them."""

import asyncio
import ipaddress
import logging
import socket
from dataclasses import dataclass

from ocpp_addon.errors import GatewayError
from ocpp_addon.supervisor import Supervisor

log = logging.getLogger(__name__)

RESOLVE_TIMEOUT = 2.0  # seconds
KEPT = 60.0  # seconds that an answer of the Supervisor holds
OUTSIDE = ("192.0.2.1", "2001:db8::1")  # for documentation: nothing is ever sent there


@dataclass(frozen=True)
class Place:
    """Where chargers connect, as they see it; a port is None where nothing listens."""

    addresses: tuple[str, ...]
    names: tuple[str, ...]
    port: int | None
    tls_port: int | None


class Places:
    """Find out; `host` is what the gateway listens on, None for all addresses."""

    def __init__(self, supervisor: Supervisor | None, host: str | None) -> None:
        self._supervisor = supervisor
        self._host = host
        self._known: tuple[float, Place] | None = None

    async def find(self, port: int | None, tls_port: int | None) -> Place:
        """Return the place of what listens on these ports here."""
        now = asyncio.get_running_loop().time()
        if self._known is None or now > self._known[0] + KEPT:
            self._known = now, await self._find(port, tls_port)
        return self._known[1]

    async def _find(self, port: int | None, tls_port: int | None) -> Place:
        if self._supervisor is not None:
            try:
                return await self._of_home_assistant(self._supervisor, port, tls_port)
            except (GatewayError, KeyError, TypeError, AttributeError) as error:
                log.debug("The Supervisor does not tell where chargers connect: %r", error)
                return Place((), (), port, tls_port)
        if self._host is not None:
            return Place((self._host,), (), port, tls_port)
        addresses = tuple(filter(None, map(_own_address, OUTSIDE)))
        name = socket.gethostname()
        return Place(addresses, (name if "." in name else f"{name}.local",), port, tls_port)

    async def _of_home_assistant(
        self, supervisor: Supervisor, port: int | None, tls_port: int | None
    ) -> Place:
        """Return the place of the machine that the container runs on, and its ports there."""
        mapping = (await supervisor.self_info())["network"] or {}
        hostname = str((await supervisor.info())["hostname"])
        name = f"{hostname}.local"
        return Place(
            await _resolved(name),
            (name,),
            mapping.get(f"{port}/tcp"),
            mapping.get(f"{tls_port}/tcp") if tls_port else None,
        )


async def _resolved(name: str) -> tuple[str, ...]:
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(
                name, None, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError):
        return ()
    addresses = [ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found]
    fine = [one for one in addresses if not (one.is_loopback or one.is_link_local)]
    return tuple(dict.fromkeys(map(str, sorted(fine, key=lambda one: one.version))))


def _own_address(outside: str) -> str | None:
    """Return the address by which this machine would speak to the outside."""
    family = socket.AF_INET6 if ":" in outside else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))  # of UDP: no packet leaves
        except OSError:
            return None
        return str(probe.getsockname()[0])
