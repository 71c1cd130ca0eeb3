"""What somebody outside may write into the log."""

import logging

import pytest

from ocpp_addon.endpoint.lines import Lines


async def test_a_few_lines_about_somebody_and_then_one_that_more_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    lines = Lines(logging.getLogger("x"), 3, 60, 10)
    for number in range(100):
        lines.add("CP\n1", logging.INFO, "line %d", number)
    lines.add("CP2", logging.WARNING, "another")
    assert caplog.messages == [
        "line 0",
        "line 1",
        "line 2",
        "CP\\n1: more lines are left out for 60 s",
        "another",
    ]


async def test_new_names_bring_no_new_lines_where_all_are_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = Lines(logging.getLogger("x"), 2, 60, 1, "Strangers")
    for number in range(100):
        lines.add(f"CP{number}", logging.WARNING, "line %d", number)
    assert caplog.messages == ["line 0", "line 1", "Strangers: more lines are left out for 60 s"]


async def test_after_the_window_there_are_lines_again(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines(logging.getLogger("x"), 1, 0, 10)
    for number in range(2):
        lines.add("CP1", logging.ERROR, "line %d", number)
    assert [text for text in caplog.messages if "left out" not in text] == ["line 0", "line 1"]


async def test_how_many_are_remembered_is_bounded() -> None:
    lines = Lines(logging.getLogger("x"), 1, 60, 10)
    for number in range(100):
        lines.add(str(number), logging.DEBUG, "line")
    assert len(lines._counts) == 10
