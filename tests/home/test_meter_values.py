"""A corpus of meter values as chargers in the field send them, and what people should see.

Each shape is named after the charger or the quirk that it stands for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from ocpp_addon.home.central import CentralSystem
from ocpp_addon.ocpp.messages import Payload
from ocpp_addon.ocpp.version import V16, V21, V201, Version
from ocpp_addon.text import utc
from tests.home.charger import Charger
from tests.home.conftest import NOW


def value(value: object, measurand: str | None = None, unit: str | None = None, **more: Any) -> Any:
    """Return a sampled value of OCPP 1.6."""
    told = {"value": value, "measurand": measurand, "unit": unit} | more
    return {key: one for key, one in told.items() if one is not None}


def value2(value: object, measurand: str | None = None, unit: str = "", power: int = 0) -> Any:
    """Return a sampled value of OCPP 2.x."""
    measure = {"unit": unit, "multiplier": power} if unit or power else None
    told = {"value": value, "measurand": measurand, "unitOfMeasure": measure}
    return {key: one for key, one in told.items() if one is not None}


def moment(*values: Any, ago: float | str | None = 0) -> Payload:
    """Return one element of `meterValue`, some seconds old or with a time stamp as it is."""
    stamp = utc(NOW - timedelta(seconds=ago)) if isinstance(ago, int | float) else ago
    told = {"timestamp": stamp, "sampledValue": list(values)}
    return {key: one for key, one in told.items() if one is not None}


@dataclass(frozen=True)
class Shape:
    """One MeterValues and the state that it leads to; `none` names what must not be known."""

    name: str
    values: Any
    shown: Mapping[str, Any]
    none: tuple[str, ...] = ()
    version: Version = V16
    connector: int = 1
    more: Payload = field(default_factory=dict)


REGISTER = "Energy.Active.Import.Register"
POWER = "Power.Active.Import"
CURRENT = "Current.Import"

SHAPES = [
    Shape(
        "specification 4.7: nothing but a value is the register in Wh",
        [moment(value("12345"))],
        {"energy": 12.345},
        none=("power",),
    ),
    Shape(
        "most chargers: register, power, current and voltage per phase",
        [
            moment(
                value("604213", REGISTER, "Wh", context="Sample.Periodic", location="Outlet"),
                value("7012.5", POWER, "W"),
                *(value("10.2", CURRENT, "A", phase=f"L{phase}") for phase in (1, 2, 3)),
                *(value("231.4", "Voltage", "V", phase=f"L{phase}-N") for phase in (1, 2, 3)),
            )
        ],
        {"energy": 604.213, "power": 7012.5}
        | {f"current_l{phase}": 10.2 for phase in (1, 2, 3)}
        | {f"voltage_l{phase}": 231.4 for phase in (1, 2, 3)},
    ),
    Shape(
        "OpenEVSE: numbers where texts are due",
        [moment(value(604.213, REGISTER, "kWh"), value(6.5, POWER, "kW"))],
        {"energy": 604.213, "power": 6500},
    ),
    Shape(
        "power in Wh",
        [moment(value("3680", POWER, "Wh"), value("3", "Power.Offered", "kWh"))],
        {"power": 3680, "power_offered": 3000},
    ),
    Shape(
        "energy in W",
        [moment(value("3680", REGISTER, "W"), value("1.5", "Energy.Active.Export.Register", "kW"))],
        {"energy": 3.68, "energy_exported": 1.5},
    ),
    Shape(
        "kW and kWh",
        [moment(value("11.04", POWER, "kW"), value("1234.567", REGISTER, "kWh"))],
        {"power": 11040, "energy": 1234.567},
    ),
    Shape(
        "units in odd letters",
        [moment(value("11.04", POWER, "KW"), value("1234.567", REGISTER, "KWH"))],
        {"power": 11040, "energy": 1234.567},
    ),
    Shape(
        "current in mA, voltage in mV",
        [
            moment(
                value("15900", CURRENT, "mA", phase="L1"),
                value("231000", "Voltage", "mV", phase="L1"),
            )
        ],
        {"current_l1": 15.9, "voltage_l1": 231},
    ),
    Shape(
        "Alfen: Hz as unit, odd contexts",
        [
            moment(
                value("49.98", "Frequency", "Hz", context="Sample.Weird"),
                value("0.98", "Power.Factor"),
            )
        ],
        {"frequency": 49.98, "power_factor": 0.98},
    ),
    Shape(
        "power factor in percent",
        [moment(value("98", "Power.Factor", "Percent"))],
        {"power_factor": 0.98},
    ),
    Shape(
        "comma as decimal point",
        [moment(value("7,36", POWER, "kW"), value("230,1", "Voltage", "V"))],
        {"power": 7360, "voltage": 230.1},
    ),
    Shape(
        "blanks around everything",
        [
            moment(
                value(" 7360 ", " Power.Active.Import ", " W "), value("16 ", CURRENT, phase=" L1 ")
            )
        ],
        {"power": 7360, "current_l1": 16},
    ),
    Shape(
        "Huawei: an object instead of an array",
        moment(value("7360", POWER, "W")),
        {"power": 7360},
    ),
    Shape(
        "sampledValue is an object",
        [{"timestamp": utc(NOW), "sampledValue": value("7360", POWER, "W")}],
        {"power": 7360},
    ),
    Shape(
        "Vestel: nothing sampled",
        [moment(), moment(value("5000"))],
        {"energy": 5},
    ),
    Shape(
        "power per phase and no total",
        [moment(*(value("2300", POWER, "W", phase=f"L{phase}") for phase in (1, 2, 3)))],
        {"power": 6900},
    ),
    Shape(
        "power per phase beside the total",
        [
            moment(
                value("6900", POWER, "W"),
                *(value("2300", POWER, "W", phase=f"L{phase}") for phase in (1, 2, 3)),
            )
        ],
        {"power": 6900},
    ),
    Shape(
        "energy per phase and no total",
        [moment(*(value("1000.5", REGISTER, "Wh", phase=f"L{phase}-N") for phase in (1, 2, 3)))],
        {"energy": 3.002},
    ),
    Shape(
        "current without phases",
        [moment(value("16", CURRENT, "A"))],
        {"current": 16},
        none=("current_l1",),
    ),
    Shape(
        "voltage between phases, neutral's current",
        [
            moment(
                value("400.1", "Voltage", "V", phase="L1-L2"),
                value("0.4", CURRENT, "A", phase="N"),
            )
        ],
        {"voltage_l1_l2": 400.1, "current_n": 0.4},
    ),
    Shape(
        "inlet and outlet: the one nearer to the car counts",
        [
            moment(
                value("7500", POWER, "W", location="Inlet"),
                value("7360", POWER, "W", location="Outlet"),
                value("55", "Temperature", "Celsius", location="Body"),
                value("21", "Temperature", "Celsius", location="Outlet"),
            )
        ],
        {"power": 7360, "temperature": 21},
    ),
    Shape(
        "state of charge, from the car",
        [moment(value("80", "SoC", "Percent", location="EV"))],
        {"soc": 80},
    ),
    Shape(
        "what is offered is no flow",
        [
            moment(
                value("32", "Current.Offered", "A"),
                value("22", "Power.Offered", "kW"),
                value("0", CURRENT, "A", phase="L1"),
            )
        ],
        {"current_offered": 32, "power_offered": 22000, "current_l1": 0},
        none=("current", "power"),
    ),
    Shape(
        "temperature in K, Fahrenheit and the specification's Celcius",
        [
            moment(value("300.15", "Temperature", "K"), ago=3),
            moment(value("77", "Temperature", "Fahrenheit"), ago=2),
            moment(value("24.5", "Temperature", "Celcius"), ago=1),
        ],
        {"temperature": 24.5},
    ),
    Shape(
        "a signed register",
        [
            moment(
                value("A1B2C3", REGISTER, format="SignedData", context="Transaction.Begin"),
                value("4000", REGISTER, "Wh"),
            )
        ],
        {"energy": 4},
    ),
    Shape(
        "not a number, absurd numbers, unknown measurands",
        [
            moment(
                value("NaN", POWER),
                value("nothing", REGISTER),
                value("1e300", CURRENT),
                value("250", "SoC"),
                value("-5", REGISTER),
                value("7", "Vendor.Own"),
                value(None, "Voltage"),
                value(True, "Frequency"),
            )
        ],
        {},
        none=("power", "energy", "current", "soc", "voltage", "frequency"),
    ),
    Shape(
        "Growatt: local time without zone",
        [
            moment(
                value("7360", POWER), ago=(NOW + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%S")
            )
        ],
        {"power": 7360},
    ),
    Shape(
        "1970, a comma before the fraction, short offsets",
        [
            moment(value("7360", POWER), ago="1970-01-01T00:00:05Z"),
            moment(value("16", CURRENT), ago="2026-11-24T17:59:59,5+01"),
            moment(value("50", "Frequency"), ago="2026-11-24 16:59:58"),
        ],
        {"power": 7360, "current": 16, "frequency": 50},
    ),
    Shape(
        "evcc: no time stamp at all",
        [moment(value("7360", POWER, "W"), ago=None)],
        {"power": 7360},
    ),
    Shape(
        "Alfen: moments of one message in disorder",
        [
            moment(value("3000", POWER), value("1200"), ago=10),
            moment(value("1000", POWER), value("1000"), ago=120),
            moment(value("2000", POWER), value("1100"), ago=60),
        ],
        {"power": 3000, "energy": 1.2},
    ),
    Shape(
        "only history moves nothing but the register",
        [moment(value("7360", POWER), value("1000"), ago=86400)],
        {"energy": 1},
        none=("power",),
    ),
    Shape(
        "connector 0 is the main meter",
        [moment(value("11000", POWER), value("90000000"))],
        {"power": 11000, "energy": 90000},
        none=("plugged_in", "session_active"),
        connector=0,
    ),
    Shape(
        "energy that goes back to the grid",
        [
            moment(
                value("1500", "Power.Active.Export", "W"),
                value("2.5", "Current.Export", "A", phase="L2"),
                value("12000", "Energy.Active.Export.Register", "Wh"),
            )
        ],
        {"power_exported": 1500, "current_exported_l2": 2.5, "energy_exported": 12},
        none=("energy",),
    ),
    Shape(
        "reactive and interval values",
        [
            moment(
                value("120", "Power.Reactive.Import", "var"),
                value("2", "Energy.Reactive.Import.Register", "kvarh"),
                value("250", "Energy.Active.Import.Interval", "Wh"),
            )
        ],
        {
            "reactive_power_imported": 120,
            "reactive_energy_imported": 2,
            "energy_interval": 0.25,
        },
        none=("energy",),
    ),
    Shape(
        "quick-start client of ocpp-go: exported energy from the outlet",
        [moment(value("3100", "Energy.Active.Export.Register", "Wh", location="Outlet"))],
        {"energy_exported": 3.1},
    ),
    Shape(
        "2.0.1: numbers with multipliers",
        [
            moment(
                value2(12.5, REGISTER, "Wh", 3),
                value2(736, POWER, "W", 1),
                value2(159, CURRENT, "A", -1),
            )
        ],
        {"energy": 12.5, "power": 7360, "current": 15.9},
        version=V201,
    ),
    Shape(
        "2.0.1: kWh, and nothing but a value",
        [moment(value2(1.5, POWER, "kW"), value2(4250))],
        {"energy": 4.25, "power": 1500},
        version=V201,
    ),
    Shape(
        "2.1: texts where numbers are due, absurd multiplier",
        [moment(value2("4250", REGISTER, "Wh"), value2("1", POWER, "W", 400))],
        {"energy": 4.25},
        none=("power",),
        version=V21,
    ),
    Shape(
        "2.0.1: EVSE 0 is the main meter",
        [moment(value2(900, POWER))],
        {"power": 900},
        version=V201,
        connector=0,
    ),
]


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
async def test_shapes(central: CentralSystem, shape: Shape) -> None:
    charger = Charger(central, shape.version)
    place = "connectorId" if shape.version == V16 else "evseId"
    payload = {place: shape.connector, "meterValue": shape.values} | shape.more
    assert await charger.say("MeterValues", payload) == {}
    state = charger.state(shape.connector)
    assert {key: state.get(key) for key in shape.shown} == shape.shown
    assert not set(shape.none) & set(state)
    await charger.say("MeterValues", payload)  # once more: nothing changes
    assert charger.state(shape.connector) == state


def test_the_corpus_is_one() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 25
