"""Where chargers connect: sockets, handshakes, identities and passwords."""
