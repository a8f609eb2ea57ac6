"""
Work grows with what it is done for and no faster: for twice as much at most two and a half times the work.

Lives here: bytes that a peer sends, in every form; metadata that are asked for; exchanges through each filter;
exchanges that end at once. Does not: how work is counted (linear).
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import LineCodec, Quill, Stage, Wire, answer, call
from linear import check_large, check_linear, check_steady, receiving
from twisted.internet.task import Clock

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.framing import Codec
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.config import model
from metaproxy.interfaces import ICodec, IFilter
from metaproxy.message import Side
from metaproxy.plugins import Registry
from metaproxy.testing.fakes import FakeExchange

GOLDEN = Path(__file__).parents[1] / "golden"
MEBI = 1 << 20

# -- what peers send

PINNED = partial(Redis, mode="pinned")
CODECS: dict[str, tuple[Callable[[], ICodec], str]] = {
    "dubbo": (Dubbo, "dubbo/npm.json"),
    "thrift framed binary": (Thrift, "thrift/py-framed-binary.json"),
    "thrift framed compact": (Thrift, "thrift/cpp-framed-compact.json"),
    "thrift buffered binary": (Thrift, "thrift/py-buffered-binary.json"),
    "thrift buffered compact": (Thrift, "thrift/cpp-buffered-compact.json"),
    "thrift buffered json": (Thrift, "thrift/cpp-buffered-json.json"),
    "thrift header": (Thrift, "thrift/py-header-binary.json"),
    "thrift header zlib": (Thrift, "thrift/py-header-binary-zlib.json"),
    "redis": (Redis, "redis/redis-py-resp3.json"),
    "redis pinned": (PINNED, "redis/redis-py-resp3.json"),
    "redis inline": (Redis, "redis/inline.json"),
}
SIDES = {Side.CLIENT: "client", Side.SERVER: "server"}


def spoken(file: str, side: Side) -> list[bytes]:
    """What one side says in the first exchanges of a recording."""
    exchanges = json.loads((GOLDEN / file).read_text())["exchanges"][:4]
    return [
        bytes.fromhex(frame["hex"])
        for exchange in exchanges
        for frame in exchange["frames"]
        if frame["from"] == SIDES[side]
    ]


def session(make: Callable[[], ICodec], side: Side, most: int = 4 * MEBI) -> Any:
    made = make().session(side, most)
    if side is Side.SERVER:
        made.open(None, {})
    return made


def several(said: list[bytes], number: int) -> bytes:
    """So many of the entries, again from the first when all are there."""
    return b"".join(said[place % len(said)] for place in range(number))


@pytest.fixture(params=[(name, side) for name in CODECS for side in Side], ids=lambda one: f"{one[0]}-{SIDES[one[1]]}")
def spoke(request: pytest.FixtureRequest) -> tuple[Callable[[], ICodec], Side, list[bytes]]:
    name, side = request.param
    make, file = CODECS[name]
    return make, side, spoken(file, side)


def test_many_frames_in_one_read_cost_what_they_are(spoke: Any) -> None:
    make, side, said = spoke
    check_linear(lambda size: receiving(session(make, side), [several(said, size)]), 200)


def test_a_frame_a_read_costs_the_same_however_many_came_before(spoke: Any) -> None:
    make, side, said = spoke
    pieces = [said[number % len(said)] for number in range(200)]
    check_steady(lambda: receiving(session(make, side), pieces), 200, True)


def test_bytes_that_trickle_in_cost_what_they_are(spoke: Any) -> None:
    make, side, said = spoke
    whole = several(said, 200)
    check_steady(lambda: receiving(session(make, side), (whole[i : i + 1] for i in range(800))), 800)


def test_bytes_that_are_nothing_cost_no_more_than_they_are(spoke: Any) -> None:
    make, side, _ = spoke
    for byte in (b"\x00", b"\xff", b"*", b"\n", b" ", b"[", b"$1\r\n"):
        check_steady(partial(repeated, make, side, byte * 64, 32), 32, True)


def repeated(make: Callable[[], ICodec], side: Side, piece: bytes, number: int) -> Iterator[Callable[[], object]]:
    return receiving(session(make, side), [piece] * number)


def redis_words(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def redis_logins(size: int) -> bytes:
    return redis_words(b"HELLO", b"3", *[b"AUTH", b"u", b"p"] * size)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def thrift_call(fields: bytes) -> bytes:
    return framed(b"\x80\x01\x00\x01\x00\x00\x00\x04echo\x00\x00\x00\x07" + fields + b"\x00")


def thrift_text(size: int) -> bytes:
    return thrift_call(b"\x0b\x00\x01" + framed(bytes(size)))


def thrift_list(size: int) -> bytes:
    """A list of so many empty lists."""
    return thrift_call(b"\x0f\x00\x01\x0f" + size.to_bytes(4, "big") + b"\x0b\x00\x00\x00\x00" * size)


def theader(headers: int, transforms: int = 0) -> bytes:
    """THeader with so many keys, and its body deflated so often."""
    pairs = b"".join(b"\x06%06d\x01v" % number for number in range(headers))
    head = varint(0) + varint(transforms) + varint(1) * transforms + varint(1) + varint(headers) + pairs
    head += bytes(-len(head) % 4)
    body = thrift_text(100)[4:]
    for _ in range(transforms):
        body = zlib.compress(body)
    return framed(b"\x0f\xff\x00\x00\x00\x00\x00\x07" + (len(head) // 4).to_bytes(2, "big") + head + body)


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def hessian_text(text: str) -> bytes:
    data = text.encode()
    return (bytes([len(data)]) if len(data) < 32 else b"S" + len(data).to_bytes(2, "big")) + data


def dubbo_call(types: str, arguments: bytes, attachments: int = 1) -> bytes:
    words = b"".join(map(hessian_text, ("2.0.2", "org.example.Echo", "1.0.0", "echo", types)))
    pairs = b"".join(hessian_text(f"k{number}") + hessian_text("v") for number in range(attachments))
    body = words + arguments + b"H" + pairs + b"Z"
    return b"\xda\xbb\xc2\x00" + (7).to_bytes(8, "big") + framed(body)


def dubbo_list(argument: bytes) -> bytes:
    return dubbo_call("Ljava/lang/Object;", argument)


def dubbo_text(size: int) -> bytes:
    """An argument of so many characters, in chunks as Java writes them."""
    chunks = b"".join(b"R\x40\x00" + b"a" * 16384 for _ in range(size // 16384))
    return dubbo_call("Ljava/lang/String;", chunks + hessian_text("end"))


UNFRAMED = partial(Thrift, "unframed", "binary")
HUGE: dict[str, tuple[Callable[[], ICodec], Side, Callable[[int], bytes], int]] = {
    "redis value": (Redis, Side.CLIENT, lambda size: redis_words(b"SET", b"k", bytes(size)), MEBI),
    "redis answer": (Redis, Side.SERVER, lambda size: b"$%d\r\n%b\r\n" % (size, bytes(size)), MEBI),
    "redis words": (Redis, Side.CLIENT, lambda size: redis_words(b"MGET", *[b"k"] * size), 800),
    "redis list": (Redis, Side.SERVER, lambda size: b"*%d\r\n" % size + b":1\r\n" * size, 800),
    "redis lists in lists": (Redis, Side.SERVER, lambda size: b"*1\r\n" * size + b":1\r\n", 30),
    "redis line": (Redis, Side.CLIENT, lambda size: b"SET k " + b"x" * size + b"\r\n", 32768),
    "redis inline words": (Redis, Side.CLIENT, lambda size: b"MGET" + b" k" * size + b"\r\n", 800),
    "redis logins": (Redis, Side.CLIENT, redis_logins, 600),
    "redis pinned channels": (PINNED, Side.CLIENT, lambda size: redis_words(b"SUBSCRIBE", *[b"k"] * size), 800),
    "redis pinned name": (PINNED, Side.CLIENT, lambda size: redis_words(b"x\0" * size, b"k"), 32768),
    "redis name": (Redis, Side.CLIENT, lambda size: redis_words(b"x" * size, b"k"), 65536),
    "thrift text": (Thrift, Side.CLIENT, thrift_text, MEBI),
    "thrift lists": (Thrift, Side.CLIENT, thrift_list, 800),
    "thrift unframed lists": (UNFRAMED, Side.CLIENT, lambda size: thrift_list(size)[4:], 800),
    "theader keys": (Thrift, Side.CLIENT, theader, 600),
    "theader deflated": (Thrift, Side.CLIENT, lambda size: theader(1, size), 8),
    "dubbo text": (Dubbo, Side.CLIENT, dubbo_text, MEBI),
    "dubbo lists": (Dubbo, Side.CLIENT, lambda size: dubbo_list(b"W" + b"\x78" * size + b"Z"), 800),
    "dubbo lists in lists": (Dubbo, Side.CLIENT, lambda size: dubbo_list(b"\x79" * size + b"\x78"), 600),
    "dubbo maps": (Dubbo, Side.CLIENT, lambda size: dubbo_list(b"H" + b"\x91\x91" * size + b"Z"), 800),
    "dubbo attachments": (Dubbo, Side.CLIENT, lambda size: dubbo_call("", b"", size), 600),
    "dubbo types": (Dubbo, Side.CLIENT, lambda size: dubbo_call("I" * size, b"\x91" * size), 600),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("cut", ["whole", "in pieces"])
def test_one_huge_frame_costs_what_it_is_and_so_do_its_metadata(name: str, cut: str) -> None:
    make, side, frame, size = HUGE[name]
    keys = ("operation", "method", "tenant", "key", "argument.0", "absent")
    check_large(lambda: session(make, side, 64 * MEBI), frame, size, cut == "whole", keys)


# -- filters

LIMIT = {"limit": 100, "per": "1s"}
USERS = {"entries": [{"key": "user", "from": "user"}], "limit": {"requests_per_unit": 5, "unit": "minute"}}
FILTERS: list[tuple[str, dict[str, object]]] = [
    ("local_rate_limit", LIMIT),
    ("local_rate_limit", {**LIMIT, "key": "user", "max_keys": 100}),
    ("global_rate_limit", {"descriptors": [USERS], "max_keys": 100}),
    ("concurrency_limit", {"limit": 10}),
    ("concurrency_limit", {"adaptive": {}}),
    ("deadline", {}),
    ("fault", {"faults": [{"percentage": 50, "error": {"kind": "overload"}, "match": {"user": {"regex": ".*7"}}}]}),
    ("istio_stats", {}),
    ("metadata_exchange", {}),
    ("rbac", {"policies": {"a": {"permissions": [{"user": {"regex": "u.*9"}}]}}}),
    ("jwt", {"providers": {"demo": {"issuer": "demo", "algorithms": ["HS256"], "shared_secret": "x" * 32}}}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), FILTERS, ids=[name for name, _ in FILTERS])
def test_exchanges_through_a_filter_cost_the_same_however_many_came_before(
    name: str, options: dict[str, object]
) -> None:
    """Each of another caller, some with long values, half of them under way at a time."""
    registry = Registry()

    def job(size: int) -> Iterator[Callable[[], object]]:
        filter: Any = registry.factory(IFilter, name, options, {"clock": Clock(), "node": model.Node()})()
        waiting: deque[FakeExchange] = deque()
        for number in range(size):
            long = "x" * (4096 if number % 50 == 0 else 8)
            exchange = FakeExchange({"user": f"u{number}", "tenant": long, "authorization": f"Bearer {long}.{long}.x"})
            waiting.append(exchange)
            if hasattr(filter, "on_request"):
                yield partial(filter.on_request, exchange)
            if hasattr(filter, "on_complete") and len(waiting) > size // 2:
                yield partial(ended, filter, waiting.popleft())
        for exchange in waiting:
            if hasattr(filter, "on_complete"):
                yield partial(ended, filter, exchange)

    check_linear(job, 400)


def ended(filter: Any, exchange: FakeExchange) -> None:
    exchange.outcome = "ok"
    filter.on_complete(exchange)


# -- exchanges that end at once

CODECS_IN_MEMORY: dict[str, Callable[[], Codec]] = {"by id": Quill, "in order": LineCodec}
A_CLIENT = 25
"""Requests of one client: fewer than it may have under way before its first answer."""


def requests(kind: str, numbers: Iterable[int]) -> bytes:
    return b"".join(call(one + 1) if kind == "by id" else b"get %d\n" % one for one in numbers)


def stage_of(kind: str) -> Stage:
    return Stage(codec=CODECS_IN_MEMORY[kind](), request_timeout=5.0, stall_timeout=0.0)


def asking(stage: Stage, kind: str, number: int) -> Iterator[tuple[Wire, bytes]]:
    """Clients, and what each of them asks: so many requests in all."""
    for first in range(0, number, A_CLIENT):
        yield stage.client(), requests(kind, range(first, min(first + A_CLIENT, number)))


def under_way(kind: str, number: int) -> tuple[Stage, list[Wire]]:
    """A stage whose server has so many requests and answers none."""
    stage, clients = stage_of(kind), []
    for wire, data in asking(stage, kind, number):
        stage.say(wire, data)
        clients.append(wire)
    return stage, clients


def out_of_time(stage: Stage) -> None:
    """The time of all is over; they may end a few at a time."""
    stage.clock.advance(5.0)
    counts = stage.route.targets[0].counts.outcomes
    ended = -1
    while ended < sum(counts.values()):
        ended = sum(counts.values())
        stage.clock.advance(0.001)


@pytest.mark.parametrize("kind", CODECS_IN_MEMORY)
def test_time_outs_of_everything_under_way_cost_what_they_are(kind: str) -> None:
    def job(size: int) -> Iterator[Callable[[], object]]:
        stage, _ = under_way(kind, size)
        yield partial(out_of_time, stage)
        assert stage.route.targets[0].counts.outcomes == {"timeout": size}

    check_linear(job, 1_200)


@pytest.mark.parametrize("kind", CODECS_IN_MEMORY)
@pytest.mark.parametrize("end", ["a client leaves", "the server leaves", "the server answers", "a server drains"])
def test_whatever_ends_everything_under_way_costs_what_it_ends(kind: str, end: str) -> None:
    def job(size: int) -> Iterator[Callable[[], object]]:
        stage, clients = under_way(kind, size)
        server = stage.network.upstreams[0]
        if end == "the server answers":
            ids = range(1, size + 1)
            data = b"".join(map(answer, ids)) if kind == "by id" else b"a\n" * size
            yield lambda: stage.say(server, data)
        elif end == "a client leaves":
            for client in clients:
                yield client.end
        elif end == "the server leaves":
            yield server.end
        else:
            yield lambda: stage.cluster.drain(stage.endpoints[0])
            yield partial(out_of_time, stage)

    check_linear(job, 800)


@pytest.mark.parametrize("kind", CODECS_IN_MEMORY)
def test_requests_that_wait_for_a_connection_cost_what_they_are_when_none_comes(kind: str) -> None:
    def job(size: int) -> Iterator[Callable[[], object]]:
        stage = stage_of(kind)
        stage.cluster.breaker.max_pending = 1 << 20
        stage.network.accept = False
        for wire, data in asking(stage, kind, size):
            yield partial(stage.say, wire, data)
        yield partial(out_of_time, stage)
        assert stage.route.targets[0].counts.outcomes == {"timeout": size}

    check_linear(job, 800)
