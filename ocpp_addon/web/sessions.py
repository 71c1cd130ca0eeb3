"""Charging sessions for people: which are asked for, their totals, and as a spreadsheet."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ocpp_addon.web.backend import Refused, SessionChoice

COLUMNS = (
    *("charger", "connector", "transaction_id", "tag", "started_at", "ended_at"),
    *("energy_wh", "reason"),
)
_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


@dataclass(frozen=True)
class Totals:
    """What sessions add up to; those that run count with what they are so far."""

    sessions: int
    energy_wh: int
    hours: float


def choice(query: Mapping[str, str]) -> SessionChoice:
    """Return which sessions a query asks for; Refused if it asks for no month."""
    since = until = None
    if month := query.get("month"):
        since, until = _month(month)
    return SessionChoice(query.get("charger") or None, query.get("tag") or None, since, until)


def totals(sessions: Iterable[Mapping[str, Any]]) -> Totals:
    """Add up sessions."""
    known = list(sessions)
    return Totals(
        len(known),
        sum(session["energy_wh"] or 0 for session in known),
        round(sum(_hours(session) for session in known), 2),
    )


def grouped(
    sessions: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], str]
) -> dict[str, Totals]:
    """Add up sessions by what `key` makes of each, in the order in which they come."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for session in sessions:
        groups.setdefault(key(session), []).append(session)
    return {name: totals(members) for name, members in groups.items()}


def month_of(session: Mapping[str, Any]) -> str:
    """Return the month in which a session began, as it is where the gateway runs."""
    return f"{datetime.fromisoformat(session['started_at']).astimezone():%Y-%m}"


def names_of(tags: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of tags by the tag in lower case, as which they are compared."""
    return {tag["idTag"].lower(): tag["name"] for tag in tags if tag.get("name")}


def as_csv(sessions: Iterable[Mapping[str, Any]]) -> str:
    """Return sessions as a table that spreadsheets read."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    for session in sessions:
        writer.writerow(_cell(session[column]) for column in COLUMNS)
    return table.getvalue()


def _month(text: str) -> tuple[datetime, datetime]:
    """Return begin and end of a month as it is where the gateway runs."""
    match = _MONTH.fullmatch(text)
    year, month = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (2000 <= year < 9999 and 1 <= month <= 12):
        raise Refused("bad_month", "The month must be written like 2026-11.", 400)
    begin = datetime(year, month, 1).astimezone()
    end = datetime(year + month // 12, month % 12 + 1, 1).astimezone()
    return begin, end


def _hours(session: Mapping[str, Any]) -> float:
    begin = datetime.fromisoformat(session["started_at"])
    ended_at = session["ended_at"]
    end = datetime.now(UTC) if ended_at is None else datetime.fromisoformat(ended_at)
    return max(0.0, (end - begin).total_seconds() / 3600)


def _cell(value: object) -> object:
    """Return a value so that no spreadsheet takes the text of a stranger for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@\t\r")) else value
