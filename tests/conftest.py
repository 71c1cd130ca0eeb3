"""What all tests share."""

from hypothesis import HealthCheck, settings

# A busy machine is slow at drawing and running examples; that is no finding.
settings.register_profile(
    "default",
    settings.get_profile("default"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")
