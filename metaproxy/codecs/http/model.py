"""
What a message of HTTP is between two connections, whichever versions they speak.

Lives here: `Head`, the structured form; `HttpMessage`, which carries it beside its canonical bytes; functions that make
messages from fields and give fields of messages. Does not: bytes of a version (`client`, `server`, `http2`), metadata.

**The canonical frame** has the form of HTTP/1.1: a start line, field lines, CRLF. It is what filters, recordings, taps
and mirrors see. It holds end-to-end fields only: what is between two neighbours (Connection and what that names,
Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade, HTTP2-Settings) was taken out by the session that read it;
`te: trailers` stays. The target is in origin form (a path, or `*`; CONNECT: host:port), and there is one Host. Field
names keep the spelling that came; HTTP/2 has lower case.

- a whole message: head, and the body behind it. Its length is its content-length, which is there if there is a body;
  with trailers the head has `transfer-encoding: chunked` and the body is in chunked form, as one chunk.
- a head (STREAM_OPEN), also of a whole one (INTERIM): the head alone. Without content-length the body's length is not
  known; nothing else says so, and Transfer-Encoding is never there.
- a Chunk: `frame` is payload; `trailers` of a STREAM_CLOSE is a block of field lines: `trailer_block`, `trailer_pairs`.
- a tunnel: a request with `Head.protocol` (an Upgrade, or RFC 8441) has the fields `connection: upgrade` and `upgrade:`
  at the end of its frame; so has its answer, with status 101 and `duplex`. Method GET, whichever version it came by.

**How a session of any version uses this.** Reading: make a `Head` with `request_head` or `answer_head` (once for equal
blocks of fields: a Head never changes, so that messages may share it), then `whole`, `opening` or `interim`. Sending:
`parts(message)` gives head, body and trailers of a whole message, `head_of(message)` the head of any; both read
the frame again only where it is not the one that the message was made with (a mutation, a recording, a reply).
`Head.pairs` are ready for HPACK: names in lower case, without host and without what is between neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from http import HTTPStatus

from metaproxy.codecs.http.heads import HeadError, Pair, read_answer, read_request, read_trailers
from metaproxy.message import Chunk, FrameError, Hold, Kind, Message

__all__ = ["Head", "HeadError", "HttpMessage", "Pair"]

END = b"\r\n\r\n"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_NO_NAMES: frozenset[bytes] = frozenset()
_CODING_LINE = re.compile(rb"(?im)^transfer-encoding:[^\r]*\r\n")
_FRAMING = frozenset((b"transfer-encoding", b"connection", b"upgrade", b"host"))


class Head:
    """
    The structured form of a head. It never changes after it was made.

    frame: its canonical bytes. status: of an answer, 0 for a request. method, scheme, authority, path: of a request;
    the path has its query and is `*` for OPTIONS *, b"" for CONNECT. protocol: what a tunnel is asked or opened for,
    such as b"websocket"; b"" for none. pairs: the fields, in order. length: the content-length, -1 without one. never:
    names that its sender let into no table of compressed headers, and that must get into none.
    """

    __slots__ = ("authority", "frame", "length", "method", "never", "pairs", "path", "protocol", "scheme", "status")

    def __init__(
        self,
        frame: bytes,
        pairs: list[Pair],
        status: int = 0,
        method: bytes = b"",
        scheme: bytes = b"http",
        authority: bytes = b"",
        path: bytes = b"",
        protocol: bytes = b"",
        length: int = -1,
    ) -> None:
        self.frame = frame
        self.pairs = pairs
        self.status = status
        self.method = method
        self.scheme = scheme
        self.authority = authority
        self.path = path
        self.protocol = protocol
        self.length = length
        self.never = _NO_NAMES

    def value(self, name: bytes) -> bytes | None:
        """The first value of a field, by its name in lower case."""
        for key, value in self.pairs:
            if key == name:
                return value
        return None

    def __repr__(self) -> str:
        return f"Head({self.frame!r})"


class HttpMessage(Message):
    """
    A message with the structured form of its head.

    head: valid while `frame` is the object that it was made with: `head_of` looks. start: bytes of the head in `frame`,
    where the body begins. trailers: of a whole message.
    """

    __slots__ = ("_head", "_made", "start", "trailers")

    def __init__(
        self,
        kind: Kind,
        frame: bytes,
        id: int,
        head: Head,
        more: Callable[[Message], None] | None,
        start: int,
        trailers: list[Pair] | None = None,
    ) -> None:
        self.kind = kind
        self.frame = self._made = frame
        self.id = id
        self.metadata = None
        self.more = more
        self.answer = None
        self.hold = Hold.NONE
        self.profile: Hashable = None
        self._head = head
        self.start = start
        self.trailers = trailers

    @property
    def head(self) -> Head | None:
        """The structured form; None where other bytes were put into the message."""
        return self._head if self.frame is self._made else None


def request_head(
    method: bytes,
    path: bytes,
    authority: bytes,
    pairs: list[Pair],
    scheme: bytes = b"http",
    protocol: bytes = b"",
    length: int = -1,
) -> Head:
    """The head of a request, its bytes made of the fields, which were checked: nothing of them is looked at here."""
    frame = b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b\r\n" % (
        method, path or authority, authority, trailer_block(pairs), _tunnel(protocol),
    )  # fmt: skip
    return Head(frame, pairs, 0, method, scheme, authority, path, protocol, length)


def answer_head(status: int, pairs: list[Pair], protocol: bytes = b"", length: int = -1, reason: bytes = b"") -> Head:
    """The head of an answer, its bytes made of the fields, which were checked."""
    reason = reason or _REASONS.get(status, b"")
    frame = b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, reason, trailer_block(pairs), _tunnel(protocol))
    return Head(frame, pairs, status, protocol=protocol, length=length)


def _tunnel(protocol: bytes) -> bytes:
    return b"connection: upgrade\r\nupgrade: %b\r\n" % protocol if protocol else b""


def trailer_block(pairs: Iterable[Pair]) -> bytes:
    """Fields as lines, without the empty line: what `Chunk.trailers` is."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


