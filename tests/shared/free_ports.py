"""
Ports for programs that a test starts.

Lives here: `free_port`. Does not: ports of sockets that a test opens by itself, which take 0.
"""

from __future__ import annotations

import random
import socket

RANGE = range(10240, 32768)
"""Below those that the system gives to connections: one of these may take a port before a program has bound it."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    while True:
        port = random.SystemRandom().choice(RANGE)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
