"""The figures as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from ocpp_addon.web.metrics import Metrics
from tests.web.conftest import Browser, FakeBackend


def figures(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_they_are_served(browser: Browser) -> None:
    async with browser.session.get(browser.base + "/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        found = figures(await response.text())
    assert found["ocpp_healthy", ()] == 1
    assert found["ocpp_broker_connected", ()] == 1
    assert found["ocpp_chargers", ("known",)] == 1
    assert found["ocpp_takeovers_total", ()] == 0
    assert found["ocpp_charger_connected", ("RDAM 123",)] == 1
    assert found["ocpp_connector_power_watts", ("RDAM 123", "1")] == 7360
    assert found["ocpp_connector_energy_wh", ("RDAM 123", "1")] == 123456
    assert found["ocpp_connector_current_limit_amperes", ("RDAM 123", "1")] == 16


def test_odd_ids_are_escaped_and_change_with_the_gateway() -> None:
    backend = FakeBackend(status="degraded", known={'a"b\\c\n'}, online=set())
    found = figures(Metrics(backend).text().decode())
    assert found["ocpp_healthy", ()] == 0
    assert found["ocpp_charger_connected", ('a"b\\c\n',)] == 0
