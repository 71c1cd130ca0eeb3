"""The addresses to enter in a charger, and how brands want them spelled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ocpp_addon.web.guard import is_local, is_loopback


class Brand(NamedTuple):
    """How a brand wants the address: "full" with scheme and id, "base" without the id, "bare"
    without both; and what else to know. Firmwares differ, so these are starting points."""

    name: str
    form: str
    hint: str
    encrypted: bool = False


BRANDS = (
    Brand("ABB Terra AC", "base", "The id is the serial number. It may take a quarter of an hour."),
    Brand("Alfen", "bare", "Its path is /ocpp/. Use an address with numbers, not a name."),
    Brand("Autel", "base", "It may append :443 itself: let that port lead here.", encrypted=True),
    Brand("Easee", "base", "OCPP is activated through its API; the operator's goes away."),
    Brand("EVBox", "base", "Older ones know only old encryption: use ws in your own network."),
    Brand("go-e", "full", "In its app under Internet, OCPP."),
    Brand("Grizzl-E", "base", "Older ones want host and port alone, without ws://."),
    Brand("Growatt, Huawei", "base", "Address and charge point id have fields of their own."),
    Brand("KEBA", "base", "After seven days without an answer it gives up until restarted."),
    Brand("Mennekes", "base", "It may take a quarter of an hour to dial again."),
    Brand("myenergi Zappi", "full", "Its cloud connects: a public name is needed.", encrypted=True),
    Brand("OpenEVSE", "full", "Older firmware knows no password: add it without one."),
    Brand("StarCharge", "base", "It sends a fixed user name and password: approve what it sends."),
    Brand("Wallbox", "base", "No password, or one of 16 to 20 characters. It restarts then."),
    Brand("WARP, Tinkerforge", "base", "No / at the end. 40 hex digits make a good password."),
    Brand("Others with one field", "full", "The id is the last part of the address."),
    Brand("Others with two fields", "base", "They append the id by themselves."),
    Brand("Others with host and port", "bare", "The path, where one is asked for, is /ocpp."),
)


@dataclass(frozen=True)
class Addresses:
    """Where chargers connect, as they see it: `urls` lack the id."""

    urls: tuple[str, ...]
    encrypted: bool  # there are some with wss
    reachable: bool  # from another machine


def addresses(places: Mapping[str, Any], found_by: str) -> Addresses:
    """Return the addresses; `found_by` is the name by which a browser found the way here."""
    hosts = [*places["addresses"], *places["names"]]
    if found_by and is_local(found_by) and not (hosts and is_loopback(found_by)):
        hosts = [*dict.fromkeys([*hosts, found_by])]  # chargers may find it so, too
    written = [f"[{host}]" if ":" in host else host for host in hosts]
    doors = [("ws", places["port"]), ("wss", places["tls_port"])]
    return Addresses(
        tuple(f"{way}://{host}:{port}/ocpp" for way, port in doors if port for host in written),
        encrypted=places["tls_port"] is not None,
        reachable=not all(is_loopback(host) for host in hosts),
    )
