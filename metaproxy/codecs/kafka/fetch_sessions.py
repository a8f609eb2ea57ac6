"""
Sessions of Fetch (KIP-227): a client that goes on with one gets records of partitions that earlier requests have named.

A broker asks whom it lets read what it sends. For the proxy's rules, and for names with a prefix, what counts is what a
request names: so a client may go on with a session that its own connection has begun, and with no other's, whose number
could be found by trying. Who comes with another gets the error of a session that a broker has given up, behind which
clients begin another.

Lives here: `FetchSessions`; `without_session` and `given_up`, for a Fetch of which something is refused. Does not:
sessions of share groups, whose requests name their group each time.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from metaproxy.codecs.kafka import metadata, schema, wire
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.values import encode
from metaproxy.message import FrameError

FETCH: Final = schema.KEYS["Fetch"]
_SESSION: Final = "SessionId"
_NOT_FOUND: Final = schema.ERRORS["FETCH_SESSION_ID_NOT_FOUND"]
_NO_SESSION: Final = wire.INT.pack(-1)
"""An epoch: of a Fetch that begins no session, and ends the one that it names."""
_MOST: Final = 16
"""Sessions that a connection may go on with; a client has one at a time."""
_SIZES: Final = {"int8": 1, "int16": 2, "int32": 4}


class FetchSessions:
    """Those of one client's connection."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: dict[int, None] = {}

    def refusal(self, frame: bytes, form: Form) -> bytes | None:
        """
        What answers a Fetch that goes on with a session of another connection; None for any other. Raises FrameError
        for one whose header can't be read.
        """
        place = _place(form)
        if not place:
            return None
        at = wire.request_body(frame, form.flexible) + place
        if len(frame) < at + 8:
            return None
        session, epoch = wire.INT.unpack_from(frame, at)[0], wire.INT.unpack_from(frame, at + 4)[0]
        if not session or not epoch or session in self._begun:  # an epoch of 0 begins, and names all that it wants
            return None
        return given_up(frame, form)

    def answered(self, frame: bytes, form: Form) -> None:
        """An answer to a Fetch, or its head."""
        place = _place(form)
        at = wire.answer_body(frame, metadata.has_tags(form)) + place
        if not place or len(frame) < at + 4:
            return
        session = wire.INT.unpack_from(frame, at)[0]
        if session and session not in self._begun:
            self._begun[session] = None
            if len(self._begun) > _MOST:
                del self._begun[next(iter(self._begun))]


def given_up(frame: bytes, form: Form) -> bytes:
    """The answer to a Fetch after which its client begins another session."""
    answered = schema.response(FETCH, form.version)
    assert answered is not None  # there is one of each version
    tags = b"\0" if metadata.has_tags(answered) else b""
    body = encode(answered, {"ErrorCode": _NOT_FOUND})
    return wire.framed(wire.INT.pack(wire.correlation_id(frame)) + tags + body)


def without_session(frame: bytes, form: Form) -> bytes | None:
    """A Fetch that begins no session; None for one that goes on with one. Raises FrameError."""
    place = _place(form)
    if not place:
        return frame
    at = wire.request_body(frame, form.flexible) + place + 4
    if len(frame) < at + 4:
        raise FrameError("a Fetch that ends before its session")
    if wire.INT.unpack_from(frame, at)[0] > 0:
        return None
    return frame[:at] + _NO_SESSION + frame[at + 4 :]


@cache
def _place(form: Form) -> int:
    """Bytes of a body before the session; 0 where there is none. Only numbers stand before it."""
    place = 0
    if all(field.name != _SESSION for field in form.fields):
        return 0
    for field in form.fields:
        if field.name == _SESSION:
            return place
        if field.tag < 0:
            place += _SIZES[field.kind]
    return 0
