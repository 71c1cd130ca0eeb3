"""Run scenarios in their long form, print what they measured, and put it into a document."""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.fault.catalogue import SCENARIOS, Scenario

HEAD = "| No. | Figure | Measured | Promised |\n| --- | --- | --- | --- |"
START, END = "<!-- figures -->", "<!-- end of figures -->"


def main() -> int:
    """Return 0 if every promise was kept, 1 if not."""
    parser = argparse.ArgumentParser(
        prog="script/fault",
        description="Do bad things to the gateway and see what becomes of the messages.",
        epilog="Scenarios: " + ", ".join(f"{one.number} {one.name}" for one in SCENARIOS) + ".",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="number or name; all without")
    parser.add_argument("--short", action="store_true", help="the short forms, as in the tests")
    parser.add_argument("--minutes", type=float, help="how long the soak takes (30)")
    parser.add_argument("--into", type=Path, metavar="FILE", help="put the figures into its table")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and data there")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    chosen = _chosen(parser, arguments.names)
    rows: list[str] = []
    broken = 0
    for one in chosen:
        more = {"minutes": arguments.minutes} if one.name == "soak" and arguments.minutes else {}
        found, bad = _perform(one, arguments.short, arguments.keep, more)
        rows += found
        broken += bad
        if arguments.into is not None and found:
            _insert(arguments.into, one.number, found)
    print(f"\n{HEAD}\n" + "\n".join(rows))
    print(f"\n{broken} promises not kept." if broken else "\nEvery promise was kept.")
    return 1 if broken else 0


def _chosen(parser: argparse.ArgumentParser, names: list[str]) -> list[Scenario]:
    known = {key.lower(): one for one in SCENARIOS for key in (one.number, one.name)}
    for name in names:
        if name.lower() not in known:
            parser.error(f"there is no scenario {name}")
    return [known[name.lower()] for name in names] or list(SCENARIOS)


def _perform(
    one: Scenario, short: bool, keep: Path | None, more: dict[str, float]
) -> tuple[list[str], int]:
    began = time.monotonic()
    load = os.getloadavg()[0]
    print(f"\n{one.number} {one.name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fault-") as scratch:
        folder = Path(scratch) if keep is None else keep / one.name
        try:
            report = asyncio.run(one.perform(folder, short=short, **more))
        except Exception as error:
            logging.exception("%s could not be performed", one.name)
            return [f"| {one.number} | could not be performed | {type(error).__name__} | |"], 1
    print(report)
    print(f"  took {time.monotonic() - began:.0f} s; load of the machine before: {load:.1f}")
    sys.stdout.flush()
    return report.rows(one.number), len(report.broken)


def _insert(document: Path, number: str, rows: list[str]) -> None:
    """Replace the rows of one scenario in the table between the marks."""
    before, _, rest = document.read_text().partition(START)
    table, _, after = rest.partition(END)
    order = [one.number for one in SCENARIOS]
    others = [line for line in table.splitlines() if line.startswith("| F")]
    kept = [line for line in others if line.split()[1] != number] + rows
    kept.sort(key=lambda line: order.index(line.split()[1]))
    text = "\n".join([START, "", HEAD, *kept, "", END])
    document.write_text(before + text + after)


if __name__ == "__main__":
    sys.exit(main())
