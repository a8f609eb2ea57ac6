"""
Copies of what clients produce, for another cluster: a route's `mirror`.

    a client        Produce, two topics, three partitions, of a transaction
    the mirror      three of the proxy's own, each for one partition, of no producer, acks=1, by topic name

Which broker leads a partition is learnt as clients learn it since KIP-951: another one answers who does. The copy then
goes there, as do those that follow.

Lives here: `KafkaCopies`, its session. Does not: batches (`batches`), which brokers there are (`brokers`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cache
from typing import Final

from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.kafka import batches, brokers, metadata, schema, wire
from metaproxy.codecs.kafka.client import Call
from metaproxy.codecs.kafka.server import Answer, ServerSession
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.codecs.kafka.values import Values, decode, encode
from metaproxy.interfaces import ILayout
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Redirect, Side

_PRODUCE: Final = schema.KEYS["Produce"]
_VERSION: Final = 10
"""The first one whose answers say who leads a partition; topics have names in it."""
MOST: Final = 1000
"""Partitions of a request that is copied: each is made at once, and as many copies may be under way."""
_BEHIND: Final = 4
"""Bytes that an encoded request has from its records on, if these are null: their length, and three empty lists."""
_ASTRAY: Final = frozenset(
    schema.ERRORS[name] for name in ("NOT_LEADER_OR_FOLLOWER", "UNKNOWN_TOPIC_OR_PARTITION", "KAFKA_STORAGE_ERROR")
)
"""Errors of a broker that does not lead the partition."""


class KafkaCopies(Codec):
    """What speaks to a cluster that gets copies."""

    name = "kafka"
    max_id = (1 << 31) - 1
    mutable = "records and what they are sent by pass as they are"
    keys = metadata.KEYS
    layouts = brokers.LAYOUTS
    keeps_keys = True

    def __init__(self, stream_over: int) -> None:
        self._stream_over = stream_over

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.CLIENT:
            raise ValueError("copies are sent to brokers alone")
        return CopySession(max_frame, self._stream_over)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        return b""

    def probe(self) -> Message:
        return brokers.probe()

    def layout_questions(self, topology: str, name: str) -> list[Message]:
        return [brokers.question()]

    def layout(self, topology: str, answers: Sequence[Message], address: str) -> ILayout:
        return brokers.layout_of(answers)

    def copied(self, request: Message) -> Sequence[Message]:
        """One message a partition."""
        frame = request.frame
        _, key, version, _ = wire.REQUEST.unpack_from(frame)
        if key != _PRODUCE:
            return ()
        form = schema.request(key, version)
        if form is None:
            raise FrameError(f"Produce in version {version}, which is not copied")
        if wire.total(frame) != len(frame):
            raise FrameError(f"a Produce of {wire.total(frame)} bytes, which passes piece by piece (stream_over)")
        body = decode(frame, wire.request_body(frame, form.flexible), form)
        client = wire.client_id(frame)
        known = request.session.topics if isinstance(request, Call) else TopicIds()
        places = [
            (_name(topic, known), partition)
            for topic in _structs(body["TopicData"])
            for partition in _structs(topic["PartitionData"])
        ]
        if len(places) > MOST:
            raise FrameError(f"a Produce for {len(places)} partitions; {MOST} are copied")
        return [
            _copy(client, body, name, partition, records)
            for name, partition in places
            if (records := batches.without_producer(_bytes(partition["Records"])))
        ]

    def redirect(self, request: Message, answer: Message) -> Redirect | None:
        """The broker that leads the partition, if another one has said who that is."""
        if not isinstance(answer, Answer) or answer.form.key != _PRODUCE:
            return None
        try:
            said = decode(answer.frame, wire.answer_body(answer.frame, metadata.has_tags(answer.form)), answer.form)
        except FrameError:
            return None  # of which the error can be read, and no more
        places = [place for topic in _structs(said["Responses"]) for place in _structs(topic["PartitionResponses"])]
        if len(places) != 1 or places[0]["ErrorCode"] not in _ASTRAY:
            return None
        leader = places[0].get("CurrentLeader")
        number = leader["LeaderId"] if isinstance(leader, dict) else None
        for node in _structs(said.get("NodeEndpoints")):
            if node["NodeId"] == number:
                return Redirect(brokers.address_of(node), request, False)
        return None


def _copy(client: bytes | None, body: Values, topic: bytes, partition: Values, records: bytes) -> Message:
    index = partition["Index"]
    form = _form()
    place = {"Index": index, "Records": None}
    asks = {"Acks": 1, "TimeoutMs": body["TimeoutMs"], "TopicData": [{"Name": topic, "PartitionData": [place]}]}
    written = encode(form, asks)
    head = wire.SHORT.pack(_PRODUCE) + wire.SHORT.pack(_VERSION) + wire.INT.pack(1) + wire.write_text(client, False)
    before = head + b"\0" + written[:-_BEHIND] + wire.write_varint(len(records) + 1)
    behind = written[1 - _BEHIND :]
    frame = b"".join((wire.INT.pack(len(before) + len(records) + len(behind)), before, records, behind))
    known = {"api": "Produce", "operation": "Produce", "topics": topic.decode("utf-8", "replace")}
    message = Message(Kind.REQUEST, frame, 1, known)
    message.override_key = topic, index
    return message


@cache
def _form() -> schema.Form:
    form = schema.request(_PRODUCE, _VERSION)
    assert form is not None
    return form


def _name(topic: Values, known: TopicIds) -> bytes:
    if "Name" in topic:
        return _bytes(topic["Name"])
    id = _bytes(topic["TopicId"])
    name = known.name(id)
    if name is None:
        raise FrameError(f"the topic with the id {id.hex()} is not known")
    return name


def _structs(value: object) -> list[Values]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


class CopySession(ServerSession):
    """A connection that copies of all clients share. What a broker takes it leads, and gets what follows."""

    reusable = True

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__(max_frame, stream_over)
        self._places: dict[int, Hashable] = {}
        """Topic and partition of what was sent and is to be answered, by its id."""

    def send(self, message: Message, id: int) -> bytes:
        place = getattr(message, "override_key", None)
        if place is not None:
            self._places[id] = place
        return super().send(message, id)

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        before = len(messages)
        super()._take(frame, messages)
        if len(messages) == before:
            return
        answer = messages[-1]
        place = self._places.pop(answer.id, None)
        if place is not None:
            code = schema.ERRORS.get(answer.get("error") or "", 0) if answer.kind is Kind.ERROR else 0
            if code in _ASTRAY:
                self.keep(place, False)
            elif not code:
                self.keep(place, True)
