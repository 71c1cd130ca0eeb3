"""The last frames of a charger."""

from datetime import UTC, datetime

from ocpp_addon.endpoint.history import LONGEST_ACTION, History
from ocpp_addon.ocpp.messages import Call, CallResult

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def test_an_answer_knows_its_call_however_long_the_action_is() -> None:
    history = History()
    action = "x" * 100_000
    asked = history.add(NOW, 1.0, "received", "too long", Call("1", action, {}))
    answered = history.add(NOW, 1.5, "sent", "short", CallResult("1", {}))
    assert (asked.asked, answered.asked) == (None, action[:LONGEST_ACTION])
    assert answered.latency == 0.5
