"""
The path of requests in one process, with sockets that cost nothing: what an exchange costs, without a kernel's noise.

    python -m bench.replay dubbo 64x1              nanoseconds of CPU a request
    python -m bench.replay dubbo 64x1 --body 16384 --routes 1000
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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.interfaces import IReactorCore, IReactorFDSet
from twisted.internet.task import Clock
from zope.interface import implementer

from bench.replayed_databases import DATABASES, Database

ROWS = (
    "dubbo 64x1", "dubbo 4x64", "thrift 64x1", "thrift 4x64", "multiplex 4x64", "redis 64x1", "redis 64x16",
    "dubbo 64x1 --routes 1000", "dubbo 64x1 --body 16384", "multiplex 64x1 --body 16384", "redis 64x1 --body 16384",
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
BODY = 64
"""Bytes of an argument and of what is answered, unless they are given."""


@implementer(IReactorFDSet, IReactorCore)
class FakeReactor(Clock):
    """A clock that goes by CPU time's own, and no sockets."""

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...

    def seconds(self) -> float:
        return time.perf_counter()


class FakeSocket:
    """Gives what it was handed, as much at a time as is asked for; keeps what it is sent."""

    number = 1000
    family = 2

    def __init__(self) -> None:
        FakeSocket.number += 1
        self._fd = FakeSocket.number
        self._incoming, self._at = b"", 0
        self.sent: list[Buffer] = []

    def hand(self, data: bytes) -> None:
        """Have these bytes read behind what is there."""
        self._incoming, self._at = self._incoming[self._at :] + data, 0

    @property
    def left(self) -> int:
        return len(self._incoming) - self._at

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int, flags: int = 0) -> bytes:
        at, self._at = self._at, min(self._at + size, len(self._incoming))
        if at == self._at:
            raise BlockingIOError
        return self._incoming[at : self._at]

    def send(self, data: Buffer) -> int:
        self.sent.append(data)
        return len(data)

    def sendmsg(self, pieces: list[Buffer]) -> int:
        self.sent += pieces
        return sum(map(len, pieces))

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


def _text(data: bytes) -> bytes:
    """A string of Hessian 2; a long one comes in pieces."""
    text = b""
    while len(data) > 0xFFFF:
        text, data = text + b"R\xff\xff" + data[:0xFFFF], data[0xFFFF:]
    if len(data) >= 1024:
        return text + b"S" + len(data).to_bytes(2, "big") + data
    return text + bytes([len(data)] if len(data) < 32 else [0x30 | len(data) >> 8, len(data) & 255]) + data


def service(route: int) -> str:
    return f"org.bench.Service{route:04d}"


def method(route: int) -> str:
    return f"echo{route:04d}"


def _dubbo(body: bytes, routes: int) -> tuple[Request, Answers]:
    def call(route: int) -> bytes:
        name = service(route).encode()
        words = (b"2.0.2", name, b"0.0.0", b"echo0000", b"Ljava/lang/String;", body)
        pairs = (b"path", name, b"interface", name, b"version", b"0.0.0")
        return b"".join(map(_text, words)) + b"H" + b"".join(map(_text, pairs)) + b"Z"

    calls = [call(route) for route in range(routes)]
    answer = b"\x94" + _text(body) + b"H" + _text(b"dubbo") + _text(b"2.0.2") + b"Z"

    def request(id: int) -> bytes:
        arguments = calls[id % routes]
        return struct.pack(">HBBQI", 0xDABB, 0xC2, 0, id, len(arguments)) + arguments

    def answers(data: bytes) -> bytes:
        out, at = [], 0
        while at < len(data):
            out += [b"\xda\xbb\x02\x14", data[at + 4 : at + 12], len(answer).to_bytes(4, "big"), answer]
            at += 16 + int.from_bytes(data[at + 12 : at + 16], "big")
        return b"".join(out)

    return request, answers


def _thrift(body: bytes, routes: int) -> tuple[Request, Answers]:
    names = [method(route).encode() for route in range(routes)]
    rest = struct.pack(">i", len(body)) + body + b"\0"

    def message(kind: int, name: bytes, id: bytes, field: bytes) -> bytes:
        frame = struct.pack(">HBBi", 0x8001, 0, kind, len(name)) + name + id + field + rest
        return struct.pack(">i", len(frame)) + frame

    def request(id: int) -> bytes:
        return message(1, names[id % routes], id.to_bytes(4, "big"), b"\x0b\x00\x01")

    def answers(data: bytes) -> bytes:
        out, at = [], 0
        while at < len(data):
            out.append(message(2, data[at + 12 : at + 20], data[at + 20 : at + 24], b"\x0b\x00\x00"))
            at += 4 + int.from_bytes(data[at : at + 4], "big")
        return b"".join(out)

    return request, answers


def _redis(body: bytes, routes: int) -> tuple[Request, Answers]:
    answer = b"$%d\r\n%b\r\n" % (len(body), body)

    def request(id: int) -> bytes:
        return b"*2\r\n$3\r\nGET\r\n$13\r\nbench:64:%04d\r\n" % (id % 1000)

    def answers(data: bytes) -> bytes:
        return answer * data.count(b"*2\r\n")

    return request, answers


Buffer = bytes | memoryview
Request = Callable[[int], bytes]
Answers = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Protocol:
    """match: a route's, with the number of the route; cluster: more of it; peers: (body, routes) -> both sides."""

    codec: str
    match: Callable[[int], str]
    cluster: str
    peers: Callable[[bytes, int], tuple[Request, Answers]]


