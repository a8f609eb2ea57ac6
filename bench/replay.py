"""
The path of requests in one process, with sockets that cost nothing: what an exchange costs, without a kernel's noise.

    python -m bench.replay dubbo 64x1              nanoseconds of CPU a request
    python -m bench.replay                         instructions a request of each row, counted by valgrind's callgrind

Instructions are the same on a busy machine, so a change of some percent can be seen. Lives here: the fake sockets, the
requests and answers, the two ways of counting. Does not: real sockets and other proxies (`bench.run`).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.interfaces import IReactorCore, IReactorFDSet
from twisted.internet.task import Clock
from zope.interface import implementer

from bench.replayed_databases import DATABASES, Database

ROWS = (
    "dubbo 64x1", "dubbo 4x64", "thrift 64x1", "thrift 4x64", "multiplex 4x64", "redis 64x1", "redis 64x16",
    *(f"{name} 64x1" for name in DATABASES),
)  # fmt: skip
"""Protocol, and connections x requests in flight on each; multiplex is Thrift over shared connections."""
TOGGLE = """
#include <valgrind/callgrind.h>
void toggle(void) { CALLGRIND_TOGGLE_COLLECT; }
void zero(void) { CALLGRIND_ZERO_STATS; }
"""
CYCLES = 10
"""Rounds that are counted, and as many before them that are not."""
BODY = b"y" * 64
SERVICE, METHOD = "org.bench.Service0000", "echo0000"


@implementer(IReactorFDSet, IReactorCore)
class FakeReactor(Clock):
    """A clock that goes by CPU time's own, and no sockets."""

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...

    def seconds(self) -> float:
        return time.perf_counter()


class FakeSocket:
    """Gives what it was handed, keeps what it is sent."""

    number = 1000
    family = 2

    def __init__(self) -> None:
        FakeSocket.number += 1
        self._fd = FakeSocket.number
        self.incoming = b""
        self.sent: list[bytes] = []

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes:
        return self.incoming

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def close(self) -> None: ...

    def getsockopt(self, *_: int) -> int:
        return 0


class FakePoll:
    def register(self, *_: int) -> None: ...

    def modify(self, *_: int) -> None: ...

    def unregister(self, *_: int) -> None: ...

    def fileno(self) -> int:
        return 999

    def close(self) -> None: ...


# -- requests and answers, as the bench's load and backends make them


def _text(value: str) -> bytes:
    data = value.encode()
    return bytes([len(data)] if len(data) < 32 else [0x30 | len(data) >> 8, len(data) & 255]) + data


_DUBBO_CALL = b"".join(map(_text, ("2.0.2", SERVICE, "0.0.0", METHOD, "Ljava/lang/String;", BODY.decode()))) + b"H"
_DUBBO_CALL += b"".join(map(_text, ("path", SERVICE, "interface", SERVICE, "version", "0.0.0"))) + b"Z"
_DUBBO_ANSWER = b"\x94" + _text(BODY.decode()) + b"H" + _text("dubbo") + _text("2.0.2") + b"Z"


def dubbo_request(id: int) -> bytes:
    return struct.pack(">HBBQI", 0xDABB, 0xC2, 0, id, len(_DUBBO_CALL)) + _DUBBO_CALL


