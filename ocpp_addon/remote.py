"""The commands of the command line that talk to a running gateway, as thin as can be."""

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from ocpp_addon.errors import GatewayError
from ocpp_addon.text import printable

if TYPE_CHECKING:
    from ocpp_addon.client import Client

COMMANDS = ("chargers", "tags", "call")


def add_commands(commands: Any) -> None:
    """Add them to the subparsers of the command line."""
    api = argparse.ArgumentParser(add_help=False)
    api.add_argument("--url", default="http://127.0.0.1:8099", help="the gateway (%(default)s)")
    api.add_argument("--token", help="its web_token; $OCPP_GATEWAY_TOKEN serves as well")

    def online(
        group: Any, name: str, command: Callable[["Client", argparse.Namespace], Awaitable[int]]
    ) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = group.add_parser(name, parents=[api], help=command.__doc__)
        sub.set_defaults(command=lambda parsed: asyncio.run(_with_client(command, parsed)))
        return sub

    chargers = commands.add_parser("chargers", help="list and change the known chargers")
    group = chargers.add_subparsers(required=True, metavar="COMMAND")
    online(group, "list", _list_chargers)
    add = online(group, "add", _add_charger)
    add.add_argument("id", metavar="ID")
    secret = add.add_mutually_exclusive_group()
    secret.add_argument("--password", help="asked for, or read from standard input, without it")
    secret.add_argument("--no-password", action="store_true", help="let it in without password")
    online(group, "approve", _approve_charger).add_argument("id", metavar="ID")
    online(group, "remove", _remove_charger).add_argument("id", metavar="ID")
    online(group, "disconnect", _disconnect_charger).add_argument("id", metavar="ID")

    tags = commands.add_parser("tags", help="list and change who may charge")
    group = tags.add_subparsers(required=True, metavar="COMMAND")
    online(group, "list", _list_tags)
    tag = online(group, "set", _set_tag)
    tag.add_argument("id", metavar="IDTAG")
    tag.add_argument("--status", default="Accepted", help="such as Blocked (%(default)s)")
    tag.add_argument("--name", help="whose it is")
    tag.add_argument("--parent", help="idTag of the group it belongs to")
    tag.add_argument("--expiry", help="until when it is accepted: 2027-01-31T00:00:00Z")
    online(group, "remove", _remove_tag).add_argument("id", metavar="IDTAG")

    call = online(commands, "call", _call)
    call.add_argument("id", metavar="ID")
    call.add_argument("action", metavar="ACTION", help="such as GetConfiguration")
    call.add_argument("payload", metavar="JSON", nargs="?", default="{}", type=_payload)


def _payload(text: str) -> dict[str, Any]:
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise argparse.ArgumentTypeError("it is no JSON object")
    return payload


async def _with_client(
    command: Callable[["Client", argparse.Namespace], Awaitable[int]], parsed: argparse.Namespace
) -> int:
    from ocpp_addon.client import Client

    async with Client(parsed.url, parsed.token or os.environ.get("OCPP_GATEWAY_TOKEN")) as client:
        return await command(client, parsed)


async def _list_chargers(client: "Client", parsed: argparse.Namespace) -> int:
    """list the known and the waiting chargers"""
    chargers = await client.chargers()
    _print_table(
        ("ID", "CONNECTED", "APPROVAL", "PASSWORD", "MODEL", "PROTOCOL", "ADDRESS", "LAST SEEN"),
        (
            (
                charger.get("id"),
                "yes" if charger.get("connected") else "no",
                charger.get("approval"),
                "yes" if charger.get("protected") else "no",
                " ".join(str(charger[key]) for key in ("vendor", "model") if charger.get(key)),
                charger.get("protocol"),
                charger.get("address"),
                charger.get("last_seen"),
            )
            for charger in chargers
        ),
    )
    return 0


async def _add_charger(client: "Client", parsed: argparse.Namespace) -> int:
    """make a charger known, or change its password"""
    password = None if parsed.no_password else parsed.password or _ask_password(parsed.id)
    await client.add_charger(parsed.id, password)
    print(f"{parsed.id} is known, {'with' if password else 'without'} a password.")
    return 0


def _ask_password(charger_id: str) -> str | None:
    """Return the password that is typed or piped in; only a person may leave it empty for none."""
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of {charger_id} (empty for none): ") or None
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise GatewayError("No password came: name one, or say --no-password.")
    return password


async def _approve_charger(client: "Client", parsed: argparse.Namespace) -> int:
    """let in the charger that waits with this id"""
    charger = await client.charger(parsed.id)
    if charger.get("approval") != "pending" or not charger.get("connection"):
        raise GatewayError(f"{parsed.id} does not wait for approval.")
    await client.approve(parsed.id, str(charger["connection"]))
    print(f"{parsed.id} at {printable(charger.get('address'))} is approved.")
    return 0


async def _remove_charger(client: "Client", parsed: argparse.Namespace) -> int:
    """forget a charger and close its connection"""
    await client.remove_charger(parsed.id)
    print(f"{parsed.id} is forgotten.")
    return 0


async def _disconnect_charger(client: "Client", parsed: argparse.Namespace) -> int:
    """close a charger's connection; it will connect again"""
    await client.disconnect(parsed.id)
    print(f"{parsed.id} is disconnected.")
    return 0


async def _list_tags(client: "Client", parsed: argparse.Namespace) -> int:
    """list the known tags"""
    keys = ("idTag", "status", "name", "parent", "expiry")
    tags = await client.tags()
    _print_table([key.upper() for key in keys], ([tag.get(key) for key in keys] for tag in tags))
    return 0


async def _set_tag(client: "Client", parsed: argparse.Namespace) -> int:
    """say whether a tag may charge"""
    given = {key: getattr(parsed, key) for key in ("status", "name", "parent", "expiry")}
    await client.put_tag(parsed.id, {key: value for key, value in given.items() if value})
    print(f"{parsed.id} is {parsed.status}.")
    return 0


async def _remove_tag(client: "Client", parsed: argparse.Namespace) -> int:
    """forget a tag"""
    await client.remove_tag(parsed.id)
    print(f"{parsed.id} is forgotten.")
    return 0


async def _call(client: "Client", parsed: argparse.Namespace) -> int:
    """send a charger a command and print its answer"""
    outcome = await client.call(parsed.id, parsed.action, parsed.payload)
    error = outcome.get("error")
    if isinstance(error, dict):
        if error.get("details"):
            print(json.dumps(error["details"], indent=2))
        raise GatewayError(
            f"{printable(error.get('code'))}: {printable(error.get('description'), 255)}"
        )
    print(json.dumps(outcome.get("result"), indent=2, ensure_ascii=False))
    return 0


def _print_table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    texts = [tuple(heads)]
    texts += [tuple("-" if cell in (None, "") else printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    for row in texts:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
