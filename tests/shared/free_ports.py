"""
Ports for programs that a test starts.

Lives here: `free_port`. Does not: ports of sockets that a test opens by itself, which take 0.
"""

from __future__ import annotations

import random
import socket

RANGE = range(10240, 32768)
"""Below those that the system gives to connections: one of these may take a port before a program has bound it."""


_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, never the same twice in a process."""
    while True:
        port = random.SystemRandom().choice(RANGE)
        if port in _given:
            continue
        try:
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:
            continue
        _given.add(port)
        return port