def _by_interface(route: int) -> str:
    return f"match: {{interface: {service(route)}, method: echo0000}}, "


def _by_method(route: int) -> str:
    return f"match: {{method: {method(route)}}}, "


def _any(route: int) -> str:
    return ""


def _database(database: Database) -> Protocol:
    return Protocol(database.codec, _any, database.cluster, lambda body, routes: (database.request, database.answers))


PROTOCOLS: dict[str, Protocol] = {
    "dubbo": Protocol("dubbo", _by_interface, "", _dubbo),
    "thrift": Protocol("thrift", _by_method, "", _thrift),
    "multiplex": Protocol("thrift", _by_method, "connections: {mode: multiplex}", _thrift),
    "redis": Protocol("redis", _any, "", _redis),
    **{name: _database(one) for name, one in DATABASES.items()},
}
CONFIG = """
admin: {{listen: "127.0.0.1:1"}}
listeners:
  - name: bench
    listen: 127.0.0.1:7777
    protocol: {codec}
    filters: [{{local_rate_limit: {{limit: 100000000, per: 1s, burst: 100000000}}}}]
    routes: [{routes}]
clusters:
  - name: backend
    endpoints: ["127.0.0.1:1"]
    {more}
    breaker: {{max_connections: 100000, max_pending: 100000, max_requests: 100000}}
"""


class Replay:
    """
    The proxy with `connections` clients, each of which has `depth` requests in flight. body: bytes of an argument and
    of an answer; routes: as many, each hit in turn.
    """

    def __init__(self, protocol: str, connections: int, depth: int, body: int = BODY, routes: int = 1) -> None:
        from metaproxy.proxy import transport

        made = PROTOCOLS[protocol]
        self._request, self._answers = made.peers(b"y" * body, routes)
        self._upstreams: list[tuple[Any, FakeSocket]] = []
        self._greeted: set[FakeSocket] = set()
        self._connection = transport.Connection
        self._network = self._made_network()
        table = ", ".join(f"{{{made.match(route)}cluster: backend}}" for route in range(routes))
        text = CONFIG.format(codec=made.codec, routes=table, more=made.cluster)
        self._hello = DATABASES[protocol].hello if protocol in DATABASES else b""
        accepted = self._listener(text)
        self._clients = [self._client(accepted, number) for number in range(connections)]
        if protocol in DATABASES:
            self._log_in(DATABASES[protocol])
        self._depth, self._varies = depth, protocol in DATABASES or routes > 1
        self._number = 0
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
        self._counts = [route.targets[0].counts for route in listener.snapshot.routes.routes]
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
        self._turn([], lambda: None)  # what the proxy says first
        self._greet()
        for step in database.login:
            for _, sock in self._clients:
                sock.hand(step(b"".join(sock.sent)))
                sock.sent.clear()
            self._turn(self._clients, lambda: None)
            self._answer_all(lambda: None)

    def _ask(self) -> None:
        """What each client will send; a database is seldom asked for the same again."""
        for _, sock in self._clients:
            first = self._number
            sock.hand(b"".join(self._request(first + id + 1) for id in range(self._depth)))
            self._number += self._depth if self._varies else 0

    def _greet(self) -> None:
        """What the server says first on the connections that are new."""
        new = [(connection, sock) for connection, sock in self._upstreams if self._hello and sock not in self._greeted]
        if not new:
            return
        for _, sock in new:
            sock.hand(self._hello)
            self._greeted.add(sock)
        self._turn(new, lambda: None)

    def _answer_all(self, count: Callable[[], object]) -> None:
        """Clients are read and servers answer, until they are asked nothing more."""
        while True:
            self._greet()
            for _, sock in self._upstreams:
                if sock.sent:
                    asked = b"".join(sock.sent)
                    sock.sent.clear()
                    sock.hand(self._answers(asked))
            ready = [one for one in (*self._clients, *self._upstreams) if one[1].left]
            if not ready:
                return
            left = sum(sock.left for _, sock in ready)
            self._turn(ready, count)
            if sum(sock.left for _, sock in ready) == left:
                raise SystemExit("the proxy reads no more")

    def cycle(self, count: Callable[[], object]) -> None:
        """
        Each client asks and is answered. count: called before and after what the proxy does. Raises SystemExit unless
        all are answered, and well: a refusal costs something else.
        """
        self._ask()
        well = self._answered_well()
        self._answer_all(count)
        for _, sock in self._clients:
            if not sock.sent:
                raise SystemExit("a client got no answer")
            sock.sent.clear()
        if self._answered_well() != well + self.size:
            outcomes = sum((Counter(counts.outcomes) for counts in self._counts), Counter())
            raise SystemExit(f"not every request of a round was answered well; so far there are {dict(outcomes)}")

    def _answered_well(self) -> int:
        return sum(counts.outcomes.get("ok", 0) for counts in self._counts)

    def _turn(self, ready: list[tuple[Any, FakeSocket]], count: Callable[[], object]) -> None:
        turn = self._network.turn
        count()
        turn.begin()
        for connection, _ in ready:
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
    parser.add_argument("--body", type=int, default=BODY, help="bytes of an argument or value; %(default)s")
    parser.add_argument("--routes", type=int, default=1, help="entries of the route table, each hit in turn; 1")
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
    replay = Replay(given.protocol, connections, depth, given.body, given.routes)
    if library := os.environ.get("BENCH_TOGGLE"):
        run_counted(replay, library)
    else:
        print(f"{' '.join(sys.argv[1:3])}: {nanoseconds(replay, given.seconds)} ns a request")


if __name__ == "__main__":
    main()
