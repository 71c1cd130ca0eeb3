"""The pure protocol: F24."""

import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fault.report import Report
from tests.ocpp.test_session import Conversation


async def conversation(folder: Path, *, runs: int) -> Report:
    """F24: whatever comes in whatever order, one Call is outstanding and one outcome a command."""
    report = Report()
    # Scenarios beside this one draw from `random`, which Hypothesis takes for an impure strategy
    # of its own: it needs a process for itself.
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        wrong = await asyncio.get_running_loop().run_in_executor(process, _contradiction, runs)
    report.note("conversations", runs)
    report.equal("contradictions", wrong, "none")
    return report


def _contradiction(runs: int) -> str:
    chosen = settings(
        max_examples=runs,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Conversation, settings=chosen)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:100]
    return "none"
