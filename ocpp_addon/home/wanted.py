"""Settings that people want of a charger, written when somebody asks and where they differ.

Some chargers write their flash at each write, wear it out or reboot: what is there is read first.
"""

from ocpp_addon.home import settings
from ocpp_addon.home.questions import GOOD, Questions, refusal
from ocpp_addon.home.settings import KEEPALIVE, MEASURANDS, METER_INTERVAL, Setting
from ocpp_addon.ocpp.version import Version

WANTED_MEASURANDS = (
    "Energy.Active.Import.Register",
    "Power.Active.Import",
    "Current.Import",
    "Voltage",
    "SoC",
)


def meter_values(version: Version, seconds: int) -> Questions[None]:
    """Have the charger report its meter every so many seconds while it charges."""
    found = yield from settings.read(version, (METER_INTERVAL, MEASURANDS))
    yield from _number(version, METER_INTERVAL, seconds, found, "change its meter interval")
    yield from _measurands(version, found.get(MEASURANDS))


def keepalive(version: Version, seconds: int) -> Questions[None]:
    """Have the charger ping every so many seconds, so that it notices a lost connection itself."""
    found = yield from settings.read(version, (KEEPALIVE,))
    yield from _number(version, KEEPALIVE, seconds, found, "change its ping interval")


def _number(
    version: Version, setting: Setting, value: int, found: dict[Setting, str], what: str
) -> Questions[None]:
    if found.get(setting) == str(value):
        return
    answer = yield from settings.write(version, setting, str(value))
    if answer not in GOOD:
        raise refusal(what, answer)


def _measurands(version: Version, known: str | None) -> Questions[None]:
    """Add the wanted measurands to those that are reported; the charger's own stay.

    Many chargers refuse a list as a whole for one item that they do not have: then each is tried.
    """
    present = settings.words(known or "")
    missing = [one for one in WANTED_MEASURANDS if not _is_in(one, present)]
    if not missing:
        return
    answer = yield from settings.write(version, MEASURANDS, ",".join([*present, *missing]))
    if answer in GOOD:
        return
    accepted, refused = present, answer
    for one in missing:
        answer = yield from settings.write(version, MEASURANDS, ",".join([*accepted, one]))
        if answer in GOOD:
            accepted = [*accepted, one]
    if not accepted:
        raise refusal("report more of its meter", refused)


def _is_in(measurand: str, present: list[str]) -> bool:
    """Tell whether a measurand is reported, for all phases or for one by one."""
    return any(
        one.lower() == measurand.lower() or one.lower().startswith(f"{measurand.lower()}.l")
        for one in present
    )
