"""The properties of a PUBLISH of MQTT 5, packed: the library's own take as long as all the rest."""

import struct
from collections.abc import Iterable

_USER_PROPERTY, _CORRELATION_DATA = 0x26, 0x09  # MQTT 5 2.2.2.2

UserProperties = Iterable[tuple[str, str]]


class PublishProperties:
    """Stand in for paho's `Properties`, of which publishing asks nothing but `pack`.

    Raises ValueError or struct.error for what does not fit.
    """

    def __init__(self, user: UserProperties, correlation_data: bytes | None = None) -> None:
        packed = bytearray()
        for name, value in user:
            packed.append(_USER_PROPERTY)
            packed += _with_length(name.encode()) + _with_length(value.encode())
        if correlation_data is not None:
            packed.append(_CORRELATION_DATA)
            packed += _with_length(correlation_data)
        self._packed = _variable(len(packed)) + bytes(packed)

    def pack(self) -> bytes:
        """Return the bytes, with their length before them."""
        return self._packed


def _with_length(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _variable(number: int) -> bytes:
    """Return a Variable Byte Integer (MQTT 5 1.5.5)."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
