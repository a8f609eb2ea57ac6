"""
Peers that mean harm: what attacks on all protocols share.

Lives here: `Attacker`, a connection that says what it wants; `unharmed`, what a neighbour and the proxy's memory notice
of it. Does not: what is said (hostile_words.py, the tables of test_hostile_*.py).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import pytest
from proxied import Proxy

MEBI = 1 << 20
MOST_MEMORY = 64 * MEBI
"""What one attack may cost: what is kept for a client, twice, and what is on its way."""
SOON = 6.0
"""Seconds until a login that is not over is given up, and some more."""
WAYS = ("passing", "users")
PATIENCE = 10.0


def exactly(peer: socket.socket, size: int) -> bytes:
    """So many bytes of what a peer says. Raises ConnectionError where it ends before."""
    found = b""
    while len(found) < size:
        more = peer.recv(size - len(found))
        if not more:
            raise ConnectionError(f"closed behind {found!r}")
        found += more
    return found


class Attacker:
    """One connection that says what it wants, closed with its `with`, so that a test that fails leaves none behind."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        """As much of it as is taken within some seconds: the proxy may close, or read no more."""
        self.socket.settimeout(3)
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def exactly(self, size: int) -> bytes:
        self.socket.settimeout(PATIENCE)
        return exactly(self.socket, size)

    def ends(self, seconds: float) -> bool:
        """Whether the connection ends by then, whatever is said before."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(1 << 16):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False


def rows(names: Sequence[str], table: Mapping[str, Mapping[str, bytes]]) -> list[Any]:
    """The rows of a table by protocol, as parameters (name, row)."""
    return [pytest.param(name, row, id=f"{name}-{row}") for name in names for row in table[name]]


@contextlib.contextmanager
def unharmed(proxy: Proxy, ask: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """A neighbour that is answered before, meanwhile (when called) and behind it, by a proxy that does not grow."""
    ask()
    proxy.forget_peak()
    before = proxy.memory()

    def answered() -> None:
        began = time.monotonic()
        ask()
        assert time.monotonic() - began < SOON

    yield answered
    answered()
    assert proxy.peak() - before < MOST_MEMORY, f"{(proxy.peak() - before) >> 20} MiB"
