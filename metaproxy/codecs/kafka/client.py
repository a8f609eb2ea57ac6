"""
A client's connection: its requests as messages, answers under its own ids, and with addresses that it can reach.

Lives here: `ClientSession`. Does not: cutting the stream (`stream`), what requests name (`metadata`), where brokers are
(`endpoints`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Final, NamedTuple

from metaproxy.codecs.kafka import endpoints, metadata, partly, schema, versions, wire
from metaproxy.codecs.kafka.fetch_sessions import FETCH, FetchSessions
from metaproxy.codecs.kafka.levels import PARTITIONS, TOPICS
from metaproxy.codecs.kafka.login import AUTHENTICATE, HANDSHAKE, LOGIN, ClientLogin, PassingLogin
from metaproxy.codecs.kafka.names import Prefix, names
from metaproxy.codecs.kafka.refusal import Refusal
from metaproxy.codecs.kafka.scan import TagHider
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.server import Answer
from metaproxy.codecs.kafka.stream import FrameStream
from metaproxy.codecs.kafka.topic_ids import TopicIds, tells
from metaproxy.codecs.kafka.users import Users
from metaproxy.codecs.kafka.walk import ARRAY, Plan, plan
from metaproxy.codecs.login_time import LoginTime
from metaproxy.message import Chunk, FrameError, Hold, Kind, Message

_PRODUCE: Final = schema.KEYS["Produce"]
_WAITING: Final = frozenset((schema.KEYS["JoinGroup"], schema.KEYS["SyncGroup"]))
"""Answered when the members of a group have come, so without a time limit of the proxy."""
_HEADS: Final = (4096, 65536, 262144, 1 << 20)
"""Bytes of the head of a large request: the first of these that names all topics."""
_FIRST: Final = "SaslHandshake and SaslAuthenticate come first: security.protocol SASL_PLAINTEXT or SASL_SSL"


class ClientSession(FrameStream):
    """A client whose connections each have one to a broker."""

    least = wire.CLIENT_ID + 2

    def __init__(
        self,
        max_frame: int,
        stream_over: int,
        topics: TopicIds,
        users: Users | None = None,
        login_timeout: float = 0,
        prefix: Prefix | None = None,
    ) -> None:
        super().__init__(max_frame, stream_over)
        self._topics = topics
        self._prefix = prefix
        self._gathered: dict[int, _Gathered] = {}
        """Answers that have to be whole for what they say to change, by their id."""
        self._software = ""
        self._ending = ClientLogin(users) if users is not None else None
        self._passing = PassingLogin()
        self._login_time = LoginTime(login_timeout)
        self._fetch_sessions = FetchSessions()
        self._refusals: dict[int, list[Refusal]] = {}
        """What answers have to say of what their brokers are not asked for, by their id."""
        self._hiding: dict[int, TagHider] = {}
        """Answers on their way to the client that may name brokers at their end, by their id."""
        self._header: Callable[[Message], None] = self._read_header
        self._cut_header: Callable[[Message], None] = self._read_cut_header

    @property
    def topics(self) -> TopicIds:
        """What its listener knows of ids: others may have brokers of other owners."""
        memory = self.memory
        if memory is None:
            return self._topics
        known = memory.get(TopicIds)
        if not isinstance(known, TopicIds):
            known = memory[TopicIds] = TopicIds()
        return known

    # -- what clients send

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        _, key, version, id = wire.REQUEST.unpack_from(frame)
        form = schema.request(key, version)
        if self._prefix is not None:
            frame = _prefixed(frame, key, version, form, self._prefix)
        kind = Produce if key == _PRODUCE else Call
        message = kind(Kind.REQUEST, frame, id, None, self._header)
        message.session = self
        if self._ending is not None and (key in LOGIN or not self._ending.user):
            self._admit(self._ending, message, form)
            messages.append(message)
            return
        if form is None:
            message.answer = _refused(key, version, id)
        elif key == FETCH:
            message.answer = self._fetch_sessions.refusal(frame, form)
        if key == _PRODUCE:
            if not metadata.acks(frame, form):
                message.kind = Kind.ONEWAY
        elif key in _WAITING:
            message.hold = Hold.BLOCKING
        elif key == wire.API_VERSIONS and form is not None:
            self._software = metadata.software(frame, form)
        elif key == versions.SASL_HANDSHAKE and not version:
            message.answer = versions.bare_refusal(id)
        elif key in LOGIN and form is not None:
            self._passing.asked(frame, form)
        messages.append(message)

    def _admit(self, login: ClientLogin, message: Message, form: Form | None) -> None:
        """A request before a login at the proxy is over, or of one. Raises FrameError for others."""
        _, key, version, id = wire.REQUEST.unpack_from(message.frame)
        if login.failed:
            raise FrameError(f"a request behind a login that failed: {login.failed}")
        if key == wire.API_VERSIONS:
            if form is None:
                message.answer = _refused(key, version, id)
            else:
                self._software = metadata.software(message.frame, form)
        elif key not in LOGIN:
            raise FrameError(f"{schema.APIS[key].name if key in schema.APIS else key} before a login ({_FIRST})")
        elif form is None or (key == HANDSHAKE and not version):
            message.answer = _refused(key, version, id) if form is None else versions.bare_refusal(id)
        else:
            message.answer = login.answer(message.frame, form)
            self.closing = bool(login.failed)

    def beat(self, now: float) -> None:
        login = self._ending
        if login is not None and not login.user and self.error is None and self._login_time.over(now):
            self.error = FrameError(f"the login is not over after {self._login_time.limit:g} s (login_timeout)")

    def _head_end(self, beginning: bytes, size: int) -> int:
        if self._ending is not None and not self._ending.user:
            raise FrameError(f"a request of {size} bytes before a login ({_FIRST})")
        form = _form_of(beginning)
        if form is None or not _streams(form):
            return size
        for want in _HEADS:
            if want >= self._whole or want >= self._most:
                break
            if len(beginning) < want:
                return want
            if _names_all(beginning[:want], form):
                return want
        # With a prefix all names have to be there.
        return min(self._whole, self._most) if self._prefix is None else size

    def _open(self, head: bytes, size: int, messages: list[Message]) -> int:
        id = wire.correlation_id(head)
        form = _form_of(head)
        if self._prefix is not None and form is not None:
            head = self._prefix.put(head, form, cut=True)
        message = Produce(Kind.STREAM_OPEN, head, id, None, self._cut_header, hold=Hold.EXCHANGE)
        message.session = self
        if form is not None and not metadata.acks(head, form):
            message.oneway = True
        messages.append(message)
        return id

    # -- what they get

    def send(self, message: Message, id: int) -> bytes:
        if isinstance(message, Chunk):
            return self._send_chunk(message, id) if self._hiding or self._gathered else message.frame
        frame = message.frame if message.id == id else wire.with_answer_id(message.frame, id)
        if not isinstance(message, Answer):
            return frame
        form = message.form
        if form.key == FETCH:
            self._fetch_sessions.answered(frame, form)
        refusals = self._due(id) if self._refusals else ()
        if message.kind is Kind.STREAM_OPEN:
            return self._send_head(frame, id, form, refusals)
        for refusal in refusals:
            frame = refusal.put(frame, form)
        if form.key == wire.API_VERSIONS:
            return versions.narrowed(frame, form)
        if form.key == AUTHENTICATE and message.kind is Kind.RESPONSE:
            self._passing.accepted()
        return self._shown(frame, form) if _looked_at(form) or self._prefix is not None else frame

    def refuse(self, call: Call, key: str, names: Collection[bytes], error: str, text: str) -> Call | bytes | None:
        """
        The request without what has these names, whose answer will have the error for them; bytes: this answers it;
        None: that can't be.
        """
        form = _form_of(call.frame)
        if form is None:
            return None
        silent = call.kind is Kind.ONEWAY or getattr(call, "oneway", False)
        parted = partly.part(call.frame, form, key, names, error, text, self.topics, silent)
        if parted is None:
            return None
        if not parted.frame:
            answered = schema.response(form.key, form.version)
            return (
                parted.answer
                if answered is None or self._prefix is None
                else self._prefix.strip(parted.answer, answered)
            )
        header = self._cut_header if call.kind is Kind.STREAM_OPEN else self._header
        rest = type(call)(call.kind, parted.frame, call.id, None, header, hold=call.hold)
        rest.session = self
        rest.ends = parted.ends
        if call.kind is Kind.STREAM_OPEN and silent:
            rest.oneway = True
        if parted.refusals:
            self._refusals.setdefault(call.id, []).extend(parted.refusals)
        return rest

    def _due(self, id: int) -> list[Refusal]:
        if id not in self._refusals:
            return []
        while True:  # answers come in order: one before it that is still there was never answered by a broker
            first = next(iter(self._refusals))
            refusals = self._refusals.pop(first)
            if first == id:
                return refusals

    def _shown(self, frame: bytes, form: Form) -> bytes:
        """A whole answer as the client sees it."""
        if _looked_at(form):
            at = wire.answer_body(frame, metadata.has_tags(form))
            if tells(form):
                self.topics.read(frame, at, form)
            if self.doors is not None:
                frame = endpoints.rewrite(frame, at, form, self.doors)
        return frame if self._prefix is None else self._prefix.strip(frame, form)

    def _send_head(self, frame: bytes, id: int, form: Form, refusals: Sequence[Refusal]) -> bytes:
        late = any(refusal.needs_all for refusal in refusals)
        if late or (self._prefix is not None and names(form)):
            if (size := wire.total(frame)) > self._most:
                raise FrameError(f"a {form.api} of {size} bytes with names to change; allowed are {self._most}")
            self._gathered[id] = _Gathered([frame], form, refusals)
            return b""
        for refusal in refusals:
            frame = refusal.put(frame, form)
        if self.doors is None or not endpoints.broker_tags(form):
            return frame
        hider = self._hiding[id] = TagHider(form)
        at = wire.answer_body(frame, metadata.has_tags(form))
        return frame[:at] + hider.feed(frame[at:])

    def _send_chunk(self, chunk: Chunk, id: int) -> bytes:
        if (gathered := self._gathered.get(id)) is not None:
            gathered.pieces.append(chunk.frame)
            if chunk.kind is Kind.STREAM_DATA:
                return b""
            del self._gathered[id]
            if chunk.kind is not Kind.STREAM_CLOSE:
                return b""
            frame = b"".join(gathered.pieces)
            for refusal in gathered.refusals:
                frame = refusal.put(frame, gathered.form)
            return self._shown(frame, gathered.form)
        hider = self._hiding.get(id) if chunk.kind is Kind.STREAM_DATA else self._hiding.pop(id, None)
        return chunk.frame if hider is None else hider.feed(chunk.frame)

    # -- metadata

    def _read_header(self, message: Message) -> None:
        form = _form_of(message.frame)
        message.metadata = metadata.read_header(message.frame, form, self._software)
        if user := (self._ending or self._passing).user:
            message.metadata["user"] = user
        if form is not None:
            message.more = _read_names
        else:
            message.unclear = metadata.of_old

    def _read_cut_header(self, message: Message) -> None:
        self._read_header(message)
        message.more = _read_cut_names


_SELDOM: Final = ("divided", "ends", "oneway", "session", "unclear")


class _Gathered(NamedTuple):
    """An answer in pieces, and what it gets when it is whole."""

    pieces: list[bytes]
    form: Form
    refusals: Sequence[Refusal]


class Call(Message):
    """
    A request. session: of its connection; ends: of the head of a large one, that nothing of what follows is sent;
    divided: whether its partitions were read.
    """

    __slots__ = ("divided", "ends", "session")
    session: ClientSession
    ends: bool
    divided: bool

    def get(self, key: str) -> str | None:
        """Partitions, which may be very many, are read when they are asked for and not with all else."""
        if key == PARTITIONS and not hasattr(self, "divided"):
            self.divided = True
            Message.get(self, TOPICS)
            if (form := _form_of(self.frame)) is not None:
                complete = wire.total(self.frame) == len(self.frame)
                metadata.read_partitions(self, form, self.session.topics, complete)
        return Message.get(self, key)

    def with_frame(self, frame: bytes) -> Call:
        other = type(self)(self.kind, frame, self.id, self.metadata, self.more, self.answer, self.hold, self.profile)
        for name in _SELDOM:
            if (value := getattr(self, name, None)) is not None:
                setattr(other, name, value)
        return other


class Produce(Call):
    """A Produce. Its records are looked into when a header of theirs is asked for, or all is."""

    __slots__ = ()

    def read(self) -> None:
        """Reads what may not be clear."""
        if self.metadata is None or "topics" not in self.metadata:
            self.get("topics")


def _read_names(message: Message) -> None:
    if isinstance(message, Call) and (form := _form_of(message.frame)) is not None:
        metadata.read_names(message, form, message.session.topics)
        if form.key == _PRODUCE:
            message.more = _read_records


def _read_records(message: Message) -> None:
    if (form := _form_of(message.frame)) is not None:
        metadata.read_records(message, form, wire.total(message.frame) == len(message.frame))


def _read_cut_names(message: Message) -> None:
    """Of the head of a large request."""
    if isinstance(message, Call) and (form := _form_of(message.frame)) is not None:
        certain = _names_all(message.frame, form)
        metadata.read_names(message, form, message.session.topics, complete=False, certain=certain)
        message.more = _read_records


def _form_of(frame: bytes) -> Form | None:
    _, key, version, _ = wire.REQUEST.unpack_from(frame)
    return schema.request(key, version)


def _refused(key: int, version: int, id: int) -> bytes | None:
    """What answers a request whose form is not known; None: it passes. Raises FrameError."""
    api = schema.APIS.get(key)
    if api is None:
        raise FrameError(f"API key {key} is not known")
    if version < 0 or version > api.last:
        if key == wire.API_VERSIONS:
            return versions.refusal(id)
        raise FrameError(f"{api.name} in version {version}; known are {api.first} to {api.last}")
    return None


def _prefixed(frame: bytes, key: int, version: int, form: Form | None, prefix: Prefix) -> bytes:
    """Raises FrameError."""
    if form is not None:
        return prefix.put(frame, form)
    if key != wire.API_VERSIONS and key in schema.APIS:
        api = schema.APIS[key]
        raise FrameError(f"{api.name} in version {version}, whose names can't be changed; from {api.first} on they can")
    return frame


@cache
def _looked_at(form: Form) -> bool:
    return tells(form) or endpoints.names_brokers(form)


@cache
def _streams(form: Form) -> bool:
    """Whether requests of this form have records, which need not be there before the request is sent on."""
    return form.key == _PRODUCE


def _names_all(head: bytes, form: Form) -> bool:
    """Whether the beginning of a request has all topics that the request names."""
    count, names = 0, 0
    for label, start, _ in metadata.begun(head, form, _topics_plan(form)):
        if label == ARRAY + TOPICS:
            count = wire.varint(head, start)[0] - 1 if form.flexible else wire.INT.unpack_from(head, start)[0]
        else:
            names += 1
    return 0 < count <= names


@cache
def _topics_plan(form: Form) -> Plan:
    def wanted(field: schema.Field, beside: tuple[schema.Field, ...]) -> str:
        if field.repeated and any(inner.entity == "topicName" or inner.name == "TopicId" for inner in field.fields):
            return TOPICS
        return "name" if field.entity == "topicName" or field.name == "TopicId" else ""

    return plan(form, wanted)
