"""The short form of each scenario: what must not depend on the machine is asserted."""

from pathlib import Path

import pytest

from tests.fault.catalogue import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.number}-{one.name}")
async def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    report = await scenario.perform(tmp_path / "stage", short=True)
    print(report)
    assert not [figure for figure in report.broken if not figure.loose]
