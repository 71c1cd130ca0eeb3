"""Read the timestamps that chargers send, by a rule more tolerant than ISO 8601."""

import re
from datetime import UTC, datetime, timedelta, timezone

_TIMESTAMP = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\s*(?:([Zz])|([+-])(\d\d):?(\d\d)?)?\s*",
    re.ASCII,
)


def read_timestamp(text: object) -> datetime | None:
    """Return the moment that `text` names, naive if it names no zone; None if it names none.

    Blank or `T` between date and time, a comma before the fraction, missing seconds and offsets
    such as `+02` are let through (OCPP 1.6 3.14, 3.15 and what the field adds to them).
    """
    found = _TIMESTAMP.fullmatch(text) if isinstance(text, str) and len(text) <= 64 else None
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zulu, sign, off_hours, off_minutes = (
        found.groups()
    )
    microsecond = int((fraction or "0")[:6].ljust(6, "0"))
    zone: timezone | None = UTC if zulu else None
    try:
        if sign:
            offset = timedelta(hours=int(off_hours), minutes=int(off_minutes or 0))
            zone = timezone(-offset if sign == "-" else offset)
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            min(int(second or 0), 59),  # a leap second is no reason to refuse
            microsecond,
            zone,
        )
    except ValueError:
        return None
