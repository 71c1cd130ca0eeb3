"""The entities of a charger in Home Assistant: which there are, and what each is called; pure.

Each stands on a key of a connector's state, or gives an order. An entity appears once its charger
has shown that it has the value, and keeps its id for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ocpp_addon.home.connector import STATUSES

Platform = Literal["binary_sensor", "button", "event", "number", "sensor", "switch", "tag"]
CONNECTED = "connected"  # not in the state: told by the presence
ANYTHING = "anything"  # not in the state: shown by whatever the charger has told
DIAGNOSTIC = {"entity_category": "diagnostic"}
CONFIG = {"entity_category": "config"}
SESSION_EVENTS = ("session_started", "session_ended")
COMMAND_FAILED = "command_failed"


@dataclass(frozen=True)
class Entity:
    """One entity of a connector, or of the charger itself.

    It appears with the key `shown_by` of the state. `key` is the last part of its id, and never
    moves to another platform; `order` is the key under which it gives orders, if it does. `always`
    tells that it is of use while the charger is away.
    """

    key: str
    platform: Platform
    name: str
    shown_by: str
    options: dict[str, Any] = field(default_factory=dict)
    order: str | None = None
    always: bool = False


def _value(key: str, absent: str = "None") -> str:
    """Return the template for a value of the state; Home Assistant takes None for unknown."""
    return f"{{{{ value_json.{key} | default('{absent}') }}}}"


def _sensor(key: str, name: str, **options: Any) -> Entity:
    return Entity(key, "sensor", name, key, {"value_template": _value(key), **options})


def _measured(
    key: str, name: str, unit: str, device_class: str | None, precision: int, **options: Any
) -> Entity:
    described: dict[str, Any] = {"unit_of_measurement": unit, "state_class": "measurement"}
    if device_class is not None:
        described["device_class"] = device_class
    return _sensor(key, name, **described, suggested_display_precision=precision, **options)


def _counted(key: str, name: str, unit: str = "kWh", **options: Any) -> Entity:
    described: dict[str, Any] = {"unit_of_measurement": unit, "state_class": "total_increasing"}
    described |= {"device_class": "energy"} if unit == "kWh" else {"icon": "mdi:flash-outline"}
    return _sensor(key, name, **described, suggested_display_precision=2, **options)


def _of_interval(key: str, name: str, unit: str = "kWh") -> Entity:
    """Describe what was counted since the last time: of no use for statistics."""
    described = {"device_class": "energy"} if unit == "kWh" else {"icon": "mdi:flash-outline"}
    return _sensor(key, name, unit_of_measurement=unit, **described, **DIAGNOSTIC)


def _yes_no(key: str, name: str, device_class: str) -> Entity:
    options = {
        "value_template": _value(key),
        "payload_on": "True",
        "payload_off": "False",
        "device_class": device_class,
    }
    return Entity(key, "binary_sensor", name, key, options)


def _switch(order: str, name: str, state: str, icon: str) -> Entity:
    options = {
        "value_template": _value(state),
        "state_on": "True",
        "state_off": "False",
        "payload_on": "ON",
        "payload_off": "OFF",
        "icon": icon,
    }
    return Entity(f"set_{order}", "switch", name, state, options, order)


def _button(order: str, name: str, shown_by: str, **options: Any) -> Entity:
    described = {"payload_press": "PRESS", **options}
    return Entity(f"set_{order}", "button", name, shown_by, described, order)


def _lasting(key: str, name: str, shown_by: str, absent: str = "None", **options: Any) -> Entity:
    """Describe what is of use while the charger is away; `absent` stands where nothing is told."""
    template = {"value_template": _value(key, absent)}
    return Entity(key, "sensor", name, shown_by, {**template, **options, **DIAGNOSTIC}, always=True)


_PHASES = {"l1": "L1", "l2": "L2", "l3": "L3", "n": "N"}
_BETWEEN = {"l1_l2": "L1-L2", "l2_l3": "L2-L3", "l3_l1": "L3-L1"}


def _by_phase(key: str, name: str, unit: str, device_class: str, **options: Any) -> list[Entity]:
    lines = _PHASES | _BETWEEN if device_class == "voltage" else _PHASES
    whole = _measured(key, name, unit, device_class, 1, **options)
    parts = [
        _measured(f"{key}_{line}", f"{name} {words}", unit, device_class, 1, **options)
        for line, words in lines.items()
    ]
    return [whole, *parts]


# What a meter tells; a charger itself may have one, beside those of its connectors.
METER = (
    _counted("energy", "Energy"),
    _counted("energy_exported", "Energy exported"),
    _measured("power", "Power", "W", "power", 0),
    _measured("power_exported", "Power exported", "W", "power", 0),
    _measured("power_offered", "Power offered", "W", "power", 0, **DIAGNOSTIC),
    *_by_phase("current", "Current", "A", "current"),
    *_by_phase("current_exported", "Current exported", "A", "current"),
    _measured("current_offered", "Current offered", "A", "current", 1, **DIAGNOSTIC),
    *_by_phase("voltage", "Voltage", "V", "voltage"),
    _measured("frequency", "Frequency", "Hz", "frequency", 2, **DIAGNOSTIC),
    _sensor(
        "power_factor",
        "Power factor",
        device_class="power_factor",
        state_class="measurement",
        suggested_display_precision=2,
        **DIAGNOSTIC,
    ),
    _measured("reactive_power_imported", "Reactive power", "var", "reactive_power", 0),
    _measured("reactive_power_exported", "Reactive power exported", "var", "reactive_power", 0),
    _counted("reactive_energy_imported", "Reactive energy", "kvarh"),
    _counted("reactive_energy_exported", "Reactive energy exported", "kvarh"),
    _of_interval("energy_interval", "Energy of the interval"),
    _of_interval("energy_exported_interval", "Energy exported in the interval"),
    _of_interval("reactive_energy_imported_interval", "Reactive energy of the interval", "kvarh"),
    _of_interval(
        "reactive_energy_exported_interval", "Reactive energy exported in the interval", "kvarh"
    ),
    _measured("temperature", "Temperature", "°C", "temperature", 1, **DIAGNOSTIC),
    _measured("rpm", "Fan speed", "rpm", None, 0, icon="mdi:fan", **DIAGNOSTIC),
)

_STATUS = _sensor(
    "status", "Status", device_class="enum", options=list(STATUSES), icon="mdi:ev-station"
)
_TROUBLE = (
    _sensor("error", "Error", icon="mdi:alert-circle-outline", **DIAGNOSTIC),
    _sensor("error_info", "Error details", icon="mdi:alert-circle-outline", **DIAGNOSTIC),
)

OF_CONNECTOR = (
    _STATUS,
    *_TROUBLE,
    _yes_no("plugged_in", "Plugged in", "plug"),
    _yes_no("charging", "Charging", "battery_charging"),
    *METER,
    _measured("soc", "State of charge", "%", "battery", 0),
    _counted("session_energy", "Session energy"),
    _measured("session_duration", "Session duration", "min", "duration", 0),
    _sensor("session_started", "Session started", device_class="timestamp"),
    _sensor("session_ended", "Session ended", device_class="timestamp"),
    _sensor("transaction_id", "Transaction", icon="mdi:identifier", **DIAGNOSTIC),
    _sensor("id_tag", "Tag", icon="mdi:card-account-details-outline"),
    _sensor("stop_reason", "Stop reason", icon="mdi:stop-circle-outline", **DIAGNOSTIC),
    Entity(
        "session",
        "event",
        "Session",
        "status",
        {"event_types": list(SESSION_EVENTS), "icon": "mdi:battery-clock-outline"},
    ),
    _switch("charging", "Charge", "session_active", "mdi:ev-plug-type2"),
    _switch("available", "Available", "available", "mdi:check-network-outline"),
    Entity(
        "set_current_limit",
        "number",
        "Current limit",
        "status",
        {
            "value_template": _value("current_limit"),
            "min": 0,
            "max": 80,
            "step": 1,
            "mode": "box",
            "unit_of_measurement": "A",
            "device_class": "current",
            "icon": "mdi:speedometer",
        },
        "current_limit",
    ),
    _button("unlock", "Unlock", "status", icon="mdi:lock-open-variant-outline"),
)

OF_CHARGER = (
    Entity(
        CONNECTED,
        "binary_sensor",
        "Connected",
        CONNECTED,
        {
            "payload_on": "online",
            "payload_off": "offline",
            "device_class": "connectivity",
            **DIAGNOSTIC,
        },
        always=True,
    ),
    _STATUS,
    *_TROUBLE,
    *METER,
    _lasting("firmware", "Firmware", "firmware", icon="mdi:chip"),
    _lasting("last_seen", "Last seen", "last_seen", device_class="timestamp"),
    _lasting("failure", "Last command", CONNECTED, absent="OK", icon="mdi:message-alert-outline"),
    Entity(
        "command",
        "event",
        "Command",
        CONNECTED,
        {"event_types": [COMMAND_FAILED], "icon": "mdi:message-alert-outline", **DIAGNOSTIC},
        always=True,
    ),
    Entity("tag", "tag", "Tag", ANYTHING, {"value_template": "{{ value_json.tag }}"}),
    _switch("available", "Available", "available", "mdi:check-network-outline"),
    _button("restart", "Restart", ANYTHING, device_class="restart", **CONFIG),
    _button("refresh", "Refresh", ANYTHING, icon="mdi:refresh", **DIAGNOSTIC),
    _button(
        "meter_values",
        "Report meter every minute",
        ANYTHING,
        icon="mdi:meter-electric-outline",
        **CONFIG,
    ),
    _button("keepalive", "Keep connection alive", ANYTHING, icon="mdi:lan-connect", **CONFIG),
)
# Of these a charger has one whatever its connectors have; the others share their names.
_OWN = frozenset(one.key for one in OF_CHARGER) - {one.key for one in OF_CONNECTOR}


_BY_KEY = [{one.key: one for one in every} for every in (OF_CHARGER, OF_CONNECTOR)]
_PLACES = [{key: place for place, key in enumerate(known)} for known in _BY_KEY]


def of(connector: int) -> tuple[Entity, ...]:
    """Return every entity that a connector can have; 0 is the charger itself."""
    return OF_CONNECTOR if connector else OF_CHARGER


def find(connector: int, key: str) -> Entity | None:
    """Return an entity by its key."""
    return _BY_KEY[connector > 0].get(key)


def place(connector: int, key: str) -> int:
    """Return where an entity stands among those of a connector; what is unknown stands last."""
    return _PLACES[connector > 0].get(key, len(of(connector)))


def shown(connector: int, keys: Iterable[str]) -> list[Entity]:
    """Return the entities that a state with these keys brings about."""
    known = {*keys, CONNECTED} if connector == 0 else set(keys)
    return [one for one in of(connector) if one.shown_by in known]


def called(entity: Entity, connector: int, *, alone: bool) -> str:
    """Return the name of an entity beside those of other connectors."""
    name = entity.name
    if connector == 0:
        owner = None if entity.key in _OWN else "Charger"
    else:
        owner = None if alone else f"Connector {connector}"
    return name if owner is None else f"{owner} {name[0].lower()}{name[1:]}"
