"""What people read instead of stamps, figures and the words of OCPP."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from markupsafe import Markup

DASH = "\N{EN DASH}"

_STATUSES = {
    "Preparing": "Plugged in",
    "SuspendedEV": "Paused by the car",
    "SuspendedEVSE": "Paused by the charger",
    "Finishing": "Finished",
    "Unavailable": "Out of service",
    "Faulted": "Fault",
    "Other": "Unknown state",
}
# Why sessions ended; of 1.6, 2.0.1 and 2.1.
_REASONS = {
    "DeAuthorized": "Tag not allowed",
    "EVDisconnected": "Car unplugged",
    "HardReset": "Restart",
    "SoftReset": "Restart",
    "ImmediateReset": "Restart",
    "Local": "At the charger",
    "PowerLoss": "Power cut",
    "Remote": "Remotely",
    "StoppedByEV": "Stopped by the car",
    "UnlockCommand": "Plug unlocked",
}
_SPOKEN = re.compile(r"ocpp(\d(?:\.\d){1,2})", re.ASCII | re.IGNORECASE)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def status(word: str | None) -> str:
    """Return the status of a connector."""
    return _STATUSES.get(word, spaced(word)) if word else "Not reported yet"


def reason(word: str | None) -> str:
    """Return why a session ended."""
    return _REASONS.get(word, spaced(word)) if word else ""


def spaced(word: str) -> str:
    """Return a word of OCPP as several: GroundFailure becomes Ground failure."""
    if not word.isascii() or not word.isalpha():
        return word
    first, *others = _HUMP.split(word)
    return " ".join([first, *(one if one.isupper() else one.lower() for one in others)])


def spoken(subprotocols: Iterable[str]) -> str:
    """Return which versions of OCPP a charger offers."""
    return ", ".join(
        f"OCPP {match[1]}" if (match := _SPOKEN.fullmatch(name)) else name for name in subprotocols
    )


def amount(value: float | None, unit: str) -> str:
    """Return a figure in thousands of its unit where that reads better: 7.40 kW, 350 W."""
    if value is None:
        return DASH
    if abs(value) >= 1000 and unit in ("W", "Wh"):
        return f"{value / 1000:.2f} k{unit}"
    return f"{value:.0f} {unit}" if unit in ("W", "Wh") else f"{value:g} {unit}"


def moment(
    stamp: str | None, *, millis: bool = False, minutes: bool = False, beside: str | None = None
) -> Markup | str:
    """Return a time element; the page's script turns it into the reader's own time.

    `beside` is a time that stands next to it: its day is not told again.
    """
    if stamp is None:
        return "never"
    local, other = _local(stamp), _local(beside or "")
    if local is None:
        return stamp
    clock = f"{local:%H:%M}" if minutes else f"{local:%H:%M:%S}"
    clock += f".{local.microsecond // 1000:03d}" if millis else ""
    same_day = other is not None and local.date() == other.date()
    wishes = Markup(" data-millis") if millis else Markup(" data-minutes") if minutes else ""
    if beside:
        wishes = Markup('{} data-beside="{}"').format(wishes, beside)
    text = clock if same_day else f"{local:%Y-%m-%d} {clock}"
    return Markup('<time datetime="{}"{}>{}</time>').format(stamp, wishes, text)


def duration(begin: str | None, end: str | None = None) -> Markup | str:
    """Return how long something took; or has taken up to now, which the page's script counts on."""
    first = _local(begin or "")
    last = _local(end) if end else datetime.now().astimezone()
    if first is None or last is None:
        return ""
    text = elapsed((last - first).total_seconds())
    return text if end else Markup('<span data-since="{}">{}</span>').format(begin, text)


def local(stamp: str | None) -> str:
    """Return a time as a field for times takes it, in the zone of the gateway."""
    moment = _local(stamp or "")
    return f"{moment:%Y-%m-%dT%H:%M:%S}" if moment else ""


def zone_of(offset: str | None) -> timezone | None:
    """Return the zone of a reader, told as minutes east of UTC; None where it is not told."""
    try:
        return timezone(timedelta(minutes=int(offset))) if offset else None
    except (ValueError, OverflowError):
        return None


def elapsed(seconds: float) -> str:
    """Return a time as 1 h 05 min."""
    minutes = max(0, int(seconds // 60))
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _local(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp).astimezone()
    except (ValueError, OverflowError):
        return None
