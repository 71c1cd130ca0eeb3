"""The HTTP API: it knows neither sockets of chargers nor MQTT, only what a Backend offers."""
