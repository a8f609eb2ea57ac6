"""
Redirected traffic: Debian's nftables sends what was meant for another address to the proxy, which finds out.

Lives here: the kernel's NAT in a network namespace, IPv4 and IPv6. Does not: routes and clusters without a kernel
(tests/unit/cluster, tests/unit/proxy).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import catalogue
import pytest
from catalogue import Start
from proxied import Proxy, listener
from redirected import ask, in_a_namespace, listens

pytestmark = pytest.mark.peer("redis-server", "nft")

RULES = """
table ip nat {
  chain out {
    type nat hook output priority -100;
    ip saddr 127.0.0.2 tcp dport 7000 redirect to :7001
  }
}
table ip6 nat {
  chain out {
    type nat hook output priority -100;
    ip6 saddr fd00::c tcp dport 7000 redirect to :7001
  }
}
"""
"""By the client's address: what the proxy itself sends to the server is not sent back to it."""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network namespace")
def test_requests_go_where_the_redirected_connection_was_meant_to_go(
    start_here: Start, proxy: Callable[[Any], Proxy], tmp_path: Path
) -> None:
    def body() -> None:
        for host in ("10.9.9.9", "fd00::9"):
            (tmp_path / host).mkdir()
            command = catalogue.redis_server(7000, tmp_path / host, "--bind", host, "--protected-mode", "no")
            start_here(command, partial(listens, host, 7000))
            ask((host, 7000), b"SET who " + host.encode())
        no = {"error": "denied", "message": "4"}
        routes = [
            {"match": {"key": "where", "destination.address": "10.9.9.9"}, "reply": no},
            {"match": {"destination.port": "7000"}, "cluster": "meant"},
            {"name": "direct", "cluster": "meant"},
        ]  # fmt: skip
        front = listener("front", 7001, "redis", routes, original_destination=True)
        running = proxy(
            {
                "listeners": [{**front, "listen": ["127.0.0.1:7001", "[::1]:7001"]}],
                "clusters": [{"name": "meant", "discovery": "original_destination"}],
            }
        )
        assert ask(("10.9.9.9", 7000), b"GET who", "127.0.0.2") == b"$8\r\n10.9.9.9\r\n"
        assert ask(("fd00::9", 7000), b"GET who", "fd00::c") == b"$7\r\nfd00::9\r\n"
        assert b"NOPERM 4" in ask(("10.9.9.9", 7000), b"GET where", "127.0.0.2")
        assert b"no usable endpoint" in ask(("127.0.0.1", 7001), b"GET who"), "it must not call itself"
        (shown,) = running.admin("/clusters")["clusters"]
        assert {one["address"] for one in shown["endpoints"]} == {"10.9.9.9:7000", "[fd00::9]:7000"}
        running.stop()

    in_a_namespace(body, RULES)
