"""
Long results and long data of databases through a process of metaproxy: how long, how fast, how much memory.

SOAK_STREAM: their size (4294967296). Lives here: the proxy in front of a server, where logins pass and where clients
borrow connections, and what is measured. Does not: what is asked (test_soak_postgres.py, test_soak_mysql.py).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
from catalogue import missing  # noqa: E402
from proxied import Proxy, cluster, listener  # noqa: E402
from running import free_port  # noqa: E402

LONG = int(os.environ.get("SOAK_STREAM", 4 << 30))
MIB = 1 << 20
ROW = 1 << 16
LINES = (b"x" * (ROW - 1) + b"\n") * (MIB // ROW)
"""A MiB of rows."""
WAYS = pytest.mark.parametrize("way", ["passing", "pooled"])


def need(*peers: str) -> None:
    for peer in peers:
        if reason := missing(peer):
            pytest.skip(reason)


@contextmanager
def proxied(protocol: str, way: str, server: int, folder: Path) -> Iterator[tuple[Proxy, int]]:
    """A proxy in front of the server's port, and its own port."""
    port = free_port()
    spoken = protocol if way == "passing" else {"name": protocol, "users": {"app": "secret"}}
    credentials = {"credentials": {"user": "app", "password": "secret"}} if way == "pooled" else {}
    listeners = [listener("db", port, spoken, [{"cluster": "db", "timeout": "0s"}])]
    proxy = Proxy({"listeners": listeners, "clusters": [cluster("db", server, **credentials)]}, folder)
    try:
        yield proxy, port
    finally:
        proxy.stop()


def check_little_memory(name: str, proxy: Proxy, passes: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> None:
    """What passes is as long as it should be, and the proxy's memory grows by less than 64 MiB meanwhile."""
    proxy.forget_peak()
    base, began = proxy.memory(), time.monotonic()
    passed = passes()
    seconds, taken = time.monotonic() - began, proxy.peak() - base
    with capsys.disabled():
        rate = f"{LONG / MIB / seconds:.0f} MiB/s, {taken / MIB:.1f} MiB above the base"
        print(f"\n{LONG / MIB:.0f} MiB of {name}: {rate}")
    assert passed == LONG
    assert taken < 64 * MIB
