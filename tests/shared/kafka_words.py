"""Messages of Kafka as bytes, written by hand: the guide to the protocol is their source, not the codec."""

from __future__ import annotations

import struct
from collections.abc import Sequence

PRODUCE, FETCH, METADATA, FIND_COORDINATOR, JOIN_GROUP, SASL_HANDSHAKE, API_VERSIONS = 0, 1, 3, 10, 11, 17, 18
ORDERS = bytes(range(16))
"""A topic's id."""


def request(key: int, version: int, id: int, body: bytes, client: bytes | None = b"app", tags: bytes = b"") -> bytes:
    """tags: what flexible versions have behind the client's id, b"\\0" for none."""
    name = struct.pack(">h", -1) if client is None else text(client)
    return framed(struct.pack(">hhi", key, version, id) + name + tags + body)


def answer(id: int, body: bytes, tags: bytes = b"") -> bytes:
    return framed(struct.pack(">i", id) + tags + body)


def framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def text(value: bytes | str) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">h", len(value)) + value


def compact(value: bytes | str | None) -> bytes:
    if value is None:
        return b"\0"
    value = value.encode() if isinstance(value, str) else value
    return varint(len(value) + 1) + value


def varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def array(items: Sequence[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


def packed(items: Sequence[bytes]) -> bytes:
    """An array of flexible versions."""
    return varint(len(items) + 1) + b"".join(items)


def short(value: int) -> bytes:
    return struct.pack(">h", value)


def int32(value: int) -> bytes:
    return struct.pack(">i", value)


def int64(value: int) -> bytes:
    return struct.pack(">q", value)


# -- some messages


def produce(id: int, topics: dict[str, list[bytes]], acks: int = -1, transaction: bytes | None = None) -> bytes:
    """Version 9. topics: name -> the records of its partitions, 0 and up."""
    written = [
        compact(name) + packed([int32(place) + compact(one) + b"\0" for place, one in enumerate(records)]) + b"\0"
        for name, records in topics.items()
    ]
    body = compact(transaction) + short(acks) + int32(30000) + packed(written) + b"\0"
    return request(PRODUCE, 9, id, body, tags=b"\0")


def produce_by_id(id: int, topic: bytes, records: bytes = b"r", acks: int = -1) -> bytes:
    """Version 13."""
    topics = packed([topic + packed([int32(0) + compact(records) + b"\0"]) + b"\0"])
    return request(PRODUCE, 13, id, b"\0" + short(acks) + int32(30000) + topics + b"\0", tags=b"\0")


def produced(id: int, topics: dict[str, list[int]], tagged: bytes = b"\0", throttle: int = 0) -> bytes:
    """Version 9 and 10. topics: name -> the errors of its partitions."""
    written = [
        compact(name)
        + packed(
            [
                int32(place) + short(error) + int64(5) + int64(-1) + int64(0) + packed([]) + compact(None) + b"\0"
                for place, error in enumerate(errors)
            ]
        )
        + b"\0"
        for name, errors in topics.items()
    ]
    return answer(id, packed(written) + int32(throttle) + tagged, tags=b"\0")


def fetch(id: int, topics: Sequence[bytes] = (b"orders",), wait: int = 500) -> bytes:
    """Version 11."""
    written = [text(name) + array([int32(0) + int32(-1) + int64(7) + int64(-1) + int32(1 << 20)]) for name in topics]
    head = int32(-1) + int32(wait) + int32(1) + int32(50 << 20) + b"\0" + int32(0) + int32(-1)
    return request(FETCH, 11, id, head + array(written) + array([]) + text(b""))


def fetched(id: int, records: bytes, error: int = 0, throttle: int = 0) -> bytes:
    """Version 11."""
    partition = int32(0) + short(error) + int64(9) + int64(9) + int64(0) + array([]) + int32(-1)
    topic = text(b"orders") + array([partition + int32(len(records)) + records])
    return answer(id, int32(throttle) + short(0) + int32(0) + array([topic]))


def metadata(id: int, topics: Sequence[str] | None = None) -> bytes:
    """Version 12."""
    asked = [bytes(16) + compact(name) + b"\0" for name in topics or ()]
    listed = b"\0" if topics is None else packed(asked)
    return request(METADATA, 12, id, listed + b"\1\0\0", tags=b"\0")


def cluster(id: int, brokers: Sequence[tuple[int, str, int]], topics: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """The answer to it; topics with two partitions each."""
    hosts = [int32(node) + compact(host) + int32(port) + compact("r1") + b"\0" for node, host, port in brokers]
    nodes = packed([int32(1), int32(2)])
    partition = short(0) + int32(0) + int32(1) + int32(3) + nodes + nodes + packed([]) + b"\0"
    listed = [
        short(0) + compact(name) + topic + b"\0" + packed([partition] * 2) + int32(-(1 << 31)) + b"\0"
        for name, topic in topics
    ]
    return answer(id, int32(0) + packed(hosts) + compact("c1") + int32(1) + packed(listed) + b"\0", tags=b"\0")


def find_coordinator(id: int, groups: Sequence[str]) -> bytes:
    """Version 4."""
    return request(FIND_COORDINATOR, 4, id, b"\0" + packed([compact(name) for name in groups]) + b"\0", tags=b"\0")


def coordinators(id: int, found: Sequence[tuple[str, int, str, int]]) -> bytes:
    listed = [
        compact(key) + int32(node) + compact(host) + int32(port) + short(0) + compact(None) + b"\0"
        for key, node, host, port in found
    ]
    return answer(id, int32(0) + packed(listed) + b"\0", tags=b"\0")


def join_group(id: int, group: str = "billing") -> bytes:
    """Version 0."""
    return request(JOIN_GROUP, 0, id, text(group) + int32(10000) + text(b"") + text(b"consumer") + array([]))


def joined(id: int) -> bytes:
    return answer(id, short(0) + int32(1) + text(b"range") + text(b"m1") + text(b"m1") + array([]))


def api_versions(id: int, version: int = 3) -> bytes:
    body = compact("apache-kafka-java") + compact("4.4.0") + b"\0" if version >= 3 else b""
    return request(API_VERSIONS, version, id, body, tags=b"\0" if version >= 3 else b"")


def offered(id: int, apis: Sequence[tuple[int, int, int]], error: int = 0) -> bytes:
    """The answer in version 3: the answer's head has no tags."""
    listed = [short(key) + short(first) + short(last) + b"\0" for key, first, last in apis]
    return answer(id, short(error) + packed(listed) + int32(0) + b"\0")


# -- records


def zigzag(value: int) -> bytes:
    return varint(value * 2 if value >= 0 else -value * 2 - 1)


def counted(value: bytes | None) -> bytes:
    return zigzag(-1) if value is None else zigzag(len(value)) + value


def record(value: bytes, headers: dict[str, bytes | None] | None = None, key: bytes | None = None) -> bytes:
    listed = b"".join(counted(name.encode()) + counted(one) for name, one in (headers or {}).items())
    body = b"\0" + zigzag(0) + zigzag(0) + counted(key) + counted(value) + zigzag(len(headers or {})) + listed
    return zigzag(len(body)) + body


def batch(*records: bytes, compression: int = 0) -> bytes:
    body = b"".join(records)
    head = short(compression) + int32(0) + int64(0) * 2 + int64(-1) + short(-1) + int32(-1) + int32(len(records))
    rest = int32(0) + b"\2" + int32(0) + head + body
    return int64(0) + int32(len(rest)) + rest
