"""What all tests share."""

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A busy machine is slow at drawing and running examples; that is no finding.
settings.register_profile(
    "default",
    settings.get_profile("default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")

# Tests of one Home Assistant, browser or environment, which is started for all of them once.
TOGETHER = ("tests/home_assistant/", "tests/browser/", "tests/packaging/test_wheel.py")


class Scheduling(LoadScopeScheduling):
    """Hand out tests one by one, but what goes together to one worker, and first."""

    def _split_scope(self, nodeid: str) -> str:
        return next(filter(nodeid.startswith, TOGETHER), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)
