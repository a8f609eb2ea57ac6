"""
gRPC-Web: calls of browsers, which see neither trailers nor, over HTTP/1.1, streams of their own.

Source: github.com/grpc/grpc, doc/PROTOCOL-WEB.md. Lives here: `WebCall`, between such a call and one of gRPC. Does not:
connections (`client`); what browsers ask beforehand (CORS), which routes answer.
"""

from __future__ import annotations

import base64
import binascii
import re

from metaproxy.codecs.grpc.status import TYPE
from metaproxy.codecs.http.heads import Pair
from metaproxy.codecs.http.model import Head, answer_head, head_of, opening, parts, request_head, trailer_pairs, whole
from metaproxy.message import Chunk, FrameError, Kind, Message

WEB = b"application/grpc-web"
TEXT = b"application/grpc-web-text"
_TRAILERS = 0x80
_SEGMENT = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


def is_web(head: Head) -> bool:
    """Whether a request is one of gRPC-Web, by its content type."""
    kind = head.value(b"content-type")
    return kind is not None and kind.startswith(WEB)


class WebCall:
    """One call. Its request becomes one of gRPC, and the answer to it one of gRPC-Web."""

    __slots__ = ("_decode", "_encode", "_held")

    def __init__(self, head: Head) -> None:
        kind = head.value(b"content-type") or b""
        accepted = head.value(b"accept") or b""
        self._decode = kind.startswith(TEXT)
        self._encode = TEXT in accepted if WEB in accepted else self._decode
        self._held = b""

    # -- the request

    def request(self, message: Message) -> Message:
        """A head, or a whole request. Raises FrameError for a body that is no base64."""
        more = message.more
        if message.kind is Kind.STREAM_OPEN:
            return opening(_request(head_of(message)), message.id, more)
        head, body, _ = parts(message)
        return whole(_request(head), self._plain(body, True), message.id, more)

    def chunk(self, chunk: Chunk) -> Chunk:
        """A piece of a request. Raises FrameError for what is no base64."""
        last = chunk.kind is Kind.STREAM_CLOSE
        return Chunk(chunk.kind, self._plain(chunk.frame, last), chunk.id, size=chunk.size)

    def _plain(self, payload: bytes, last: bool) -> bytes:
        if not self._decode:
            return payload
        payload = self._held + payload
        stop = len(payload) if last else len(payload) & ~3
        self._held = payload[stop:]
        return _decoded(payload[:stop])

    # -- the answer

    def answer(self, message: Message) -> Message:
        """A head, a whole answer, or a chunk of one."""
        kind = message.kind
        if isinstance(message, Chunk):
            return self._answer_chunk(message)
        if kind is Kind.INTERIM:
            return message
        more = message.more
        if kind is Kind.STREAM_OPEN:
            return opening(self._head(head_of(message)), message.id, more)
        head, body, trailers = parts(message)
        if trailers:
            body = self._coded(body + _block(trailers))
        elif body:
            body = self._coded(body)
        return whole(self._head(head), body, message.id, more, failed=kind is Kind.ERROR)

    def _answer_chunk(self, chunk: Chunk) -> Chunk:
        payload = chunk.frame
        if chunk.trailers:
            payload += _block(trailer_pairs(chunk.trailers))
        return Chunk(chunk.kind, self._coded(payload), chunk.id, failed=chunk.failed, final=chunk.final)

    def _coded(self, payload: bytes) -> bytes:
        return base64.b64encode(payload) if self._encode else payload

    def _head(self, head: Head) -> Head:
        kind = TEXT if self._encode else WEB
        pairs = [_typed(pair, TYPE, kind) for pair in head.pairs if pair[0] != b"content-length"]
        return answer_head(head.status, pairs)


def _request(head: Head) -> Head:
    kind = TEXT if (head.value(b"content-type") or b"").startswith(TEXT) else WEB
    pairs = [_typed(pair, kind, TYPE) for pair in head.pairs if pair[0] not in (b"content-length", b"te", b"accept")]
    pairs.append((b"te", b"trailers"))
    return request_head(head.method, head.path, head.authority, pairs, head.scheme)


def _typed(pair: Pair, before: bytes, after: bytes) -> Pair:
    """A field as it is, but for the beginning of a content type."""
    name, value = pair
    if name == b"content-type" and value.startswith(before):
        return name, after + value[len(before) :]
    return pair


def _block(trailers: list[Pair]) -> bytes:
    """Trailers as the last message of a body."""
    lines = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
    return b"%c%b%b" % (_TRAILERS, len(lines).to_bytes(4, "big"), lines)


def _decoded(payload: bytes) -> bytes:
    """The bytes of base64 that may end in the middle, with its padding, and begin again. Raises FrameError."""
    if b"=" not in payload[:-2]:
        return _segment(payload)
    decoded: list[bytes] = []
    at = 0
    while at < len(payload):
        found = _SEGMENT.match(payload, at)
        segment = found[0] if found is not None else b""
        if not segment:
            raise FrameError("the body of a call of gRPC-Web is no base64")
        decoded.append(_segment(segment))
        at += len(segment)
    return b"".join(decoded)


def _segment(payload: bytes) -> bytes:
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except binascii.Error:
        raise FrameError("the body of a call of gRPC-Web is no base64") from None
