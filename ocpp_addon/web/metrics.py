"""The figures of the gateway and its chargers for Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from ocpp_addon.web.backend import Backend

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS = (
    ("takeovers", "Connections that a newer one of the same charger replaced."),
    ("dropped", "Messages that were given up because too many waited."),
)
# Of a connector, where it is known: field, name, meaning.
_READINGS = (
    ("power", "power_watts", "Power that a connector delivers."),
    ("energy_wh", "energy_wh", "Energy that a connector has delivered so far."),
    ("current_limit", "current_limit_amperes", "Current that a connector may deliver."),
)


class Metrics(Collector):
    """Collect the figures anew each time that they are asked for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment."""
        yield from self._of_gateway()
        yield from self._of_chargers()

    def _of_gateway(self) -> Iterator[Metric]:
        health = self._backend.health()
        yield _gauge("healthy", "Whether nothing needs a person.", health["status"] == "ok")
        connected = health["broker"] == "connected"
        yield _gauge("broker_connected", "Whether the MQTT broker is there.", connected)
        chargers = GaugeMetricFamily("ocpp_chargers", "How many chargers there are.", None, ["is"])
        for kind, count in health["chargers"].items():
            chargers.add_metric([kind], count)
        yield chargers
        outbox = health["outbox"]
        yield _gauge("outbox_messages", "Messages that wait for the broker.", outbox["stored"])
        yield _gauge("outbox_set_aside", "Messages that no broker took.", outbox["set_aside"])
        counts = {"takeovers": health["takeovers"], "dropped": outbox["dropped"]}
        for name, meaning in _COUNTERS:
            yield CounterMetricFamily(f"ocpp_{name}", meaning, counts[name])

    def _of_chargers(self) -> Iterator[Metric]:
        chargers = self._backend.chargers()
        connected = GaugeMetricFamily(
            "ocpp_charger_connected", "Whether a charger is connected.", None, ["charger"]
        )
        for charger in chargers:
            connected.add_metric([charger["id"]], charger["connected"])
        yield connected
        for field, name, meaning in _READINGS:
            readings = GaugeMetricFamily(
                f"ocpp_connector_{name}", meaning, None, ["charger", "connector"]
            )
            for charger in chargers:
                for connector in charger["connectors"]:
                    if (value := connector.get(field)) is not None:
                        readings.add_metric([charger["id"], str(connector["connector"])], value)
            yield readings


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ocpp_{name}", meaning, value)
