"""The pure protocol: F24."""

import asyncio
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fault.report import Report
from tests.ocpp.test_session import Conversation


async def conversation(folder: Path, *, runs: int) -> Report:
    """F24: whatever comes in whatever order, one Call is outstanding and one outcome a command."""
    report = Report()
    chosen = settings(
        max_examples=runs,
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    wrong = "none"
    try:
        await asyncio.to_thread(run_state_machine_as_test, Conversation, settings=chosen)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"[:100]
    report.note("conversations", runs)
    report.equal("contradictions", wrong, "none")
    return report
