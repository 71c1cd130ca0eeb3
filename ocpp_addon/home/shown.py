"""What is shown of a connector: its retained state on MQTT, and its entry in the API; pure."""

from datetime import datetime
from typing import Any

from ocpp_addon.home.connector import ConnectorState
from ocpp_addon.text import utc


def public_state(state: ConnectorState, now: datetime) -> dict[str, Any]:
    """Return the retained state; only what is known."""
    told: dict[str, Any] = {"status": state.status}
    if state.status is not None:
        faulted = "OtherError" if state.status == "Faulted" else "NoError"
        told["error"] = state.error or faulted
        told["error_info"] = state.error_info
        told["available"] = state.status != "Unavailable"
    told |= state.values
    told["energy"] = _kwh(state.energy.shown)
    if state.number > 0:
        told["plugged_in"] = state.plugged_in
        told["charging"] = state.charging
        told["current_limit"] = state.current_limit
        told |= _session(state, now)
    else:
        told["failure"] = state.failure
    return {key: value for key, value in told.items() if value is not None}


def api_item(state: ConnectorState) -> dict[str, Any]:
    """Return the entry in the API."""
    return {
        "connector": state.number,
        "evse": state.number if state.evse and state.number else None,
        "status": state.status,
        "error": state.error,
        "info": state.error_info,
        "updated": _written(state.status_at or state.sampled_at),
        "plugged_in": state.plugged_in,
        "charging": state.charging if state.number else None,
        "power": state.values.get("power"),
        "energy_wh": _rounded(state.energy.shown),
        "current_limit": state.current_limit,
        "session": None
        if state.run is None
        else {
            "transaction_id": state.run.transaction_id,
            "tag": state.run.tag,
            "started_at": utc(state.run.started_at),
            "energy_wh": _rounded(state.energy_of_session),
        },
    }


def _session(state: ConnectorState, now: datetime) -> dict[str, Any]:
    told: dict[str, Any] = {"session_active": state.run is not None}
    if state.session_started is None:
        return told
    until = state.session_ended or max(now, state.session_started)
    minutes = (until - state.session_started).total_seconds() / 60
    return told | {
        "session_started": utc(state.session_started),
        "session_ended": _written(state.session_ended),
        "session_duration": round(minutes, 1),
        "session_energy": _kwh(state.energy_of_session),
        "transaction_id": state.run.transaction_id if state.run else None,
        "id_tag": state.tag,
        "stop_reason": state.stop_reason,
    }


def _written(moment: datetime | None) -> str | None:
    return utc(moment) if moment else None


def _kwh(energy: float | None) -> float | None:
    return None if energy is None else round(energy / 1000, 3)


def _rounded(energy: float | None) -> int | None:
    return None if energy is None else round(energy)
