"""The MQTT side: topics, payloads, the broker connection and the outbox that survives it."""
