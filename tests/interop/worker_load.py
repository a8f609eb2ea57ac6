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
from uuid import uuid4

from proxied import Proxy
from running import eventually

PATIENCE = 60.0
"""Seconds: a connection waits while no worker is ready, and one that keeps ending is started later and later."""


def command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


ADD_ONE = "return {KEYS[1], redis.call('INCR', KEYS[1])}"
"""The answer says whose it is, and how often the caller's requests were executed up to this one."""


class Caller(threading.Thread):
    """
    One client, one request at a time, on a connection that it opens again when it has ended. sent: requests that were
    written whole; answered: with the right answer; cut: those whose connection ended first; refused: connections that
    ended before anything was sent; wrong: what makes no sense. key: the server counts there what it executed; executed:
    the last count that was answered, `unknown` requests were cut since.
    """

    def __init__(self, number: int, connect: Callable[[], socket.socket]) -> None:
        super().__init__(daemon=True)
        self.sent = self.answered = self.cut = self.refused = 0
        self.wrong: list[bytes] = []
        self.key = f"caller{number}-{uuid4().hex}"
        self.executed = self.unknown = 0
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
        while not self._over.is_set():
            try:
                sock.sendall(command("EVAL", ADD_ONE, "1", self.key))
            except OSError:  # it had ended behind the answer before
                self.refused += 1
                return
            self.sent += 1
            found = b""
            while found.count(b"\r\n") < 4 and not found.startswith(b"-"):
                try:
                    piece = sock.recv(1000)
                except TimeoutError:
                    self.unknown += 1
                    self.wrong.append(b"no answer and no end: " + found)
                    return
                except OSError:
                    piece = b""
                if not piece:
                    self.cut += 1
                    self.unknown += 1
                    return
                found += piece
            self._answered(found)

    def _answered(self, found: bytes) -> None:
        """One that was cut was executed once or never."""
        for executed in range(self.executed + 1, self.executed + 2 + self.unknown):
            if found == f"*2\r\n${len(self.key)}\r\n{self.key}\r\n:{executed}\r\n".encode():
                self.answered += 1
                self.executed, self.unknown = executed, 0
                return
        self.wrong.append(f"after {self.executed} and {self.unknown} that were cut: ".encode() + found)

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

    def executed_twice(self, client: socket.socket) -> list[str]:
        """Callers whose requests the server executed more often than they were sent, or less often than answered."""
        found = []
        for one in self.callers:
            client.sendall(command("GET", one.key))
            text = client.recv(1000).split(b"\r\n")
            times = int(text[1]) if len(text) > 2 else 0
            if not one.answered <= times <= one.sent or not one.executed <= times <= one.executed + one.unknown:
                found.append(f"{one.key}: {one.sent} sent, {one.answered} answered, {times} executed")
        return found

    @property
    def wrong(self) -> list[bytes]:
        return [text for one in self.callers for text in one.wrong]


def to(port: int) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(("127.0.0.1", port), PATIENCE)


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
            one.join(PATIENCE + 10)


def workers(proxy: Proxy) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = proxy.admin("/workers")["workers"]
    return found


def all_ready(proxy: Proxy) -> bool:
    return bool(eventually(lambda: all(one["state"] == "ready" for one in workers(proxy)), 30.0, 0.1))
