"""The files of the app, read as the Supervisor reads them."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "rootfs/etc/s6-overlay/s6-rc.d"


def read_yaml(name: str) -> Any:
    """Return the content of a file of the app."""
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


CONFIG: dict[str, Any] = read_yaml("config.yaml")
