"""The short form of each scenario: what must not depend on the machine is asserted."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.fault.catalogue import SCENARIOS, Scenario
from tests.fault.report import Report

AT_ONCE = 3  # most of their time is waiting

Reports = dict[str, "Future[Report]"]


def _name(scenario: Scenario) -> str:
    return f"{scenario.number}-{scenario.name}"


@pytest.fixture(scope="module")
def reports(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reports]:
    """Perform the scenarios that were asked for, some at a time."""
    names = {item.name for item in request.session.items}
    chosen = [one for one in SCENARIOS if f"test_scenario[{_name(one)}]" in names]

    def perform(one: Scenario) -> Report:
        folder = tmp_path_factory.getbasetemp() / "fault" / one.name
        return asyncio.run(one.perform(folder, short=True))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {one.number: pool.submit(perform, one) for one in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
def test_scenario(scenario: Scenario, reports: Reports) -> None:
    report = reports[scenario.number].result()
    print(report)
    assert not [figure for figure in report.broken if not figure.loose]
