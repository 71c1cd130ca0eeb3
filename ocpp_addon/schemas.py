"""Find the JSON schemas that the `ocpp` package ships as data, without importing the package.

Its import costs 160 ms and 17 MB, of which the gateway needs nothing but these files.
"""

import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from ocpp_addon.ocpp.version import Version

HEAVY = 20_000  # bytes: a schema beyond it takes 0.1 s and more to compile


@lru_cache(maxsize=8)
def _files(version: Version) -> dict[str, Path]:
    package = importlib.util.find_spec("ocpp")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("The package `ocpp`, which carries the schemas, is missing.")
    folder = Path(package.submodule_search_locations[0]) / version.schemas / "schemas"
    return {file.stem: file for file in folder.glob("*.json")}


def load_schema(version: Version, name: str) -> dict[str, Any] | None:
    """Return the schema of that name, such as `BootNotificationResponse`; None if there is none."""
    file = _files(version).get(name)
    if file is None:
        return None
    schema: dict[str, Any] = json.loads(file.read_text("utf-8-sig"))
    return schema


def heavy_schemas(version: Version) -> tuple[str, ...]:
    """Return the names of the schemas that take long to compile."""
    return tuple(
        name for name, file in sorted(_files(version).items()) if file.stat().st_size > HEAVY
    )


def actions(version: Version) -> list[str]:
    """Return all actions of a version that are Calls, whichever side makes them."""
    suffix = version.request_suffix
    return [
        name.removesuffix(suffix)
        for name in _files(version)
        if name.endswith(suffix) and not name.endswith("Response")
    ]