def trailer_pairs(block: bytes) -> list[Pair]:
    """The fields of `Chunk.trailers`, in their order. Raises FrameError for what are no field lines."""
    plain, special = read_trailers(block)
    if not special:
        return plain
    lines, names = (plain[::-1], special[::-1]), {name for name, _ in special}
    return [lines[line.partition(b":")[0].lower() in names].pop() for line in block.split(b"\r\n")[:-1]]


def whole(
    head: Head,
    body: bytes,
    id: int,
    more: Callable[[Message], None] | None = None,
    trailers: list[Pair] | None = None,
    failed: bool = False,
) -> HttpMessage:
    """
    A whole message: REQUEST, or by `failed` ERROR or RESPONSE. A length that the head does not tell is put into the
    frame; so is the chunked form where there are trailers.
    """
    frame = head.frame
    kind = (Kind.ERROR if failed else Kind.RESPONSE) if head.status else Kind.REQUEST
    if trailers:
        start, frame = _chunked(head, body, trailers)
        return HttpMessage(kind, frame, id, head, more, start, trailers)
    start = len(frame)
    if body:
        if head.length < 0:
            frame = b"%bcontent-length: %d\r\n\r\n" % (frame[:-2], len(body))
            start = len(frame)
        frame += body
    return HttpMessage(kind, frame, id, head, more, start)


def _chunked(head: Head, body: bytes, trailers: list[Pair]) -> tuple[int, bytes]:
    """Where the body begins, and the frame. A content-length goes: it can't stand beside the chunked form."""
    if head.length < 0:
        lines = head.frame[:-2]
    else:
        first = head.frame.index(b"\r\n") + 2
        kept = [line for line in head.frame[first:-4].split(b"\r\n") if line[:15].lower() != b"content-length:"]
        lines = b"%b%b\r\n" % (head.frame[:first], b"\r\n".join(kept))
    lines = b"%btransfer-encoding: chunked\r\n\r\n" % lines
    piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return len(lines), b"%b%b0\r\n%b\r\n" % (lines, piece, trailer_block(trailers))


