"""
Long runs of streams against a real process, `make soak`: SOAK_SECONDS sets the length (60), SOAK_STREAM the size of
the long streams (4294967296).

Lives here: the balance of many streams beside reloads, one long stream of gRPC each way. Does not: faults
(test_chaos.py), long bodies of HTTP (tests/interop/test_http_streams.py), the callers (stream_callers.py).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stream_callers import GIVEN_UP, H1Streams, H2Streams
from stream_calls import FILE, KINDS, grpc_play, http_play

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
import grpc_peers  # noqa: E402
import http_peers  # noqa: E402
from catalogue import missing  # noqa: E402
from proxied import Proxy, cluster, listener  # noqa: E402
from running import PEERS, Program, eventually, free_port  # noqa: E402

sys.path.append(str(PEERS / "grpc" / "py"))  # example.v1

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
LONG = int(os.environ.get("SOAK_STREAM", 4 << 30))
MIB = 1 << 20
HTTP2, GRPC = {"name": "http", "version": 2}, "grpc"
WARMUP = 3.0


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[dict[str, int]]:
    """Of a server on h2, of nginx, and of a server on grpcio, each running."""
    for peer in ("h2", "nginx", "grpcio"):
        if reason := missing(peer):
            pytest.skip(reason)
    found = {name: free_port() for name in ("http", "files", "grpc")}
    commands = [
        http_peers.h2_server(found["http"]),
        http_peers.nginx(tmp_path, h1=found["files"]),
        grpc_peers.server("grpcio", "soak", found["grpc"]),
    ]
    (tmp_path / "files" / "large").write_bytes(FILE)
    programs = [Program(one.argv, tmp_path / f"{index}.log", one.env, one.ready) for index, one in enumerate(commands)]
    yield found
    for program in programs:
        program.stop()


def config(ports: dict[str, int], web: int, rpc: int, number: int = 0) -> dict[str, Any]:
    """Differs with each number: a route that comes and goes, a cluster's bound, a weight."""
    never = [{"name": "never", "match": {"x-never": str(number)}, "reply": {"error": "denied"}}] if number % 2 else []
    files = {"name": "files", "match": {"path": {"prefix": "/files/"}}, "cluster": "files"}
    limits = {"breaker": {"max_requests": 10_000 + number % 3}}
    return {
        "listeners": [
            listener("web", web, "http", [*never, files, {"name": "rest", "cluster": "http"}]),
            listener("rpc", rpc, GRPC, [*never, {"name": "rest", "cluster": "grpc"}]),
        ],
        "clusters": [
            cluster("http", ports["http"], protocol=HTTP2, **limits),
            cluster("files", ports["files"], **limits),
            cluster("grpc", ports["grpc"], **limits),
        ],
    }


async def load(web: int, rpc: int, seconds: float) -> list[H1Streams | H2Streams]:
    """Callers of all kinds for so many seconds, and until each exchange has its end."""
    callers: list[H1Streams | H2Streams] = []
    for number in range(4):
        callers += [
            H1Streams(http_play, 3 * number, pause=0.01),
            H2Streams(http_play, 3 * number + 1, len(KINDS), 0.05),
            H2Streams(grpc_play, 3 * number + 2, len(KINDS), 0.05),
        ]
    for caller in callers:
        await caller.connect(rpc if caller.plan is grpc_play else web)
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.stopping = True
    deadline = time.monotonic() + 20
    while any(caller.owed for caller in callers) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    for caller in callers:
        caller.close()
    return callers


def descriptors(proxy: Proxy) -> int:
    return len(os.listdir(f"/proc/{proxy.pid}/fd"))


def total(proxy: Proxy, name: str) -> int:
    return int(sum(value for key, value in proxy.stats().items() if key.partition("{")[0] == name))


