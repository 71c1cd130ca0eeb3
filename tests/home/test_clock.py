"""When things happened, whatever a charger's clock shows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ocpp_addon.database import Database
from ocpp_addon.home.clock import Clocks
from ocpp_addon.home.journal import Journal
from ocpp_addon.text import utc
from tests.home.charger import Charger as WholeCharger
from tests.home.conftest import NOW, OpenCentral

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class Charger:
    """Messages with time stamps, and what is made of them."""

    def __init__(self, database: Database) -> None:
        self.clocks = Clocks(Journal(database))

    def says(self, stamp: datetime, now: datetime, **more: Any) -> datetime:
        payload = {"timestamp": utc(stamp), **more}
        self.clocks.hear("garage", payload, now)
        return self.clocks.moment("garage", payload, now)


@pytest.fixture
def charger(database: Database) -> Charger:
    return Charger(database)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-11-24T16:00:00Z", datetime(2026, 11, 24, 16, tzinfo=UTC)),
        ("2026-11-24T17:30:00.250+02", datetime(2026, 11, 24, 15, 30, 0, 250_000, UTC)),
        ("2026-11-24T16:00:00", datetime(2026, 11, 24, 16, tzinfo=UTC)),
        ("2026-11-24T17:00:30Z", NOW),
        ("2026-11-24T18:00:00", NOW),  # local time of a zone ahead of UTC
        ("1970-01-01T00:00:00Z", NOW),
        ("2099-01-01T00:00:00Z", NOW),
        ("9999-12-31T23:59:59Z", NOW),
        ("0001-01-01T00:00:00+02:00", NOW),
        ("yesterday", NOW),
        (17, NOW),
        (None, NOW),
    ],
)
def test_absurd_time_stamps_become_now(charger: Charger, stamp: object, expected: datetime) -> None:
    clocks, payload = charger.clocks, {"timestamp": stamp}
    clocks.hear("garage", payload, NOW)
    assert clocks.moment("garage", payload, NOW) == expected


@pytest.mark.parametrize("skew", [-8 * HOUR, 5 * HOUR, 400 * 24 * HOUR])
def test_a_wrong_clock_is_understood_after_two_messages(charger: Charger, skew: timedelta) -> None:
    for minute in range(4):
        now = NOW + minute * MINUTE
        at = charger.says(now - skew, now)
    assert at == now
    assert charger.says(now - skew - 10 * MINUTE, now) == now - 10 * MINUTE  # an older message


def test_a_queue_is_old_and_no_wrong_clock(charger: Charger) -> None:
    for second in range(120):  # a day in two minutes
        now, stamp = NOW + second * SECOND, NOW - 24 * HOUR + second * 12 * MINUTE
        assert charger.says(stamp, now) == stamp
    later = NOW + HOUR
    assert charger.says(later, later) == later


def test_the_newest_time_stamp_of_a_message_counts(charger: Charger) -> None:
    for minute in range(0, 60, 15):  # four samples of the last quarter each time
        now = NOW + minute * MINUTE
        values = [{"timestamp": utc(now - step * 5 * MINUTE)} for step in (3, 2, 1, 0)]
        charger.clocks.hear("garage", {"meterValue": values}, now)
    assert charger.clocks.moment("garage", values[0], now) == now - 15 * MINUTE


def test_a_clock_that_is_set_right_is_believed_at_once(charger: Charger) -> None:
    for minute in range(3):
        now = NOW + minute * MINUTE
        charger.says(now - HOUR, now)
    assert charger.says(now, now) == now
    assert charger.says(now - HOUR, now) == now - HOUR


def test_what_a_charger_marks_as_old_teaches_nothing(charger: Charger) -> None:
    for minute in range(4):
        now = NOW + minute * MINUTE
        assert charger.says(now - HOUR, now, offline=True) == now - HOUR


def test_a_clock_is_forgotten_and_clocks_are_bounded(
    charger: Charger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(3):
        now = NOW + minute * MINUTE
        charger.says(now - HOUR, now)
    assert charger.clocks.moment("garage", {"timestamp": utc(now - HOUR)}, now) == now
    monkeypatch.setattr("ocpp_addon.home.clock.CLOCK_LIMIT", 2)
    for other in ("yard", "roof"):
        charger.clocks.of(other)
    assert charger.clocks.moment("garage", {"timestamp": utc(now - HOUR)}, now) == now - HOUR


async def test_a_clock_is_known_after_a_restart_and_until_it_is_set_right(
    database: Database,
) -> None:
    async def restarted() -> Clocks:
        return await Clocks.open(database, journal)

    journal = Journal(database)
    clocks = await restarted()
    for minute in range(3):
        now = NOW + minute * MINUTE
        clocks.hear("garage", {"timestamp": utc(now - HOUR)}, now)
    await journal.flush()
    slow = {"timestamp": utc(now - HOUR)}
    clocks = await restarted()
    assert clocks.moment("garage", slow, now) == now
    clocks.hear("garage", {"timestamp": utc(now)}, now)
    await journal.flush()
    assert (await restarted()).moment("garage", slow, now) == now - HOUR


async def test_a_charger_with_a_wrong_clock_is_heard_at_once_after_a_restart(
    open_central: OpenCentral,
) -> None:
    def local(charger: WholeCharger) -> str:
        return utc(charger.now - 5 * HOUR).removesuffix("Z")

    charger = WholeCharger(await open_central())
    for status in ("Available", "Preparing", "Charging"):
        charger.wait(60)
        await charger.status(status, timestamp=local(charger))
    transaction = await charger.start(timestamp=local(charger))
    await charger.central.close()
    again = WholeCharger(await open_central())
    again.now = charger.now + HOUR
    await again.stop(transaction, meterStop=7000, timestamp=local(again))
    await again.status("Available", timestamp=local(again))
    assert again.state()["status"] == "Available"
    assert again.state()["session_duration"] == 60.0
