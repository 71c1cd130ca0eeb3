"""A network of its own for a test: only loopback, with the addresses of Home Assistant's."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_SIOCSIFADDR, _SIOCSIFFLAGS, _SIOCSIFNETMASK = 0x8916, 0x8914, 0x891C
_IFF_UP = 1
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def isolated(*addresses: str) -> Iterator[None]:
    """Move this thread, and the programs that it starts, to a network with these addresses.

    Raises PermissionError for users who may not.
    """
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _checked(_libc.unshare(_CLONE_NEWNET))
        try:
            _add("lo", "127.0.0.1", "255.0.0.0")
            for number, address in enumerate(addresses):
                _add(f"lo:{number}", address, "255.255.255.255")
            yield
        finally:
            _checked(_libc.setns(outside, _CLONE_NEWNET))
    finally:
        os.close(outside)


def _add(interface: str, address: str, mask: str) -> None:
    name = interface.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, mask)):
            place = struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(value))
            fcntl.ioctl(control, request, place)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", name, _IFF_UP))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
