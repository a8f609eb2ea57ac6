"""
Kafka: what the proxy asks of a codec.

Lives here: `Kafka`, its options. docs/reference/codecs/kafka.md describes it for users. Does not: messages (`stream`,
`wire`, `walk`), connections (`client`, `server`), metadata, error answers (`errors`), brokers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final

from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.kafka import brokers, errors, metadata, schema, wire
from metaproxy.codecs.kafka.client import Call, ClientSession
from metaproxy.codecs.kafka.copies import KafkaCopies
from metaproxy.codecs.kafka.metadata import THROTTLE
from metaproxy.codecs.kafka.names import Prefix
from metaproxy.codecs.kafka.server import Answer, ServerSession
from metaproxy.codecs.kafka.topic_ids import TopicIds
from metaproxy.codecs.kafka.users import users as listed_users
from metaproxy.codecs.login_time import LOGIN_TIME
from metaproxy.interfaces import ILayout
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Kind, Message, Mutation, Side
from metaproxy.units import Bytes, Option, Seconds

_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]*")
_LONGEST_HELLO: Final = 1 << 16
_VERSIONS: Final = 32
"""Of ApiVersions; those that do not exist yet are answered."""
_STREAM_OVER: Final = Bytes(1 << 20)
_SAFE: Final = frozenset(
    ("ApiVersions", "Metadata", "FindCoordinator", "ListOffsets", "OffsetFetch", "OffsetForLeaderEpoch",
     "DescribeGroups", "ListGroups", "DescribeConfigs", "DescribeCluster", "DescribeTopicPartitions")
)  # fmt: skip
_CONFIDENTIAL: Final = frozenset(
    ("SaslHandshake", "SaslAuthenticate", "AlterUserScramCredentials", "CreateDelegationToken",
     "DescribeDelegationToken", "RenewDelegationToken", "ExpireDelegationToken")
)  # fmt: skip


class Kafka(Codec):
    """Kafka's protocol, as Apache Kafka 4 and its clients speak it."""

    name = "kafka"
    ordered = True
    max_id = (1 << 31) - 1
    connections = "pinned"
    stateful = True
    mutable = "records and what they are sent by pass as they are"
    settable = (THROTTLE,)
    parts = ("topics", "partitions", "groups", "transactional_ids")
    keys = metadata.KEYS
    open_keys = True
    layouts = brokers.LAYOUTS
    names_nodes = True
    remembers = True

    def __init__(
        self,
        stream_over: Annotated[
            Bytes,
            Option("Larger produced and fetched batches are passed on as they come, piece by piece.", least="64KiB"),
        ] = _STREAM_OVER,
        users: Annotated[
            Mapping[str, str] | None,
            Option(
                "Who may log in at the proxy: `{NAME: {secret: SECRET}}`. Brokers get the cluster's `credentials`. See "
                "[Logins](#logins).",
                secret=True,
            ),
        ] = None,
        login_timeout: Annotated[
            Seconds, Option("With `users`: time that a client has to log in; 0 for any.")
        ] = LOGIN_TIME,
        prefix: Annotated[
            str,
            Option(
                "What stands before the names of topics, groups and transactional ids on the brokers, and clients do "
                "not see: see [Tenants](#tenants).",
                most=100,
            ),
        ] = "",
    ) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"prefix is {prefix!r}; write letters, digits, '.', '_' and '-', such as blue.")
        self._stream_over = stream_over
        self._users = listed_users(users)
        self._login_timeout = login_timeout
        self.beats = users is not None and login_timeout > 0
        self._prefix = Prefix(prefix) if prefix else None
        self.mirror: KafkaCopies = KafkaCopies(stream_over)
        self._topics = TopicIds()

    def detect(self, data: bytes) -> bool | None:
        """An ApiVersions, with which clients begin: PostgreSQL's first message looks like an old Metadata."""
        if len(data) < 8:
            return None if data[:1] in (b"", b"\0") and data[4:6] in (b"", b"\0", b"\0\x12") else False
        size, key, version, _ = wire.REQUEST.unpack_from(data.ljust(wire.CLIENT_ID, b"\0"))
        return bool(key == wire.API_VERSIONS and 10 <= size <= _LONGEST_HELLO and 0 <= version < _VERSIONS)

    def session(self, side: Side, max_frame: int) -> Session:
        if side is Side.SERVER:
            return ServerSession(max_frame, self._stream_over)
        return ClientSession(max_frame, self._stream_over, self._topics, self._users, self._login_timeout, self._prefix)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        """name: of an error of the protocol, such as NOT_LEADER_OR_FOLLOWER."""
        if request.kind is Kind.ONEWAY or getattr(request, "oneway", False):
            return FinalFrame()  # as a broker does: a client that wants no answer learns of nothing else
        if kind in errors.CLOSES and name not in schema.ERRORS:
            return FinalFrame()
        frame = request.frame
        _, key, version, _ = wire.REQUEST.unpack_from(frame)
        form = schema.request(key, version)
        if form is None:
            return FinalFrame()
        known = request.session.topics if isinstance(request, Call) else self._topics
        chosen = name if name in schema.ERRORS else errors.name_of(frame, form, kind, known)
        answer = errors.answer(frame, form, chosen, text)
        answered = schema.response(key, version)
        if answer is None or answered is None:
            return FinalFrame()
        return answer if self._prefix is None else self._prefix.strip(answer, answered)

    def without(
        self, request: Message, names: Mapping[str, Collection[str]], kind: ErrorKind, text: str, name: str = ""
    ) -> Message | bytes | None:
        """What is named under one key of `parts`."""
        if not isinstance(request, Call) or len(names) != 1 or (kind in errors.CLOSES and name not in schema.ERRORS):
            return None
        ((key, refused),) = names.items()
        error = name if name in schema.ERRORS else errors.name_for(kind, key)
        return request.session.refuse(request, key, {one.encode() for one in refused}, error, text)

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        """Of an answer the time that its client is asked to wait, if that is longer than what the broker asks for."""
        value = mutation.set.get(THROTTLE)
        if value is None or not isinstance(message, Answer):
            return message.frame
        if not value.isdecimal():
            raise FrameError(f"{THROTTLE} is {value!r:.50}; it must be a number of milliseconds")
        return metadata.throttled(message.frame, message.form, int(value))

    def knows(self, name: str) -> bool:
        return name in schema.ERRORS

    def safe(self, request: Message) -> bool:
        return request.get("api") in _SAFE

    def confidential(self, request: Message) -> bool:
        return request.get("api") in _CONFIDENTIAL

    def probe(self) -> Message:
        return brokers.probe()

    def layout_questions(self, topology: str, name: str) -> list[Message]:
        return [brokers.question()]

    def layout(self, topology: str, answers: Sequence[Message], address: str) -> ILayout:
        return brokers.layout_of(answers)
