"""Sessions: which are asked for, their totals, and as a spreadsheet."""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ocpp_addon.web import sessions
from ocpp_addon.web.backend import Refused, SessionChoice
from tests.web.conftest import SESSION, Browser, FakeBackend

RUNNING: dict[str, Any] = SESSION | {"ended_at": None, "energy_wh": None, "reason": None}


def test_a_month_is_one_of_where_the_gateway_runs() -> None:
    december = sessions.choice({"month": "2026-12", "charger": "a", "tag": ""})
    assert december == SessionChoice(
        "a", None, datetime(2026, 12, 1).astimezone(), datetime(2027, 1, 1).astimezone()
    )
    assert sessions.choice({}) == SessionChoice()


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "26-01", "now", "9999-12", "٢٠٢٦-01"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(Refused, match="2026-11"):
        sessions.choice({"month": month})


def test_totals() -> None:
    assert sessions.totals([]) == sessions.Totals(0, 0, 0)
    assert sessions.totals([SESSION, SESSION]) == sessions.Totals(2, 24690, 5)


@pytest.mark.parametrize(("began", "hours"), [(1.5, 1.5), (-2, 0)])  # its clock may be ahead
def test_a_session_that_runs_counts_up_to_now(began: float, hours: float) -> None:
    started_at = (datetime.now(UTC) - timedelta(hours=began)).isoformat()
    running = RUNNING | {"started_at": started_at}
    assert sessions.totals([SESSION, running]) == sessions.Totals(2, 12345, 2.5 + hours)


def test_a_spreadsheet_reads_it_and_runs_nothing_of_it() -> None:
    evil = SESSION | {"tag": "=HYPERLINK(1)", "charger": '@a",\nb', "reason": "-1"}
    text = sessions.as_csv([SESSION, RUNNING, evil])
    first, running, last = csv.DictReader(text.splitlines(keepends=True))
    assert first == {key: str(value) for key, value in SESSION.items()}
    assert (running["energy_wh"], running["reason"], running["ended_at"]) == ("", "", "")
    assert (last["tag"], last["charger"], last["reason"]) == (
        "'=HYPERLINK(1)",
        "'@a\",\nb",
        "'-1",
    )


async def test_they_are_served_as_a_file(browser: Browser, backend: FakeBackend) -> None:
    url = f"{browser.base}/api/sessions?format=csv&charger=RDAM%20123&tag=card&month=2026-11"
    async with browser.session.get(url) as response:
        assert response.content_type == "text/csv"
        assert response.headers["Content-Disposition"] == 'attachment; filename="sessions.csv"'
        assert (await response.text()).splitlines()[0] == ",".join(sessions.COLUMNS)
    (_, asked), *_ = backend.asked
    assert (asked.charger, asked.tag) == ("RDAM 123", "card")
    for query in ("format=xml", "month=2026"):
        assert (await browser.ask("GET", f"/api/sessions?{query}")).status == 400
