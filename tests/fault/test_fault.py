"""The short form of each scenario: what must not depend on the machine is asserted."""

from pathlib import Path

import pytest

from tests.fault.catalogue import SCENARIOS, Scenario


def _name(scenario: Scenario) -> str:
    return f"{scenario.number}-{scenario.name}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
async def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    report = await scenario.perform(tmp_path, short=True)
    print(report)
    assert not [figure for figure in report.broken if not figure.loose]
