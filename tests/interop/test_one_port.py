"""
Real clients of several protocols on one port: redis-cli and curl in both versions of HTTP; with TLS, too.

Lives here: that each reaches its own listener, with its routes and filters. Does not: which bytes tell what
(tests/unit/proxy/test_detection.py).
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import catalogue
import http_peers
import pytest
from authority import Authority, Issued
from catalogue import Start
from proxied import Proxy, cluster
from running import answers, eventually, free_port

pytestmark = pytest.mark.peer("redis-server", "nginx", "curl")
MakeProxy = Callable[[Mapping[str, Any]], Proxy]


@pytest.fixture
def town(start_here: Start, proxy: MakeProxy, tmp_path: Path) -> Callable[..., tuple[int, Proxy]]:
    """A port for Redis and HTTP, in front of real servers. issued: for TLS."""

    def make(issued: Issued | None = None) -> tuple[int, Proxy]:
        front, store, web = free_port(), free_port(), free_port()
        for name in ("redis", "nginx"):
            (tmp_path / name).mkdir()
        start_here(catalogue.redis_server(store, tmp_path / "redis"), lambda: answers(store))
        start_here(http_peers.nginx(tmp_path / "nginx", h1=web))
        tls = {"tls": {"certificate": str(issued.certificate), "key": str(issued.key)}} if issued else {}
        denied = [{"match": {"path": "/secret"}, "reply": {"error": "denied"}}, {"cluster": "web"}]
        auto = {"name": "auto", "candidates": ["cache", "pages"], "wait": 0.5}
        running = proxy(
            {
                "listeners": [
                    {"name": "front", "listen": f"127.0.0.1:{front}", "protocol": auto, **tls},
                    {"name": "cache", "protocol": "redis", "routes": [{"cluster": "store"}]},
                    {"name": "pages", "protocol": "http", "routes": denied},
                ],
                "clusters": [cluster("store", store), cluster("web", web)],
            }
        )
        return front, running

    return make


Town = Callable[..., tuple[int, Proxy]]


def redis_cli(port: int, *words: str) -> str:
    command = ["redis-cli", "-p", str(port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def test_each_client_reaches_the_listener_of_its_protocol(town: Town) -> None:
    port, running = town()
    assert redis_cli(port, "set", "a", "1") == "OK"
    for version in ("--http1.1", "--http2-prior-knowledge"):
        assert http_peers.curl(version, f"http://127.0.0.1:{port}/status/204").status == 204
        assert http_peers.curl(version, f"http://127.0.0.1:{port}/secret").status == 403
    listeners = {one["name"]: one["counts"] for one in running.admin("/listeners")["listeners"]}
    assert (listeners["front"]["connections"], listeners["cache"]["connections"]) == (5, 1)
    assert listeners["pages"]["connections"] == 4


def test_behind_tls_as_well_where_alpn_decides(town: Town, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    port, _ = town(authority.issue("server", "localhost", "127.0.0.1"))
    assert redis_cli(port, "--tls", "--cacert", str(authority.ca), "--sni", "localhost", "set", "a", "1") == "OK"
    for how, spoken in (("--http1.1", "1.1"), ("--http2", "2")):
        url = f"https://127.0.0.1:{port}/status/204"
        answer = http_peers.curl(how, "--cacert", str(authority.ca), url)
        assert (answer.status, answer.version) == (204, spoken)


def test_who_says_nothing_or_nonsense_is_let_go(town: Town) -> None:
    port, running = town()
    for said in (b"", b"\xff\xfe\xfd\xfc hello"):
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(said)
            assert client.recv(100) == b""
    eventually(lambda: running.admin("/listeners")["listeners"][0]["counts"]["decode_errors"] == 2)
