"""A total that never falls."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpp_addon.home.reading import AS_SAID, NEAR, Meaning, meaning
from ocpp_addon.home.register import CONFIRMATIONS, Register
from tests.home.conftest import NOW

READINGS = st.one_of(
    st.floats(0, 1e12),
    st.integers(0, 20_000).map(float),
    st.sampled_from([0.0, 50_000.0, 50_100.0, 1e9]),
)
STEPS = st.lists(
    st.tuples(
        READINGS,
        st.sampled_from([0, 1, 60, 900, 86_400]),  # seconds since the one before
        st.sampled_from([None, 1, 2]),  # transaction
        st.booleans(),  # of a start or stop
        st.booleans(),  # a restart before it
    ),
    max_size=30,
)


@given(STEPS)
def test_the_total_never_falls(
    steps: list[tuple[float, int, int | None, bool, bool]],
) -> None:
    register, total, at = Register(), 0.0, NOW
    for reading, seconds, transaction, surely, restart in steps:
        if restart:
            register = Register.from_json(register.as_json())
        at += timedelta(seconds=seconds)
        register.take(reading, at, transaction, surely=surely)
        assert register.total >= total
        total = register.total


@given(st.lists(st.tuples(st.floats(0, 300), st.booleans()), min_size=1, max_size=50))
def test_the_total_of_a_good_register_is_the_register(steps: list[tuple[float, bool]]) -> None:
    register, raw = Register(), 50_000.0
    for minute, (energy, restart) in enumerate(steps):
        raw += energy
        register.take(raw, NOW + timedelta(minutes=minute), minute // 10)
        if restart:
            register = Register.from_json(register.as_json())
    assert register.total == pytest.approx(raw)


def test_a_jump_is_believed_only_if_it_lasts() -> None:
    register = Register()
    register.take(1000, NOW, None)
    for count in range(CONFIRMATIONS):
        register.take(900_000 + count, NOW + timedelta(seconds=count + 1), None)
        assert register.total == 1000
    register.take(900_050, NOW + timedelta(seconds=9), None)
    assert register.total == 1000 + 50 - (CONFIRMATIONS - 1)


def test_energy_that_flowed_while_nobody_listened_counts() -> None:
    register = Register()
    register.take(1000, NOW, None)
    register.take(801_000, NOW + timedelta(days=30), None)
    assert register.total == 801_000


@pytest.mark.parametrize(
    ("number", "unit", "means"),
    [
        (100_500, "wh", AS_SAID),
        (100.5, "", Meaning(scale=1000)),
        (100.5, "wh", AS_SAID),  # a number that says what it is, and fits nowhere
        (100_500_000, "kwh", Meaning(scale=0.001)),
        (5, "wh", Meaning(bias=100_000)),
        (5, "", Meaning(bias=100_000)),
        (9e9, "wh", AS_SAID),
    ],
)
def test_what_a_number_means(number: float, unit: str, means: Meaning) -> None:
    starts = [100_000.0] if unit != "wh" or number != 100.5 else []
    assert meaning(number, unit, 100_000, starts, AS_SAID) == means


def test_a_meaning_stays_while_it_fits() -> None:
    bias = Meaning(bias=100_000)
    assert meaning(5000, "wh", 104_000, [100_000], bias) == bias
    assert meaning(106_000, "wh", 105_000, [100_000], bias) == AS_SAID
    assert meaning(5, "wh", None, [], bias) == bias
    assert not bias.fits(5000 + NEAR + 1, 105_000)
    assert replace(bias, scale=2).wh(3) == 100_006