def test_streams_of_every_kind_beside_reloads_have_one_end_each(
    ports: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    web, rpc = free_port(), free_port()
    at = partial(config, ports, web, rpc)
    (tmp_path / "metaproxy").mkdir()
    proxy = Proxy(at(), tmp_path / "metaproxy")
    over = threading.Event()
    reloads = 0

    def reload() -> None:
        nonlocal reloads
        while not over.wait(0.1):
            reloads += 1
            proxy.write(at(reloads))
            assert proxy.ask("/reload", "POST")[0] == 200

    reloading = threading.Thread(target=reload, daemon=True)
    try:
        reloading.start()
        callers = asyncio.run(load(web, rpc, WARMUP))
        assert eventually(lambda: total(proxy, "metaproxy_listener_connections_active") == 0)
        memory, open_files = proxy.memory(), descriptors(proxy)
        callers += asyncio.run(load(web, rpc, SECONDS))
        over.set()
        reloading.join(10)
        assert eventually(lambda: total(proxy, "metaproxy_listener_connections_active") == 0)
        after, open_after = proxy.memory(), descriptors(proxy)
        counted = proxy.outcomes()
        streams = total(proxy, "metaproxy_streams_active")
        active = total(proxy, "metaproxy_listener_exchanges_active")
    finally:
        over.set()
        proxy.stop()
    sent = sum(caller.sent for caller in callers)
    seen = sum((caller.outcomes for caller in callers), Counter[str]())
    with capsys.disabled():
        moved = sum(caller.moved for caller in callers) / MIB
        print(f"\nstreams, {SECONDS:g} s: {sent:,} exchanges, {moved:.0f} MiB of answers, {reloads} reloads")
        print(f"  clients saw {dict(seen)}, the proxy counted {counted}")
        print(f"  memory {memory / MIB:.1f} -> {after / MIB:.1f} MiB, descriptors {open_files} -> {open_after}")
    assert [text for caller in callers for text in caller.wrong] == []
    assert (sum(caller.owed for caller in callers), streams, active) == (0, 0, 0)
    assert seen["ok"] + seen[GIVEN_UP] == sent == sum(counted.values())
    assert counted["ok"] >= seen["ok"] > sent / 2
    assert seen[GIVEN_UP] > 0
    assert after - memory < 12 * MIB
    assert open_after <= open_files + 4


PIECE = MIB
"""Bytes of a message of the long stream."""


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_long_stream_of_grpc_beside_a_slow_reader_takes_little_memory(
    direction: str, ports: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import grpc
    from example.v1 import echo_pb2, echo_pb2_grpc

    web, rpc = free_port(), free_port()
    (tmp_path / "metaproxy").mkdir()
    proxy = Proxy(config(ports, web, rpc), tmp_path / "metaproxy")
    asking = echo_pb2.EchoRequest(size=PIECE, count=LONG // PIECE)
    sending = echo_pb2.EchoRequest(payload=bytes(PIECE))
    try:
        asyncio.run(load(web, rpc, 1.0))
        proxy.forget_peak()
        base, began = proxy.memory(), time.monotonic()
        with grpc.insecure_channel(f"127.0.0.1:{rpc}") as channel, grpc.insecure_channel(f"127.0.0.1:{rpc}") as other:
            slow = echo_pb2_grpc.EchoStub(other).ServerStream(asking)
            next(slow)
            stub = echo_pb2_grpc.EchoStub(channel)
            if direction == "down":
                passed = sum(len(reply.payload) for reply in stub.ServerStream(asking))
            else:
                passed = int(stub.ClientStream(sending for _ in range(LONG // PIECE)).payload)
            seconds = time.monotonic() - began
            assert slow.is_active()
            slow.cancel()
        taken = proxy.peak() - base
        assert eventually(lambda: total(proxy, "metaproxy_streams_active") == 0)
    finally:
        proxy.stop()
    with capsys.disabled():
        rate = f"{LONG / MIB / seconds:.0f} MiB/s, {taken / MIB:.1f} MiB above the base"
        print(f"\n{LONG / MIB:.0f} MiB {direction} over gRPC beside a slow reader: {rate}")
    assert passed == LONG // PIECE * PIECE
    assert taken < 64 * MIB
