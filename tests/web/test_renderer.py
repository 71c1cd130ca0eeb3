"""JSON on pages."""

from typing import Any

import pytest

from ocpp_addon.web import renderer


@pytest.mark.parametrize("value", [{"a": "<b>&\"'"}, "\ud800", ["x" * 30_000]])
def test_json_for_reading(value: Any) -> None:
    shown = renderer.pretty(value)
    assert "<" not in shown and len(shown) < 1.1 * renderer.LONGEST
    shown.encode()
