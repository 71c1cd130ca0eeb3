"""The command line: run the gateway or a simulated charger, or check options; see also remote."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ocpp_addon import __version__, remote
from ocpp_addon.errors import GatewayError

if TYPE_CHECKING:
    from ocpp_addon.config import Settings

# Where the Supervisor puts an app's (add-on's) options and keeps its data.
SUPERVISED_DATA = Path("/data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what `arguments` ask for and return the exit code: 0, 1 failed, 2 not understood."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "run")
    parsed = _parser().parse_args(words)
    try:
        code: int = parsed.command(parsed)
    except GatewayError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ocpp-gateway", description="Bring EV chargers (OCPP) to MQTT and Home Assistant."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the gateway; what happens without a command, too")
    run.add_argument("--options", type=Path, metavar="FILE", help="JSON file with the options")
    run.add_argument("--data", type=Path, metavar="DIR", help="folder that keeps the state (data)")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="tell whether an options file is fine")
    file = check.add_mutually_exclusive_group()
    file.add_argument("file", type=Path, nargs="?", metavar="FILE")
    file.add_argument("--options", type=Path, metavar="FILE", help="the same, as for run")
    check.set_defaults(command=_check)

    simulate = commands.add_parser("simulate", help="be a simulated OCPP 1.6 charger")
    simulate.add_argument("--id", default="SIM1", help="charge point id (%(default)s)")
    simulate.add_argument("--url", default="ws://127.0.0.1:33033/ocpp", help="(%(default)s)")
    simulate.add_argument("--password", help="for HTTP Basic; none is sent without it")
    simulate.add_argument(
        "--connectors", type=_positive(int), default=1, help="how many (%(default)s)"
    )
    simulate.add_argument("--charge", action="store_true", help="start charging by itself")
    simulate.add_argument(
        "--interval",
        type=_positive(float),
        default=10,
        help="seconds between meter values (%(default)s)",
    )
    simulate.add_argument(
        "--speed",
        type=_positive(float),
        default=1,
        help="how much faster the car charges (%(default)s)",
    )
    simulate.set_defaults(command=_simulate)

    remote.add_commands(commands)
    return parser


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def positive(text: str) -> float:
        number = kind(text)
        if not 0 < number < 1_000_000:
            raise ValueError
        return number

    return positive


def _run(parsed: argparse.Namespace) -> int:
    from ocpp_addon import gateway, logs

    settings, options = _settings(parsed.options)
    logs.set_up(settings.log_level)
    data = parsed.data or (SUPERVISED_DATA if _supervised() else Path("data"))
    return asyncio.run(gateway.run(settings, data, options))


def _check(parsed: argparse.Namespace) -> int:
    from ocpp_addon import gateway

    settings, options = _settings(parsed.file or parsed.options)
    gateway.check(settings)
    print(f"{options or 'Without a file, the defaults'}: fine.")
    return 0


def _settings(given: Path | None) -> tuple["Settings", Path | None]:
    """Return the settings and the file they come from, None where there are only defaults."""
    from ocpp_addon import config

    path = given or (SUPERVISED_DATA / "options.json" if _supervised() else None)
    return (config.read(path) if path else config.load({})), path


def _supervised() -> bool:
    return "SUPERVISOR_TOKEN" in os.environ


def _simulate(parsed: argparse.Namespace) -> int:
    from ocpp_addon import logs

    try:
        from ocpp_addon import simulator
    except ModuleNotFoundError as error:
        raise GatewayError(
            f"{error.name} is missing: install the simulated charger with"
            " pip install 'ocpp-gateway[simulator]'."
        ) from None
    logs.set_up("info")
    charger = simulator.Simulator(
        parsed.id,
        parsed.url,
        parsed.password,
        connectors=parsed.connectors,
        charge=parsed.charge,
        interval=parsed.interval,
        speed=parsed.speed,
    )
    asyncio.run(charger.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
