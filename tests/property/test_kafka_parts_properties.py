"""
Of a Produce any topics, or any partitions, are refused by themselves: what is sent on is the request without them, and
the answer speaks of all, however large the request is and however its bytes come.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st
from kafka_words import framed, int32, request

from metaproxy.codecs.kafka import Kafka, schema, wire
from metaproxy.codecs.kafka import metadata as md
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.values import Values, decode, encode
from metaproxy.message import Chunk, ErrorKind, Kind, Message, Several, Side
from metaproxy.units import Bytes

Topics = Mapping[str, Mapping[int, bytes]]
"""name -> partition -> records."""
CODE = schema.ERRORS["NOT_LEADER_OR_FOLLOWER"]
NAMES = ("a", "b", "c-1", "d")
TOPICS = st.dictionaries(
    st.sampled_from(NAMES),
    st.dictionaries(st.integers(0, 5), st.binary(max_size=400), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


def body(topics: Topics, acks: int) -> Values:
    listed = [
        {"Name": name.encode(), "PartitionData": [{"Index": one, "Records": records} for one, records in each.items()]}
        for name, each in topics.items()
    ]
    return {"Acks": acks, "TimeoutMs": 30000, "TopicData": listed}


def written(form: Form, topics: Topics, id: int, acks: int) -> bytes:
    return request(form.key, form.version, id, encode(form, body(topics, acks)), tags=b"\0" if form.flexible else b"")


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


def forms(version: int) -> tuple[Form, Form]:
    asked, answered = schema.request(0, version), schema.response(0, version)
    assert asked is not None and answered is not None
    return asked, answered


def numbers(topics: Topics) -> dict[str, set[int]]:
    return {name: set(each) for name, each in topics.items()}


@examples(150)
@given(
    topics=TOPICS,
    key=st.sampled_from(("topics", "partitions")),
    which=st.sets(st.integers(0, 15), min_size=1),
    version=st.sampled_from((3, 8, 9, 12)),
    acks=st.sampled_from((-1, -1, 0)),
    over=st.sampled_from((100, 300, 5000)),
    cuts=st.lists(st.integers(0, 10_000), max_size=4),
)
@example({"a": {0: bytes(31)}, "b": {0: bytes(11), 1: b""}}, "partitions", {1}, 3, 0, 100, [])
@example({"a": {0: b"", 1: b"", 2: b"", 3: bytes(7)}, "b": {0: bytes(11), 1: b""}}, "partitions", {4}, 3, 0, 100, [])
def test_what_is_sent_on_is_the_request_without_them(
    topics: Topics, key: str, which: set[int], version: int, acks: int, over: int, cuts: list[int]
) -> None:
    codec = Kafka(stream_over=Bytes(over))
    client, server = codec.session(Side.CLIENT, 1 << 20), Kafka().session(Side.SERVER, 1 << 20)
    asked, answered = forms(version)
    heard: list[Message] = []
    for piece in pieces(written(asked, topics, 7, acks), cuts):
        heard += client.receive(piece)
    assert client.error is None
    message, chunks = heard[0], heard[1:]
    named = message.get(key) or ""
    parts = named.parts if isinstance(named, Several) else [named]
    all_of_them = tuple(f"{name}-{one}" for name, each in topics.items() for one in each)
    assert message.values("partitions") in ((), all_of_them), "a rule sees all of them, or takes them for anything"
    refused = sorted({parts[one % len(parts)] for one in which})
    rest = codec.without(message, {key: refused}, ErrorKind.INTERNAL, "", "NOT_LEADER_OR_FOLLOWER")
    left: dict[str, dict[int, bytes]] = {}
    for name, each in topics.items():
        kept = {one: records for one, records in each.items() if {name, f"{name}-{one}"}.isdisjoint(refused)}
        if kept:
            left[name] = kept
    if rest is None:
        assert not left or message.kind is Kind.STREAM_OPEN or not named
        return
    assert isinstance(rest, Message) and left
    sent = server.send(rest, 9) + b"".join(server.send(one, 9) for one in chunks if isinstance(one, Chunk))
    assert sent == written(asked, left, 9, acks)
    if not acks:
        return
    said = [
        {"Name": name.encode(), "PartitionResponses": [{"Index": one, "BaseOffset": 5} for one in each]}
        for name, each in left.items()
    ]
    tags = b"\0" if md.has_tags(answered) else b""
    got = b""
    for piece in pieces(framed(int32(9) + tags + encode(answered, {"Responses": said})), cuts):
        got += b"".join(client.send(one, 7) for one in server.receive(piece))
    assert wire.total(got) == len(got)
    found: Any = decode(got, wire.answer_body(got, md.has_tags(answered)), answered)
    errors = [
        (topic["Name"].decode(), one["Index"], one["ErrorCode"])
        for topic in found["Responses"]
        for one in topic["PartitionResponses"]
    ]
    assert sorted(errors) == sorted(
        (name, one, 0 if one in left.get(name, {}) else CODE) for name, each in topics.items() for one in each
    )
