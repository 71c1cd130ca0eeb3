"""Plots as images that are whole in themselves."""

import sys
import time
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from ocpp_addon.web import chart
from ocpp_addon.web.backend import Sample
from tests.web.conftest import Browser, FakeBackend

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize("count", [1, 2, 50, 5000])
def test_points_become_a_line(count: int) -> None:
    points = [(NOW - DAY * (count - number) / count, number / 10) for number in range(count)]
    drawn = chart.svg("kW", points, NOW - DAY, NOW, narrow=count == 50)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert len(drawn) < 40_000
    assert b"url(" not in drawn and b"href" not in drawn and b"@import" not in drawn


def test_times_are_those_of_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        drawn = chart.svg("kW", [(NOW, 1.0)], NOW - timedelta(hours=1), NOW).decode()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert ">17:15</text>" in drawn and ">11:15</text>" not in drawn


@pytest.mark.parametrize(
    ("most", "heights"),
    [
        (0.1, [0, 0.025, 0.05, 0.075, 0.1]),
        (3, [0, 0.75, 1.5, 2.25, 3]),
        (11.04, [0, 3, 6, 9, 12]),
        (22, [0, 7.5, 15, 22.5]),
        (99.9, [0, 25, 50, 75, 100]),
        (12345, [0, 4000, 8000, 12000, 16000]),
    ],
)
def test_heights_are_round(most: float, heights: list[float]) -> None:
    assert chart._heights(most) == heights


@pytest.mark.parametrize(
    ("span", "times"),
    [
        (DAY, ["12", "16", "20", "00", "04", "08", "12"]),
        (timedelta(minutes=7), ["53", "54", "55", "56", "57", "58", "59", "00"]),
        (timedelta(days=31), ["30", "04", "09", "14", "19", "24"]),
    ],
)
def test_times_are_full(span: timedelta, times: list[str]) -> None:
    pattern = {DAY: "%H", timedelta(days=31): "%d"}.get(span, "%M")
    found = chart._times(NOW - span, NOW, 7, UTC)
    assert [datetime.fromtimestamp(at, UTC).strftime(pattern) for at in found] == times


def test_no_time_is_too_short_or_too_long() -> None:
    assert len(chart._times(NOW, NOW, 6, None)) <= 6
    assert len(chart._times(NOW.replace(year=2000), NOW.replace(year=9000), 6, None)) <= 7


def test_peaks_outlive_the_thinning() -> None:
    points = [(NOW + timedelta(seconds=number), float(number == 1234)) for number in range(4000)]
    assert max(value for _, value in chart._thinned(points)) == 1


def test_the_import_system_is_left_alone() -> None:
    assert not [one for one in sys.meta_path if "pygal" in type(one).__module__]


async def test_plots_are_told_in_words(browser: Browser, backend: FakeBackend) -> None:
    now = datetime.now(UTC)
    url = f"{browser.base}/charger?id=RDAM%20123"
    for last, told in ((7360, "now 7.36 kW, at most 11.04 kW"), (None, ">at most 11.04 kW")):
        backend.measured = [
            Sample(now - timedelta(hours=1), 11040, 100_000),
            Sample(now, last, 103_000),
        ]
        async with browser.session.get(url, headers={"Accept": "text/html"}) as response:
            text = await response.text()
        assert told in text and ">3.00 kWh<" in text


async def test_plots_are_served(browser: Browser, backend: FakeBackend) -> None:
    now = datetime.now(UTC)
    backend.measured = [
        Sample(now - timedelta(hours=2), 0, 100_000),
        Sample(now - timedelta(hours=1), 7360, 103_000),
    ]
    url = f"{browser.base}/chart.svg?charger=RDAM%20123&what="
    for what, top in (("power", "8 kW"), ("energy", "3 kWh")):
        async with browser.session.get(url + what) as response:
            assert (response.status, response.content_type) == (200, "image/svg+xml")
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert top in await response.text()
    for query, code in (
        ("size", "bad_plot"),
        ("power&since=yesterday", "bad_time"),
        ("power&until=0001-01-01", "bad_time"),
        ("power&since=0001-01-01T00:00:00%2B05:00", "bad_time"),
    ):
        answer = await browser.ask("GET", f"/chart.svg?charger=RDAM%20123&what={query}")
        assert (answer.status, answer.code) == (400, code)
    hour = "power&since=2026-11-01T00:00:00Z&until=2026-11-01T01:00:00Z&offset="
    for offset, clock in (("-210", "20:45"), ("0", "00:15")):  # of Newfoundland in winter
        async with browser.session.get(url + hour + offset) as response:
            assert f">{clock}</text>" in await response.text()
    day = "power&since=2026-11-01T00:00:00Z&until=2026-11-05T00:00:00"
    async with browser.session.get(url + day) as response:
        assert "2026-11-03" in await response.text()
