"""
What clients and servers of Dubbo, Thrift and Redis say in `bench.replay`, as the bench's load and backends do.

Lives here: `RPC`. Does not: how it is replayed (`replay`).
"""

from __future__ import annotations

import struct

from bench.replayed import Answers, Protocol, Request
from metaproxy.interfaces import ILayout


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


def _three_nodes() -> ILayout:
    """Of a Redis Cluster: which of them has which slots."""
    from metaproxy.codecs.redis import layouts
    from metaproxy.message import Kind, Message

    nodes = "".join(
        f"{place:040x} 127.0.0.1:{7000 + place}@1 master - 0 0 {place} connected {first}-{last}\r\n"
        for place, (first, last) in enumerate(((0, 5460), (5461, 10922), (10923, 16383)))
    )
    info = "cluster_state:ok\r\ncluster_current_epoch:3\r\n"
    answers = [Message(Kind.RESPONSE, b"$%d\r\n%b\r\n" % (len(text), text.encode()), 0, {}) for text in (info, nodes)]
    return layouts.layout("cluster", answers, "127.0.0.1:7000")


def _by_interface(route: int) -> str:
    return f"match: {{interface: {service(route)}, method: echo0000}}, "


def _by_method(route: int) -> str:
    return f"match: {{method: {method(route)}}}, "


RPC: dict[str, Protocol] = {
    "dubbo": Protocol("dubbo", _by_interface, "", _dubbo),
    "thrift": Protocol("thrift", _by_method, "", _thrift),
    "multiplex": Protocol("thrift", _by_method, "connections: {mode: multiplex}", _thrift),
    "redis": Protocol("redis", lambda route: "", "", _redis),
    "redis-cluster": Protocol(
        "{name: redis, databases: 1}", lambda route: "", "topology: cluster", _redis, _three_nodes
    ),
}
