"""Packed properties, held against those of the library."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ocpp_addon.mqtt.properties import PublishProperties

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=200)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8), st.none() | st.binary(max_size=300))
def test_they_are_read_as_they_were_meant(
    user: list[tuple[str, str]], correlation: bytes | None
) -> None:
    packed = PublishProperties(user, correlation).pack()
    read = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    _, length = read.unpack(packed + b"payload")  # type: ignore[no-untyped-call]
    assert length == len(packed)
    fields = vars(read)
    assert fields.get("UserProperty", []) == user
    assert fields.get("CorrelationData") == correlation


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(struct.error):
        PublishProperties([("name", "x" * 65_536)])
    with pytest.raises(struct.error):
        PublishProperties([], b"x" * 65_536)
    with pytest.raises(ValueError, match="surrogates"):
        PublishProperties([("name", "\ud800")])