def dubbo_answers(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        head = b"\xda\xbb\x02\x14" + data[at + 4 : at + 12] + len(_DUBBO_ANSWER).to_bytes(4, "big")
        out.append(head + _DUBBO_ANSWER)
        at += 16 + int.from_bytes(data[at + 12 : at + 16], "big")
    return b"".join(out)


def _thrift(kind: int, id: int, field: bytes) -> bytes:
    name = METHOD.encode()
    head = struct.pack(">HBBi", 0x8001, 0, kind, len(name)) + name + struct.pack(">i", id)
    body = head + field + struct.pack(">i", len(BODY)) + BODY + b"\0"
    return struct.pack(">i", len(body)) + body


def thrift_request(id: int) -> bytes:
    return _thrift(1, id, b"\x0b\x00\x01")


def thrift_answers(data: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        out.append(_thrift(2, int.from_bytes(data[at + 20 : at + 24], "big"), b"\x0b\x00\x00"))
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return b"".join(out)


def redis_request(id: int) -> bytes:
    return b"*2\r\n$3\r\nGET\r\n$13\r\nbench:64:%04d\r\n" % (id % 1000)


def redis_answers(data: bytes) -> bytes:
    return (b"$64\r\n" + BODY + b"\r\n") * data.count(b"*2\r\n")


Request, Answers = Callable[[int], bytes], Callable[[bytes], bytes]
PROTOCOLS: dict[str, tuple[str, str, str, Request, Answers]] = {
    "dubbo": ("dubbo", f"{{interface: {SERVICE}, method: {METHOD}}}", "", dubbo_request, dubbo_answers),
    "thrift": ("thrift", f"{{method: {METHOD}}}", "", thrift_request, thrift_answers),
    "multiplex": ("thrift", f"{{method: {METHOD}}}", "connections: {mode: multiplex}", thrift_request, thrift_answers),
    "redis": ("redis", "", "", redis_request, redis_answers),
    **{name: (one.codec, "", one.cluster, one.request, one.answers) for name, one in DATABASES.items()},
}
"""Name -> codec, match of the route, more of the cluster, requests, answers."""
CONFIG = """
admin: {{listen: "127.0.0.1:1"}}
listeners:
  - name: bench
    listen: 127.0.0.1:7777
    protocol: {codec}
    filters: [{{local_rate_limit: {{limit: 100000000, per: 1s, burst: 100000000}}}}]
    routes: [{{{match} cluster: backend}}]
clusters:
  - name: backend
    endpoints: ["127.0.0.1:1"]
    {more}
    breaker: {{max_connections: 100000, max_pending: 100000, max_requests: 100000}}
"""


class Replay:
    """The proxy with `connections` clients, each of which has `depth` requests in flight."""

    def __init__(self, protocol: str, connections: int, depth: int) -> None:
        from metaproxy.proxy import transport

        codec, match, more, request, self._answers = PROTOCOLS[protocol]
        self._upstreams: list[tuple[Any, FakeSocket]] = []
        self._connection = transport.Connection
        self._network = self._made_network()
        text = CONFIG.format(codec=codec, match=f"match: {match}," if match else "", more=more)
        self._hello = DATABASES[protocol].hello if protocol in DATABASES else b""
        accepted = self._listener(text)
        self._clients = [self._client(accepted, number) for number in range(connections)]
        if protocol in DATABASES:
            self._log_in(DATABASES[protocol])
        self._request, self._depth, self._varies = request, depth, protocol in DATABASES
        self._number = 0
        self._ask()
        for _, sock in self._clients:
            sock.sent.clear()
        self.size = connections * depth

    def _made_network(self) -> Any:
        from metaproxy.proxy import transport
        from metaproxy.proxy.flush_queue import FlushQueue

        clock = FakeReactor()
        network: Any = transport.Network(clock, FlushQueue(clock))
        network._epoll = FakePoll()
        network.connect = self._connect
        network.listen = lambda where, accepted, backlog=0: SimpleNamespace(
            bound="x", accepted=accepted, address=where, close=lambda: None, hand_to=lambda accepted: None
        )
        return network

    def _listener(self, text: str) -> Callable[[Any], Any]:
        from metaproxy.app.application import Application
        from metaproxy.app.service import ProxyService
        from metaproxy.config.build import Builder
        from metaproxy.plugins import Registry
        from metaproxy.telemetry.access_log.files import LogFiles

        registry, clock = Registry(), self._network.clock
        proxy = ProxyService(self._network, registry)
        builder = Builder(registry, clock, LogFiles(clock))
        problems = Application("bench.yaml", [], proxy, builder, clock).apply_text(text)
        if problems:
            raise SystemExit("\n".join(problems))
        listener = proxy.listeners["bench"]
        self._outcomes = listener.snapshot.routes.routes[0].targets[0].counts.outcomes
        accepted: Callable[[Any], Any] = next(iter(listener.sockets.values())).accepted
        return accepted

    def _connect(self, where: object, protocol: Any, timeout: float, source: str = "") -> None:
        sock = FakeSocket()
        connection = self._connection(self._network, sock, "127.0.0.1:1", "127.0.0.1:2")  # type: ignore[arg-type]
        self._network.attach(connection, protocol)
        self._upstreams.append((connection, sock))

    def _client(self, accepted: Callable[[Any], Any], number: int) -> tuple[Any, FakeSocket]:
        sock = FakeSocket()
        connection = self._connection(self._network, sock, "127.0.0.1:7777", f"127.0.0.1:{number + 1}")  # type: ignore[arg-type]
        self._network.attach(connection, accepted(connection))
        return connection, sock

    def _log_in(self, database: Database) -> None:
        """Each client's login, and those of the connections to servers that it brings about."""
        self._turn(self._network.turn, [], lambda: None)  # what the proxy says first
        self._greet()
        for step in database.login:
            for _, sock in self._clients:
                sock.incoming = step(b"".join(sock.sent))
                sock.sent.clear()
            self._turn(self._network.turn, [connection for connection, _ in self._clients], lambda: None)
            self._answer_all(lambda: None)

    def _ask(self) -> None:
        """What each client will send; a database is seldom asked for the same again."""
        for _, sock in self._clients:
            first = self._number
            sock.incoming = b"".join(self._request(first + id + 1) for id in range(self._depth))
            self._number += self._depth if self._varies else 0

    def _greet(self) -> None:
        """What the server says first on the connections that are new."""
        new = [(connection, sock) for connection, sock in self._upstreams if self._hello and not sock.incoming]
        if not new:
            return
        for _, sock in new:
            sock.incoming = self._hello
        self._turn(self._network.turn, [connection for connection, _ in new], lambda: None)

    def _answer_all(self, count: Callable[[], object]) -> None:
        """Servers answer until they are asked nothing more."""
        self._greet()
        while busy := [(connection, sock) for connection, sock in self._upstreams if sock.sent]:
            for _, sock in busy:
                sock.incoming = self._answers(b"".join(sock.sent))
                sock.sent.clear()
            self._turn(self._network.turn, [connection for connection, _ in busy], count)
            self._greet()

    def cycle(self, count: Callable[[], object]) -> None:
        """
        Each client asks and is answered. count: called before and after what the proxy does. Raises SystemExit unless
        all are answered, and well: a refusal costs something else.
        """
        if self._varies:
            self._ask()
        well = self._outcomes.get("ok", 0)
        self._turn(self._network.turn, [connection for connection, _ in self._clients], count)
        self._answer_all(count)
        for _, sock in self._clients:
            if not sock.sent:
                raise SystemExit("a client got no answer")
            sock.sent.clear()
        if self._outcomes.get("ok", 0) != well + self.size:
            raise SystemExit(f"not every request of a round was answered well; so far there are {self._outcomes}")

    @staticmethod
    def _turn(turn: Any, connections: list[Any], count: Callable[[], object]) -> None:
        count()
        turn.begin()
        for connection in connections:
            connection.read()
        turn.end()
        count()


def settle(replay: Replay) -> None:
    for _ in range(CYCLES):
        replay.cycle(lambda: None)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50000, 20, 100)


def nanoseconds(replay: Replay, seconds: float) -> int:
    """CPU time a request; the tenth percentile of rounds, as other work on the machine only adds."""
    settle(replay)
    figures: list[float] = []
    end = time.monotonic() + seconds
    marks: list[int] = []
    while time.monotonic() < end:
        replay.cycle(lambda: marks.append(time.thread_time_ns()))
        figures.append(sum(marks[1::2]) - sum(marks[::2]))
        marks.clear()
    return round(sorted(figures)[len(figures) // 10] / replay.size)


def run_counted(replay: Replay, library: str) -> None:
    """Under callgrind: toggles its collection around what the proxy does, and says how many requests that were."""
    counting = ctypes.PyDLL(library)
    settle(replay)
    counting.zero()
    for _ in range(CYCLES):
        replay.cycle(counting.toggle)
    print("requests", CYCLES * replay.size)


def instructions(row: str, library: str) -> int:
    """Instructions a request of one row, counted in a process of its own."""
    environ = {**os.environ, "PYTHONHASHSEED": "0", "BENCH_TOGGLE": library}
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]
    done = subprocess.run(
        [*tool, sys.executable, "-m", "bench.replay", *row.split()], env=environ, capture_output=True, text=True
    )
    requests, collected = (
        re.search(r"^requests (\d+)", done.stdout, re.M),
        re.findall(r"Collected : (\d+)", done.stderr),
    )
    if requests is None or not collected:
        raise SystemExit(f"{row}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return round(int(collected[-1]) / int(requests[1]))


def toggle_library(folder: Path) -> str:
    """Raises SystemExit when there is no C compiler, or valgrind's headers are missing."""
    source, library = folder / "toggle.c", folder / "toggle.so"
    source.write_text(TOGGLE)
    built = subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], capture_output=True, text=True)
    if built.returncode:
        raise SystemExit(f"bench.replay needs valgrind and a C compiler (apt-get install valgrind gcc): {built.stderr}")
    return str(library)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__.split("\n\n")[0])
    parser.add_argument("protocol", nargs="?", choices=sorted(PROTOCOLS), help="without it: all rows, under callgrind")
    parser.add_argument("load", nargs="?", default="64x1", help="connections x requests in flight: 64x1, 4x64")
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    if given.protocol is None:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            library = toggle_library(Path(folder))
            print("| row | instructions a request |\n|---|---|", flush=True)
            for row in ROWS:
                print(f"| {row} | {instructions(row, library):,} |", flush=True)
        return
    if not re.fullmatch(r"\d+x\d+", given.load):
        parser.error(f"load is {given.load!r}; write 64x1: connections, x, requests in flight on each")
    connections, depth = map(int, given.load.split("x"))
    replay = Replay(given.protocol, connections, depth)
    if library := os.environ.get("BENCH_TOGGLE"):
        run_counted(replay, library)
    else:
        print(f"{given.protocol} {given.load}: {nanoseconds(replay, given.seconds)} ns a request")


if __name__ == "__main__":
    main()