def opening(head: Head, id: int, more: Callable[[Message], None] | None = None, failed: bool = False) -> HttpMessage:
    """A head whose chunks follow; `failed`: of an answer that reports failure; 101 and 2xx to CONNECT need `duplex`."""
    message = HttpMessage(Kind.STREAM_OPEN, head.frame, id, head, more, len(head.frame))
    if failed:
        message.failed = True
    return message


def interim(head: Head, id: int, more: Callable[[Message], None] | None = None) -> HttpMessage:
    """An answer with a status of 1xx, but for 101."""
    return HttpMessage(Kind.INTERIM, head.frame, id, head, more, len(head.frame))


def end(id: int, body: bytes = b"", trailers: list[Pair] | None = None, failed: bool = False) -> Chunk:
    """The end of a half, with its last bytes and its trailers."""
    if not trailers:
        return Chunk(Kind.STREAM_CLOSE, body, id, failed=failed)
    metadata = {name.decode("latin-1"): value.decode("utf-8", "surrogateescape") for name, value in trailers}
    return Chunk(Kind.STREAM_CLOSE, body, id, metadata, trailer_block(trailers), failed=failed)


def head_of(message: Message) -> Head:
    """The structured form of a message or of a head, read from its frame where it has none. May raise FrameError."""
    if isinstance(message, HttpMessage) and (head := message.head) is not None:
        return head
    return _read(message.frame)[0]


def parts(message: Message) -> tuple[Head, bytes, list[Pair] | None]:
    """Head, body and trailers of a whole message. May raise FrameError where a frame was not made here."""
    if isinstance(message, HttpMessage) and (head := message.head) is not None:
        frame, start = message.frame, message.start
        if message.trailers:
            return head, _chunk(frame, start), message.trailers
        return head, frame[start:] if len(frame) > start else b"", None
    head, start, chunked = _read(message.frame)
    body = message.frame[start:]
    if not chunked:
        return head, body, None
    return (head, *_unchunked(body))


def _chunk(frame: bytes, start: int) -> bytes:
    """The body of the chunked form that `whole` makes, which begins at `start`."""
    line = frame.index(b"\r\n", start)
    return frame[line + 2 : line + 2 + int(frame[start:line], 16)]


def _unchunked(body: bytes) -> tuple[bytes, list[Pair]]:
    """Body and trailers of the chunked form that `whole` makes: one chunk at most, then the trailers."""
    line, _, rest = body.partition(b"\r\n")
    size = int(line, 16)
    payload = rest[:size]
    if size:
        if not rest.startswith(b"\r\n0\r\n", size):
            raise FrameError("a whole message with trailers has its body in one chunk")
        rest = rest[size + 5 :]
    return payload, trailer_pairs(rest[:-2])


def _read(frame: bytes) -> tuple[Head, int, bool]:
    """Head of a canonical frame, where its body begins, whether that is in chunked form."""
    start = frame.find(END) + 4
    if start < 4:
        raise FrameError("a frame of HTTP without the end of a head")
    lines = frame[:start]
    if lines.startswith(b"HTTP/"):
        status, _, pairs, special = read_answer(lines)
        head = Head(lines, pairs, status)
    else:
        method, target, _, pairs, special = read_request(lines)
        head = Head(lines, pairs, 0, method, path=b"" if method == b"CONNECT" else target)
    chunked = False
    for name, value in special:
        if name not in _FRAMING:
            pairs.append((name, value))
            if name == b"content-length":
                head.length = int(value)
            elif name == b"x-forwarded-proto" and value == b"https":
                head.scheme = value
        elif name == b"host":
            head.authority = value
        elif name == b"upgrade":
            head.protocol = value
        elif name == b"transfer-encoding":
            chunked = True
            head.frame = _CODING_LINE.sub(b"", lines)  # a sender of the head writes the body in a form of its own
    return head, start, chunked
