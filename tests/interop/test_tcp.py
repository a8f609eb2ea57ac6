"""
Raw TCP between peers that know nothing of it: Redis, whose client speaks first; SSH, whose server does.

Lives here: what passes, which end of a connection reaches the other side, what is logged. Does not: every order of ends
(tests/unit/codecs/test_tcp.py).
"""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catalogue
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

MIB = 1 << 20


class Digests:
    """A server that reads to the client's end, and answers then: with the digest of all it got."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:  # closed
                return
            with client:
                digest = hashlib.sha256()
                while data := client.recv(65536):
                    digest.update(data)
                client.sendall(digest.digest())

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def digests() -> Iterator[Digests]:
    server = Digests()
    yield server
    server.close()


def through(proxy: Callable[..., Proxy], port: int, **options: Any) -> tuple[Proxy, int]:
    """A running proxy, and where it takes connections to the port."""
    front = free_port()
    listeners = [listener("raw", front, "tcp", [{"cluster": "server"}], **options)]
    return proxy({"listeners": listeners, "clusters": [cluster("server", port)]}), front


@pytest.mark.peer("redis-server", "redis-cli")
def test_redis_passes_as_bytes(start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    behind = free_port()
    start_here(catalogue.redis_server(behind, tmp_path), lambda: answers(behind))
    running, front = through(proxy, behind)
    value = "x" * MIB
    said = f"SET long {value}\nSTRLEN long\nQUIT\n"
    told = subprocess.run(
        ["redis-cli", "-p", str(front)], input=said, capture_output=True, text=True, timeout=20, check=False
    ).stdout
    assert told.split()[:2] == ["OK", str(MIB)]
    assert eventually(lambda: running.outcomes()) == {"ok": 1}


@pytest.mark.peer("sshd")
def test_a_server_that_speaks_first(start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    behind = free_port()
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    start_here(catalogue.sshd(behind, key), lambda: answers(behind))
    _, front = through(proxy, behind)
    kind, written, _ = key.with_suffix(".pub").read_text().split(" ", 2)
    asked = ["ssh-keyscan", "-t", "ed25519", "-p", str(front), "127.0.0.1"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
    assert told.split()[1:] == [kind, written]


def test_the_clients_end_reaches_the_server_and_the_answer_to_it_the_client(
    proxy: Callable[..., Proxy], digests: Digests, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    fields = {"up": "%BYTES_RECEIVED%", "down": "%BYTES_SENT%", "route": "%ROUTE_NAME%"}
    _, front = through(proxy, digests.port, access_log=[{"file": str(log), "fields": fields}])
    data = bytes(range(256)) * (20 * MIB // 256)
    with socket.create_connection(("127.0.0.1", front), 20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer == hashlib.sha256(data).digest()
    line = json.loads(eventually(lambda: log.exists() and log.read_text()))
    assert (int(line["up"]), int(line["down"])) == (20 * MIB, 32)
