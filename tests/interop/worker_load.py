"""
Clients of Redis that count what came of each request, for tests of several worker processes.

Lives here: `Caller`, `Load`, `command`, and what is known of workers by the admin API. Does not: assertions.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from proxied import Proxy
from running import eventually

CONNECT = 10.0


def command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


class Caller(threading.Thread):
    """
    One client, one request at a time, on a connection that it opens again when it has ended. sent: requests that were
    written whole; answered: with the right answer; cut: those whose connection ended first; refused: connections that
    ended before anything was sent; wrong: what makes no sense.
    """

    def __init__(self, number: int, connect: Callable[[], socket.socket]) -> None:
        super().__init__(daemon=True)
        self.sent = self.answered = self.cut = self.refused = 0
        self.wrong: list[bytes] = []
        self._name = f"caller{number}"
        self._connect = connect
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                with self._connect() as sock:
                    self._talk(sock)
            except OSError:
                self.refused += 1
                self._over.wait(0.01)

    def _talk(self, sock: socket.socket) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            said = f"{self._name}-{number}"
            try:
                sock.sendall(command("ECHO", said))
            except OSError:  # it had ended behind the answer before
                self.refused += 1
                return
            self.sent += 1
            wanted = f"${len(said)}\r\n{said}\r\n".encode()
            found = b""
            while len(found) < len(wanted):
                try:
                    piece = sock.recv(1000)
                except TimeoutError:
                    self.wrong.append(b"no answer and no end: " + found)
                    return
                except OSError:
                    piece = b""
                if not piece:
                    self.cut += 1
                    return
                found += piece
            if found == wanted:
                self.answered += 1
            else:
                self.wrong.append(found)

    def end(self) -> None:
        self._over.set()


class Load:
    """Several callers; the sums of what came of their requests."""

    def __init__(self, callers: list[Caller]) -> None:
        self.callers = callers

    def _sum(self, name: str) -> int:
        return sum(getattr(one, name) for one in self.callers)

    @property
    def sent(self) -> int:
        return self._sum("sent")

    @property
    def answered(self) -> int:
        return self._sum("answered")

    @property
    def cut(self) -> int:
        return self._sum("cut")

    @property
    def refused(self) -> int:
        return self._sum("refused")

    def go_on(self, requests: int) -> None:
        """Until so many more are answered."""
        before = self.answered
        eventually(lambda: self.answered > before + requests, 10.0)

    @property
    def wrong(self) -> list[bytes]:
        return [text for one in self.callers for text in one.wrong]


def to(port: int) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(("127.0.0.1", port), CONNECT)


@contextmanager
def load(connect: Callable[[], socket.socket], callers: int = 8) -> Iterator[Load]:
    """Callers until the end of the block, and until each of their requests has its end."""
    made = [Caller(number, connect) for number in range(callers)]
    for one in made:
        one.start()
    try:
        yield Load(made)
    finally:
        for one in made:
            one.end()
        for one in made:
            one.join(2 * CONNECT)


def workers(proxy: Proxy) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = proxy.admin("/workers")["workers"]
    return found


def all_ready(proxy: Proxy) -> bool:
    return bool(eventually(lambda: all(one["state"] == "ready" for one in workers(proxy)), 30.0, 0.1))
