"""
A broker's connection: requests under ids of the proxy, and what the broker answers.

Lives here: `ServerSession`, `Answer`. Does not: cutting the stream (`stream`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cache
from typing import Final

from metaproxy.codecs.kafka import endpoints, metadata, schema, wire
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.server_login import ServerLogin
from metaproxy.codecs.kafka.stream import FrameStream
from metaproxy.codecs.kafka.topic_ids import tells
from metaproxy.codecs.kafka.walk import Plan
from metaproxy.message import Chunk, FrameError, Kind, Message

_HEAD: Final = 1024
"""Bytes of the head of a large answer."""
_LOOKED_AT: Final = 4096
"""Bytes of an answer of which each error is looked at; of a larger one only that which stands for all of it."""


class Answer(Message):
    """An answer, and its form: what comes from a broker does not say itself what it is."""

    __slots__ = ("form",)
    form: Form

    def with_frame(self, frame: bytes) -> Answer:
        other = Answer(self.kind, frame, self.id, self.metadata, self.more, self.answer, self.hold, self.profile)
        other.form = self.form
        return other


class ServerSession(FrameStream):
    """A connection that one client has for itself."""

    least = wire.ANSWER.size
    reusable = False

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__(max_frame, stream_over)
        self._asked: dict[int, Form] = {}
        """What was sent and is to be answered, by its id."""
        self._last: dict[int, bytes] = {}
        """
        Of large requests of which nothing but the head is sent, the head's last byte, by their ids: it waits for their
        end, as a broker would answer while the client still sends.
        """
        self._login: ServerLogin | None = None

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        if not credentials:
            return b""
        try:
            self._login = login = ServerLogin(credentials)
        except ValueError as error:
            self.error = FrameError(str(error))
            return b""
        self.ready = False
        return login.first()

    def _log_in(self, login: ServerLogin, frame: bytes) -> None:
        said = login.next(frame)
        if login.done:
            self._login, self.ready = None, True
        else:
            self.say(said)

    def send(self, message: Message, id: int) -> bytes:
        if isinstance(message, Chunk):
            return self._rest_of(message, id) if self._last else message.frame
        frame = message.frame
        if message.kind is not Kind.ONEWAY and not getattr(message, "oneway", False):
            _, key, version, _ = wire.REQUEST.unpack_from(frame)
            self._asked[id] = schema.response(key, version) or _unknown(key, version)
        if message.id != id:
            frame = wire.with_request_id(frame, id)
        if message.kind is Kind.STREAM_OPEN and getattr(message, "ends", False):
            self._last[id] = frame[-1:]
            return frame[:-1]
        return frame

    def _rest_of(self, chunk: Chunk, id: int) -> bytes:
        if id not in self._last:
            return chunk.frame
        if chunk.kind is Kind.STREAM_DATA:
            return b""
        last = self._last.pop(id)
        return last if chunk.kind is Kind.STREAM_CLOSE else b""

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        if self._login is not None:
            self._log_in(self._login, frame)
            return
        id = wire.INT.unpack_from(frame, wire.SIZE)[0]
        form = self._asked.pop(id, None)
        if form is None:
            messages.append(Message(Kind.RESPONSE, frame, id))  # to nothing that was asked
            return
        answer = Answer(Kind.RESPONSE, frame, id, None, _read)
        answer.form = form
        steps = metadata.top_plan(form) if len(frame) > _LOOKED_AT else _errors(form)
        if steps and metadata.fails(frame, form, steps):
            answer.kind = Kind.ERROR
        messages.append(answer)

    def _head_end(self, beginning: bytes, size: int) -> int:
        form = self._asked.get(wire.INT.unpack_from(beginning, wire.SIZE)[0])
        return min(_HEAD, self._most) if form is not None and _streams(form) else size

    def _open(self, head: bytes, size: int, messages: list[Message]) -> int:
        id: int = wire.INT.unpack_from(head, wire.SIZE)[0]
        opened = Answer(Kind.STREAM_OPEN, head, id, None, _read_top)
        opened.form = self._asked.pop(id)
        if metadata.fails(head, opened.form, metadata.top_plan(opened.form)):
            opened.failed = True
        messages.append(opened)
        return id


def _read(message: Message) -> None:
    if isinstance(message, Answer):
        message.metadata = metadata.read_answer(message.frame, message.form, metadata.answer_plan(message.form))


def _read_top(message: Message) -> None:
    if isinstance(message, Answer):
        message.metadata = metadata.read_answer(message.frame, message.form, metadata.top_plan(message.form))


@cache
def _errors(form: Form) -> Plan:
    """ApiVersions in a version that the broker does not know is answered in the form of another one."""
    return metadata.top_plan(form) if form.key == wire.API_VERSIONS else metadata.answer_plan(form)


@cache
def _streams(form: Form) -> bool:
    """Whether an answer may pass piece by piece: it has records, or nothing that is looked at."""
    has_records = any(map(_has_records, form.fields))
    return has_records or not (tells(form) or endpoints.names_brokers(form) or form.key == wire.API_VERSIONS)


def _has_records(field: schema.Field) -> bool:
    return field.kind == "records" or any(map(_has_records, field.fields))


@cache
def _unknown(key: int, version: int) -> Form:
    """Of a version of old, whose fields are not known."""
    return Form(schema.APIS[key].name, key, version, False, ())
