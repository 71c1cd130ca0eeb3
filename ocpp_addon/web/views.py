"""What each page is told of events: parts of itself made anew, or to load itself again."""

from typing import Any

from ocpp_addon.web.backend import Backend
from ocpp_addon.web.frames import shown
from ocpp_addon.web.live import Event, View
from ocpp_addon.web.renderer import Renderer, mark

ATTEMPTS_SHOWN = 50

RELOAD: Event = {"event": "reload"}
# Messages after which a page has to be loaded again.
_ABOUT_SESSIONS = frozenset(
    {"Authorize", "StartTransaction", "StopTransaction", "TransactionEvent"}
)
_ABOUT_CHARGER = _ABOUT_SESSIONS | {"NotifyReport"}


def views(renderer: Renderer, backend: Backend) -> dict[str, View]:
    """Return the views by name."""

    def parts(**macros: object) -> Event:
        made = (renderer.part("parts.html", name, of) for name, of in macros.items())
        return {"event": "html", "html": "".join(made)}

    def overview(event: Event, charger_id: str | None) -> Event | None:
        match event:
            case {"event": "charger", "charger": charger}:
                return parts(card=charger)
            case {"event": "health", "health": health}:
                return parts(health=health)
            case {"event": "forgotten"}:
                return RELOAD
        return None

    def connect(event: Event, charger_id: str | None) -> Event | None:
        match event:
            case {"event": "attempts"}:
                return parts(attempts=backend.attempts()[:ATTEMPTS_SHOWN])
            case {"event": "charger", "charger": {"approval": "pending"} as charger}:
                return parts(card=charger)
            case {"event": "charger", "charger": charger}:  # it waits no longer
                return {"event": "gone", "id": f"card-{mark(charger['id'])}"}
            case {"event": "forgotten"}:
                return RELOAD
        return None

    def charger(event: Event, charger_id: str | None) -> Event | None:
        match event:
            case {"event": "charger", "charger": charger}:
                return parts(state=charger, standing=charger)
            case {"event": "forgotten"}:
                return RELOAD
            case {"event": "message", "message": message}:
                return RELOAD if message.get("action") in _ABOUT_CHARGER else None
        return event if event == RELOAD else None

    def messages(event: Event, charger_id: str | None) -> Event | None:
        if event["event"] == "charger":
            return parts(standing=event["charger"])
        if event["event"] != "message":
            return event if event == RELOAD else None
        row = renderer.part("parts.html", "frame", event["charger"], shown(event["message"]))
        return {"event": "frame", "html": row}

    def sessions(event: Event, charger_id: str | None) -> Event | None:
        if event == RELOAD:
            return event
        message: dict[str, Any] = event.get("message", {})
        return RELOAD if message.get("action") in _ABOUT_SESSIONS else None

    return {
        "overview": View(overview),
        "connect": View(connect),
        "charger": View(charger, dialogue=True),
        "messages": View(messages, dialogue=True),
        "sessions": View(sessions, dialogue=True),
    }
