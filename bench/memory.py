"""
What a client's connection that is idle costs the proxy: bytes of memory, by protocol.

    python -m bench.memory                         all protocols, 10,000 connections each
    python -m bench.memory redis http --connections 2000

Each client logs in where its protocol has that, asks once, gets its answer, and is silent from then on. A figure is
what the resident memory of the proxy's process has grown by, over the connections; what the kernel keeps for a socket
is not in it. `allocated` counts the same without a process and without sockets, to the byte.

Lives here: the protocols, both ways of counting, the table. Does not: the requests and answers (`replay`).
"""

from __future__ import annotations

import argparse
import datetime
import gc
import os
import selectors
import socket
import ssl
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.processes import Running, free_ports, listens, wait_for
from bench.replay import PROTOCOLS, Replay
from bench.replayed_databases import DATABASES
from metaproxy.support.compiled import running

CONNECTIONS = 10_000
FIRST = 500
"""Connections before those that are counted: connections to the server, caches and free lists of the interpreter."""
AT_ONCE = 20
"""Clients of `allocated` that ask at the same time."""
PATIENCE = 10.0
"""Seconds to wait for an answer."""
LIMIT = 5 * 1024
"""Bytes that an idle connection is to take at most."""

HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
HTTP_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Measured:
    """
    codec, cluster: as in a configuration. login: what a client says first, in steps, each given what it got since the
    last. request: what it asks; answers: to all that a server got; hello: what a server says first.
    """

    codec: str
    cluster: str
    request: bytes
    answers: Callable[[bytes], bytes]
    login: tuple[Callable[[bytes], bytes], ...] = ()
    hello: bytes = b""
    tls: bool = False
    speaks_first: bool = False


def _replayed(name: str, tls: bool = False) -> Measured:
    made = PROTOCOLS[name]
    request, answers = made.peers(b"y" * 64, 1)
    database = DATABASES.get(name)
    login, hello = (database.login, database.hello) if database is not None else ((), b"")
    return Measured(made.codec, made.cluster, request(1), answers, login, hello, tls, "mysql" in made.codec)


def _http(data: bytes) -> bytes:
    return HTTP_ANSWER * data.count(b"\r\n\r\n")


SUBJECTS = {
    "dubbo": _replayed("dubbo"),
    "thrift": _replayed("thrift"),
    "redis": _replayed("redis"),
    "http": Measured("http", "", HTTP_REQUEST, _http),
    "postgres": _replayed("postgres-simple"),
    "mysql": _replayed("mysql-pool"),
    "mongodb": _replayed("mongodb-pool"),
    "redis, TLS": _replayed("redis", tls=True),
}
CONFIG = """
admin: {{listen: "127.0.0.1:{admin}"}}
listeners:
  - name: bench
    listen: 127.0.0.1:{port}
    protocol: {codec}
    max_connections: 1000000
    idle_timeout: 1h
    filters: [{{local_rate_limit: {{limit: 100000000, per: 1s, burst: 100000000}}}}]
    routes: [{{cluster: backend}}]
    {tls}
clusters:
  - name: backend
    endpoints: ["127.0.0.1:{backend}"]
    {cluster}
    breaker: {{max_connections: 100000, max_pending: 100000, max_requests: 100000}}
"""


class Backend:
    """A server that answers each request, in a thread."""

    def __init__(self, port: int, subject: Measured) -> None:
        self._subject = subject
        self._listening = socket.create_server(("127.0.0.1", port))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.2):
                if key.fileobj is self._listening:
                    sock = self._listening.accept()[0]
                    sock.sendall(self._subject.hello)
                    self._selector.register(sock, selectors.EVENT_READ)
                else:
                    self._answer(key.fileobj)  # type: ignore[arg-type]

    def _answer(self, sock: socket.socket) -> None:
        data = sock.recv(1 << 16)
        if data:
            sock.sendall(self._subject.answers(data))
        else:
            self._selector.unregister(sock)
            sock.close()

    def close(self) -> None:
        self._over = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    until = now + datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, until)
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


class Clients:
    """Clients, each of which has asked once."""

    def __init__(self, port: int, subject: Measured) -> None:
        self._port, self._subject = port, subject
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if subject.tls else None
        if self._tls is not None:
            self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self.sockets: list[socket.socket] = []

    def add(self, count: int) -> None:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock)
            got = sock.recv(1 << 16) if self._subject.speaks_first else b""
            for step in self._subject.login:
                sock.sendall(step(got))
                got = sock.recv(1 << 16)
            sock.sendall(self._subject.request)
            if not sock.recv(1 << 16):
                raise SystemExit("a client was closed in place of an answer")
            self.sockets.append(sock)

    def close(self) -> None:
        for sock in self.sockets:
            with suppress(OSError):
                sock.close()


def measure(subject: Measured, connections: int) -> float:
    """Bytes a connection."""
    port, admin, backend = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        tls = ""
        if subject.tls:
            chain, key = certificate(folder)
            tls = f"tls: {{certificate: {chain}, key: {key}}}"
        file = folder / "metaproxy.yaml"
        file.write_text(
            CONFIG.format(
                port=port, admin=admin, backend=backend, codec=subject.codec, cluster=subject.cluster, tls=tls
            )
        )
        server = Backend(backend, subject)
        clients = Clients(port, subject)
        command = [sys.executable, "-m", "metaproxy", "--config", str(file)]
        try:
            with Running(command, folder / "log") as proxy:
                wait_for("the proxy", 20.0, proxy, lambda: listens(port))
                pid = proxy.ids()[0]
                clients.add(FIRST)
                before = resident(pid)
                clients.add(connections)
                return (resident(pid) - before) / connections
        finally:
            clients.close()
            server.close()


def allocated(protocol: str, connections: int) -> float:
    """Bytes that the interpreter allocates for an idle client of `replay`, its fake socket left out."""
    replay = Replay(protocol, AT_ONCE, 1)
    for _ in range(3):  # connections to the server, and what is kept for all
        replay.cycle(lambda: None)
    ours = tracemalloc.Filter(False, str(Path(__file__).parent / "*"))
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.take_snapshot().filter_traces([ours])
        for _ in range(connections // AT_ONCE):
            replay.connect(AT_ONCE)
            replay.cycle(lambda: None)
        gc.collect()
        after = tracemalloc.take_snapshot().filter_traces([ours])
    finally:
        tracemalloc.stop()
    grown = sum(one.size_diff for one in after.compare_to(before, "filename"))
    return grown / (connections // AT_ONCE * AT_ONCE)


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.split("\n\n")[0])
    parser.add_argument("subject", nargs="*", help=f"of: {'; '.join(SUBJECTS)}")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="%(default)s")
    given = parser.parse_args()
    if unknown := [one for one in given.subject if one not in SUBJECTS]:
        parser.error(f"no subject {unknown[0]!r}; there are {'; '.join(SUBJECTS)}")
    print(f"| bytes an idle connection, {running()} | | at most {LIMIT:,} |\n|---|---|---|", flush=True)
    for name in given.subject or SUBJECTS:
        size = measure(SUBJECTS[name], given.connections)
        print(f"| {name} | {size:,.0f} | {'yes' if size <= LIMIT else 'no'} |", flush=True)


if __name__ == "__main__":
    main()
