"""Templates to HTML; everything that chargers say is escaped, and times and units become words."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent / "templates"
LONGEST = 20_000  # characters of one value on a page


class Renderer:
    """Fill templates."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.tests["startswith"] = str.startswith
        self._environment.filters |= {
            "amount": amount,
            "duration": duration,
            "mark": mark,
            "moment": moment,
            "pretty": pretty,
            "urlencode": lambda text: quote(text.encode("utf-8", "replace"), safe=""),
        }

    def render(self, template: str, **context: object) -> str:
        """Return a whole page."""
        return self._environment.get_template(template).render(context)

    def part(self, template: str, macro: str, *arguments: object) -> str:
        """Return what one macro of a template makes, for a live update."""
        made = getattr(self._environment.get_template(template).module, macro)(*arguments)
        return str(made)


def mark(text: str) -> str:
    """Return an HTML id for the id of a charger."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def moment(stamp: str | None, *, millis: bool = False) -> Markup | str:
    """Return a time element; the page's script turns it into the reader's own time."""
    if stamp is None:
        return "never"
    try:
        local = datetime.fromisoformat(stamp).astimezone()
    except (ValueError, OverflowError):
        return stamp
    text = f"{local:%Y-%m-%d %H:%M:%S}" + (f".{local.microsecond // 1000:03d}" if millis else "")
    wish = Markup(" data-millis") if millis else ""
    return Markup('<time datetime="{}"{}>{}</time>').format(stamp, wish, text)


def amount(value: float | None, unit: str) -> str:
    """Return a figure in thousands of its unit where that reads better: 7.40 kW, 350 W."""
    if value is None:
        return "–"  # noqa: RUF001
    if abs(value) >= 1000 and unit in ("W", "Wh"):
        return f"{value / 1000:.2f} k{unit}"
    return f"{value:.0f} {unit}" if unit in ("W", "Wh") else f"{value:g} {unit}"


def duration(begin: str | None, end: str | None = None) -> str:
    """Return how long something took, or has taken up to now, as 1 h 05 min."""
    try:
        first = datetime.fromisoformat(begin or "")
        last = datetime.fromisoformat(end) if end else datetime.now(first.tzinfo)
        minutes = max(0, int((last - first).total_seconds() // 60))
    except (ValueError, TypeError, OverflowError):
        return ""
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def pretty(value: Any) -> Markup:
    """Return JSON for reading, to stand between tags: its many quotes stay as they are there."""
    text = json.dumps(value, indent=2, ensure_ascii=False)[:LONGEST]
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, name)
    return Markup(text.encode("utf-8", "replace").decode())
