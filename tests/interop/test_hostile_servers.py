"""
Servers of databases that are none, or mean harm: their clients hear of it soon, and nobody else notices.

Lives here: what such a server says in place of its first words, and who asks it. Does not: clients that mean harm
(test_hostile_databases.py).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from mongodb_words import command, framed
from mysql_words import error, greeting
from postgres_words import said, startup
from proxied import Proxy, cluster, listener
from running import free_port

MEBI = 1 << 20
SOON = 6.0
MOST_MEMORY = 48 * MEBI
SCRAM = said("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
CHALLENGE = said("R", b"\0\0\0\x0br=x,s=QSXCR+Q6sek8bf92,i=2000000000")
POSTGRES = {
    "zeros": b"\0" * 64,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a message without end": b"R\x7f\xff\xff\xff" + b"x" * MEBI,
    "a negative length": b"R\xff\xff\xff\xff",
    "a key of 1 MiB": said("R", b"\0\0\0\0") + said("K", b"k" * MEBI) * 20,
    "endless parameters": said("R", b"\0\0\0\0") + said("S", b"a" * 1000 + b"\0b\0") * 20_000,
    "an error without an end": said("E", b"SFATAL" + b"x" * 1000),
    "another login": said("R", b"\0\0\0\x63"),
}
MYSQL = {
    "zeros": b"\0" * 64,
    "HTTP": POSTGRES["HTTP"],
    "a greeting of 16 MiB": b"\xff\xff\xff\0" + b"\x0a" * MEBI,
    "a greeting of another protocol": b"\x05\0\0\0\x098.0\0",
    "a greeting that is cut off": greeting()[:4] + b"\x0a" + b"8" * (len(greeting()) - 5),
    "no, you may not": error(1040, 0, "Too many connections"),
}
MONGODB = {
    "HTTP": POSTGRES["HTTP"],
    "a message without end": b"\xff\xff\xff\x7f" + b"\0" * MEBI,
    "a negative length": b"\xff\xff\xff\xff" + b"\0" * 60,
    "an operation that is not known": framed(1, 1, 4711, b"\0" * 40),
    "a command": command(1, {"ping": 1}) + b"\0" * 64,
}
WAYS: Mapping[str, tuple[object, bytes, Mapping[str, bytes]]] = {
    "postgres": ("postgres", startup(user="app", database="d"), POSTGRES),
    "postgres users": (
        {"name": "postgres", "users": {"app": "secret"}, "auth": "trust"},
        startup(user="app", database="d"),
        {**POSTGRES, "work without end": SCRAM + CHALLENGE, "nothing": b""},
    ),
    "mysql": ("mysql", b"", MYSQL),
    "mongodb": ("mongodb", command(1, {"hello": 1, "$db": "admin"}), MONGODB),
}
"""By name: the protocol of the listener, what its client says first, and what the server says."""
CREDENTIALS = {"credentials": {"user": "app", "password": "x"}}
ENDING = ("postgres users", "mysql")
"""Where the client's connection ends as well; else an error, or what passes of the answer, is all that it hears."""


class Server:
    """Says `words` to each connection, and then nothing more."""

    def __init__(self) -> None:
        self.words = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._taken: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._taken.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(self.words)

    def stop(self) -> None:
        for connection in (self._socket, *self._taken):
            connection.close()


Mesh = tuple[Proxy, Server, Mapping[str, int]]


@pytest.fixture(scope="module")
def mesh(shared_proxy: Callable[..., Proxy]) -> Iterator[Mesh]:
    server = Server()
    ports = {name: free_port() for name in WAYS}
    names = {name: name.replace(" ", "-") for name in WAYS}
    proxy = shared_proxy(
        {
            "listeners": [
                listener(names[name], ports[name], WAYS[name][0], [{"cluster": names[name], "timeout": "3s"}])
                for name in WAYS
            ],
            "clusters": [
                cluster(names[name], server.port, **(CREDENTIALS if "users" in name else {})) for name in WAYS
            ],
        }
    )
    yield proxy, server, ports
    server.stop()


@pytest.mark.parametrize(("name", "row"), [(name, row) for name in WAYS for row in WAYS[name][2]])
def test_a_client_hears_soon_of_a_server_that_is_none(mesh: Mesh, name: str, row: str) -> None:
    proxy, server, ports = mesh
    _, hello, said_by_server = WAYS[name]
    server.words = said_by_server[row]
    proxy.forget_peak()
    before, began = proxy.memory(), time.monotonic()
    with socket.create_connection(("127.0.0.1", ports[name]), 5) as client:
        client.settimeout(SOON)
        client.sendall(hello)
        with contextlib.suppress(ConnectionError):
            while client.recv(1 << 16) and name in ENDING:
                assert time.monotonic() - began < SOON
        proxy.ask("/ready")  # meanwhile a client that reads no more has its server wait
    assert time.monotonic() - began < SOON
    assert proxy.ask("/ready")[0] == 200
    assert proxy.peak() - before < MOST_MEMORY
