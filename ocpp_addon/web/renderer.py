"""Templates to HTML; everything that chargers say is escaped."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ocpp_addon.web import words

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
            "amount": words.amount,
            "duration": words.duration,
            "elapsed": words.elapsed,
            "local": words.local,
            "mark": mark,
            "moment": words.moment,
            "pretty": pretty,
            "reason": words.reason,
            "spaced": words.spaced,
            "spoken": words.spoken,
            "status": words.status,
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


def pretty(value: Any) -> Markup:
    """Return JSON for reading, to stand between tags: its many quotes stay as they are there."""
    text = json.dumps(value, indent=2, ensure_ascii=False)[:LONGEST]
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, name)
    return Markup(text.encode("utf-8", "replace").decode())
