"""
What crosses rooms: a message, its kind, a reply, an error kind, a frame error.

Lives here: plain values, made once per message, that codecs, filters, routes and the data path hand to each other.
Does not: anything that parses, decides or writes. This module imports nothing of metaproxy.

Longer than most modules: codecs of plugins import these names from here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from enum import Enum, IntEnum
from typing import Any, NoReturn


class Side(Enum):
    """Whose bytes a session reads: CLIENT on a downstream connection, SERVER on an upstream one."""

    CLIENT = "client"
    SERVER = "server"


class Correlation(Enum):
    """How an answer finds its request: by an id in both, or by the order of the requests on the connection."""

    ID = "id"
    FIFO = "fifo"


class Kind(IntEnum):
    """What a message is. A codec gives each message exactly one."""

    REQUEST = 0
    """From a client; exactly one answer comes back."""
    ONEWAY = 1
    """From a client; no answer ever comes. Its exchange is complete when the bytes were handed to the connection."""
    RESPONSE = 2
    """From a server: an answer of success."""
    ERROR = 3
    """From a server: an answer of failure. Routed back exactly as RESPONSE."""
    HEARTBEAT = 4
    """From either: never forwarded. A client's is answered with `Message.answer`, a server's by `ISession.owed`."""
    EVENT = 5
    """From a server: answers nothing (a push). Passed to the client on a pinned connection, dropped on a shared one."""
    DRAIN = 6
    """From a server: it wants no new request on this connection; what is in flight is still answered."""
    STREAM_OPEN = 7
    """
    From either: the head of a request, or of an answer, whose Chunks follow. A whole message with the same bytes means
    the same: a session may join what one read brought, and must not wait for more.
    """
    STREAM_DATA = 8
    """A Chunk: bytes of the half that its sender's STREAM_OPEN opened."""
    STREAM_CLOSE = 9
    """A Chunk: its sender's half is over; it may carry the last bytes, and trailers."""
    SKIPPED = 10
    """
    From a server: an answer over the bound, read to its end and dropped. `id` as on a RESPONSE; `frame`: b"" or a text
    of the reason. The exchange ends BAD_RESPONSE; all others of the connection go on.
    """
    SILENCE = 11
    """
    From a server: a request is known to get no answer (a quiet command, a call that was one-way after all). `id` as on
    a RESPONSE; with Correlation.FIFO the oldest unanswered one. The exchange completes, and the client gets nothing.
    """
    STREAM_RESET = 12
    """A Chunk: its sender gives the whole exchange up, both halves of it."""
    INTERIM = 13
    """From a server: belongs to the exchange `id` and does not answer it (HTTP 1xx). Passed on; the answer follows."""
    CONNECT = 14
    """
    Made by the proxy when a client arrives whose server speaks first (`server_first`), or by a client's session whose
    client has logged in at the proxy: routed like a request, with no bytes, so that a session is never asked to send
    it. Its exchange is complete when an upstream connection of its profile is ready, whose session's `welcome` answers
    it; a codec's `reply` to it is the error that such a client understands before it asked.
    """
    EVENT_OPEN = 15
    """From a server: the head of a push, whose Chunks follow under its id. Passed or dropped as an EVENT, with them."""


KIND_NAMES: tuple[str, ...] = tuple(kind.name.lower() for kind in Kind)


class Hold(IntEnum):
    """
    What a request does to the binding between its client's connection and an upstream one. Of an answer, or of the
    Chunk that ends it, two count: OPEN, the client keeps the connection that it has taken for this request (a
    transaction is open); CLOSE, it needs it no more.
    """

    NONE = 0
    WAIT = 1
    """Starts only when all earlier exchanges of the connection are complete (it changes the session's profile)."""
    EXCHANGE = 2
    """Needs an upstream connection of its own until it is answered; what its client sends next waits for that."""
    OPEN = 3
    """From this message on the client has an upstream connection of its own (MULTI, SUBSCRIBE, BEGIN)."""
    CLOSE = 4
    """Once this message is answered (an EVENT: once it was passed on) that connection is released."""
    BLOCKING = 5
    """As EXCHANGE, and without a time-out: the server answers when something happens (BLPOP)."""
    COMPANION = 6
    """As EXCHANGE; it is about what another client has under way: see `Message.companion`."""


class ErrorKind(Enum):
    """
    Why the proxy answers a request itself; a codec maps each to its protocol's own error. The value is the name
    that `reply:` takes in a configuration and that the `outcome` label and the access log show.
    """

    NOT_FOUND = "not_found"
    """No route matched."""
    NO_CLUSTER = "no_cluster"
    """The route's cluster does not exist (any more)."""
    NO_ENDPOINT = "no_endpoint"
    """The cluster has no usable endpoint."""
    CONNECT = "connect"
    """The endpoint could not be reached or refused the login; nothing of the request was sent."""
    RESET = "reset"
    """The upstream connection ended before the answer was whole; the request may have been executed."""
    TIMEOUT = "timeout"
    """No answer within the time allowed; the request may have been executed."""
    OVERLOAD = "overload"
    """A bound of the proxy or of the cluster's breaker is reached."""
    LIMITED = "limited"
    """A rate limit refused the request."""
    DENIED = "denied"
    """A policy (auth, RBAC) refused the request."""
    BAD_REQUEST = "bad_request"
    """The frame is whole, but what routing needs of it cannot be decoded."""
    BAD_RESPONSE = "bad_response"
    """The server's bytes are not the protocol."""
    UNSUPPORTED = "unsupported"
    """The request cannot work through a proxy."""
    DRAINING = "draining"
    """The proxy is shutting down and takes no new request."""
    INTERNAL = "internal"
    """A filter or the proxy itself failed."""


class FrameError(Exception):
    """
    The peer's bytes are not the protocol. The text says what was read, and what would have been right.

    kind: what ends the exchange whose request a session can't send because of it.
    """

    kind = ErrorKind.BAD_REQUEST


class Ending(Enum):
    """What an answer may do to its client's connection."""

    CLOSE = "close"
    """It is closed once these bytes were sent: what was asked before them is answered, nothing after them is."""
    RESET = "reset"
    """It is reset at once, and nothing more is sent."""


class FinalFrame(bytes):
    """What `ICodec.reply` gives for an error after which the client's connection ends (STOMP): written, then closed."""

    __slots__ = ()


class Reply:
    """
    A local answer that a filter gives instead of going on.

    kind: which error, or None when `frame` is the complete answer; text: at most 1 KiB, shown to the client; frame: the
    bytes to write, or a Message for the client's session to send, made by code that knows the protocol; None to let the
    codec make them from kind and text; name: the protocol's own name for the error where `kind` is not precise enough,
    else ""; details: what logs show in place of `text`, where operators may know more than clients; ending: what
    becomes of the client's connection, None for nothing; metadata: put into the codec's frame where the protocol's
    errors can carry them; only: of a request that names several things, by metadata key, those that are refused: the
    rest goes on where the codec can tell them apart (`ICodec.without`), else all of it is refused.
    """

    __slots__ = ("details", "ending", "frame", "kind", "metadata", "name", "only", "text")

    def __init__(
        self,
        kind: ErrorKind | None,
        text: str = "",
        frame: bytes | Message | None = None,
        name: str = "",
        details: str = "",
        ending: Ending | None = None,
        metadata: Mapping[str, str] | None = None,
        only: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.kind = kind
        self.text = text
        self.frame = frame
        self.only = only
        self.name = name
        self.details = details or text
        self.ending = ending
        self.metadata = metadata

    def __repr__(self) -> str:
        return f"Reply({self.kind and self.kind.value}, {self.text!r})"


class Both(tuple[str, ...]):
    """
    What `Message.values` gives for a key that means all of its values at once, such as a call that names the method and
    is carried by another: a condition on it holds when one of them meets it.
    """

    __slots__ = ()


class Several(str):
    """
    A value of `Message.metadata` that names several things at once, such as the tables of a statement, joined by
    commas: a condition holds when one of them meets it. Keys that may have such a value: `SEVERAL`.
    """

    __slots__ = ()

    @property
    def parts(self) -> list[str]:
        return self.split(",")


_UNCHANGING = "other messages have the same metadata: write message.metadata = {**message.metadata, KEY: VALUE}"


def _unchanging(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(_UNCHANGING)


class Shared(dict):  # type: ignore[type-arg]  # str -> str; a subscript is no base of what is compiled
    """
    Metadata of all messages that begin with the same bytes, whatever follows these: a key by identity, so that what was
    found for one message holds for the others. A codec makes one for a head that it remembers, within a bound of bytes,
    and a plain dictionary for any other. To change it raises TypeError; a copy is a plain dictionary. index, route:
    which route they have, see `routing.index`; 0: none was looked up. target, counts: what that leads to, if it is one
    alone: compiled code has the processor read all three at a time. rest: the codec's own, for what is read later.
    """

    __slots__ = ("counts", "index", "rest", "route", "target")

    def __init__(self, *known: object, **more: object) -> None:
        dict.__init__(self, *known, **more)
        self.rest: Any = None
        self.note(0, None, None, None)

    def note(self, index: int, route: object, target: object, counts: object) -> None:
        """All of them at once."""
        self.index = index
        self.route: Any = route
        self.target = target
        self.counts = counts

    def __hash__(self) -> int:  # type: ignore[override]  # not its content: there is one of each
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return dict.__ne__(self, other)

    def __reduce__(self) -> tuple[type, tuple[dict[str, str]]]:
        return dict, (dict(self),)

    def __setitem__(self, key: str, value: str) -> NoReturn:
        raise TypeError(_UNCHANGING)

    def __delitem__(self, key: str) -> NoReturn:
        raise TypeError(_UNCHANGING)

    def __ior__(self, other: object) -> NoReturn:  # type: ignore[misc]
        raise TypeError(_UNCHANGING)

    clear = pop = popitem = setdefault = update = _unchanging


class Spliced:
    """
    A frame of which only the beginning changes, as it is written: `head`, then the bytes of `frame` from `at` on, where
    they lie. len() is of both together; bytes() copies them. Raises ValueError where the frame has no such byte.
    """

    __slots__ = ("at", "frame", "head")

    def __init__(self, head: bytes, frame: bytes, at: int) -> None:
        if not 0 <= at <= len(frame):
            raise ValueError(f"a frame of {len(frame)} bytes from byte {at} on")
        self.head = head
        self.frame = frame
        self.at = at

    def __len__(self) -> int:
        return len(self.head) + len(self.frame) - self.at

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces())

    def pieces(self) -> tuple[bytes, memoryview]:
        """Both parts, without a copy."""
        return self.head, memoryview(self.frame)[self.at :]


Written = bytes | Spliced
"""What a session gives to be written."""


def joined(pieces: Sequence[Written]) -> bytes:
    """The bytes of all pieces in one. Raises TypeError for what is no bytes."""
    return b"".join(flat(pieces))


def flat(pieces: Sequence[Written]) -> list[bytes | memoryview]:
    """Pieces of bytes alone, in their order: two for each Spliced."""
    found: list[bytes | memoryview] = []
    for piece in pieces:
        if isinstance(piece, Spliced):
            found += piece.pieces()
        else:
            found.append(piece)
    return found


SEVERAL = frozenset(("groups", "partitions", "tables", "topics", "transactional_ids"))


_slots: dict[type, tuple[str, ...]] = {}
"""The attributes of a class's objects, those of what it is derived from first."""


def unreadable(key: str) -> tuple[str | None, ...]:
    """What `Message.unclear` is where metadata can't be read: what was not read before may be anything."""
    return ()


class Message:
    """
    One message of a protocol: its bytes and what the codec read of it.

    kind: see Kind. frame: the original bytes, whole, head included. id: what matches an answer to its request on a
    connection (FIFO: 0, or counted). metadata: str -> str, what is already known, see Shared; None before the first
    look. more: fills in more of `metadata` when a key is missed, in another object where it is Shared, and sets itself
    again while there is still more behind it; it may raise FrameError, once. answer: not None, of a client's message,
    means that the codec answers it itself with these bytes (b"": with nothing), in order; it is not forwarded. hold:
    see Hold. profile: which state the upstream
    connection must be in (database, protocol version, user), any hashable; connections of one profile serve all its
    requests. refused: is there only if a codec set it, for a request of a transaction, or of a channel:
    refused(message, text) gives the frame that makes the server fail all of it, or close that, for a request that the
    proxy answers itself. revoked: is there only if a codec set it, for the same where the server has the request: its
    answer is refused, or did not come in time; b"" where nothing is to be sent. failing: is there only if the proxy set
    it, on a request with one of these: the server has followed. unclear: is there only where a receiver may see another
    value than `get` gives: see `values`.
    duplex: is there only if a codec set it, on a server's STREAM_OPEN: the client's half is open from now on, though
    its request was whole (a tunnel behind CONNECT or 101, an upload that the server asked for). failed: is there only
    if a codec set it, on a server's STREAM_OPEN: its head reports failure. retry_after: is there only if a codec set
    it, on a server's answer that reports failure: so many seconds pass before another try, where there is one; below 0:
    there must be none. oneway: is there only if a codec set it, on a client's STREAM_OPEN: no answer ever comes, so
    that the exchange is complete when the request's end was handed to the connection. logoff: is there only if a codec
    set it, on a server's DRAIN: the whole server leaves, not only this connection, so that others get what is new.
    companion: is there only with Hold.COMPANION: the ISession of the client that it is about. override_key: is there
    only if a codec with `keeps_keys` set it, on a request: it needs the server that has what this key stands for (see
    ISession.keep), if that is known. What is there only if a codec set it is asked for by getattr(message, name, None).
    A subclass may have attributes of its own, and no property in the place of one of these.
    """

    __slots__ = (
        "answer", "companion", "duplex", "failed", "failing", "frame", "hold", "id", "kind", "logoff", "metadata",
        "more", "oneway", "override_key", "profile", "refused", "retry_after", "revoked", "unclear",
    )  # fmt: skip
    refused: Callable[[Message, str], bytes]
    revoked: Callable[[Message, str], bytes]
    failing: bool
    unclear: Callable[[str], tuple[str | None, ...] | None]
    duplex: bool
    failed: bool
    retry_after: float
    oneway: bool
    logoff: bool
    companion: object
    override_key: Hashable

    def __init__(
        self,
        kind: Kind,
        frame: bytes,
        id: int = 0,
        metadata: dict[str, str] | None = None,
        more: Callable[[Message], None] | None = None,
        answer: bytes | None = None,
        hold: Hold = Hold.NONE,
        profile: Hashable = None,
    ) -> None:
        self.kind = kind
        self.frame = frame
        self.id = id
        self.metadata = metadata
        self.more = more
        self.answer = answer
        self.hold = hold
        self.profile = profile

    def get(self, key: str) -> str | None:
        """
        The value of a metadata key, or None. Keys are as the peer spelled them, and lower-cased as well.

        Raises FrameError when the part of the frame that would hold it cannot be decoded: the first time only,
        afterwards such a key is simply not there.
        """
        metadata = self.metadata
        if metadata is not None:
            value = metadata.get(key)
            if value is not None:
                return value
        if key == "kind":
            return KIND_NAMES[self.kind]
        while self.more is not None:
            self.look()
            if self.metadata is not None:
                value = self.metadata.get(key)
                if value is not None:
                    return value
        return None

    def look(self) -> None:
        """Take the next step of reading, if there is one. Raises FrameError as `get` does."""
        more = self.more
        if more is not None:
            self.more = None
            try:
                more(self)
            except FrameError:
                self.unclear = unreadable
                raise

    def values(self, key: str) -> tuple[str | None, ...]:
        """
        All values of which a receiver may see any under a key in lower case: usually the one that `get` gives. () where
        nothing can be known of it: it may have any value. For what must not be fooled; may raise FrameError once.

        A codec says so by `unclear`, which it sets once it has read the metadata: a function of a key that gives these
        values, or None where `get` gives all there is to know.
        """
        self.read()
        value = self.get(key)
        unclear = getattr(self, "unclear", None)
        values: tuple[str | None, ...] | None = unclear(key) if unclear is not None else None
        if values is None or (unclear is unreadable and value is not None):
            return (value,)
        return values

    def read(self) -> None:
        """Reads all metadata. Raises FrameError when they can't be decoded, once."""
        while self.more is not None:
            self.get("")

    def with_frame(self, frame: bytes) -> Message:
        """A copy with other bytes; all else, also what a codec set besides, is the same."""
        # Several times as fast as copy.copy.
        # A subclass may have a property of that name: compiled, `self.profile` would not see it.
        profile = getattr(self, "profile")  # noqa: B009
        other = Message(self.kind, frame, self.id, self.metadata, self.more, self.answer, self.hold, profile)
        for name in _SELDOM:
            value = getattr(self, name, None)
            if value is not None:
                setattr(other, name, value)
        return other

    def __copy__(self) -> Message:
        """For copy.copy, with what a subclass has besides."""
        kind: type[Message] = type(self)
        other = kind.__new__(kind)
        slots = _slots.get(kind)
        if slots is None:
            slots = tuple(name for one in reversed(kind.__mro__) for name in one.__dict__.get("__slots__", ()))
            _slots[kind] = slots
        for name in slots:
            if (value := getattr(self, name, _slots)) is not _slots:
                setattr(other, name, value)
        return other

    def known(self) -> Mapping[str, str]:
        """All metadata, `kind` included; a frame that cannot be decoded further gives what was read before."""
        try:
            while (more := self.more) is not None:
                self.more = None
                more(self)
        except FrameError:
            self.more = None
            self.unclear = unreadable
        return {"kind": KIND_NAMES[self.kind], **(self.metadata or {})}

    def spellings(self, key: str) -> tuple[str, ...]:
        """How the peer wrote a key that it may have written in any case, possibly more than once: what to remove."""
        lower = key.lower()
        return tuple(one for one in self.known() if one.lower() == lower)

    def __repr__(self) -> str:
        return f"Message({self.kind.name}, id={self.id}, {len(self.frame)} bytes, {self.metadata})"

    def __eq__(self, other: object) -> bool:
        """Same kind, id, bytes, answer, hold, profile and metadata: for tests, never on the path."""
        if not isinstance(other, Message):
            return NotImplemented
        profile = getattr(self, "profile")  # noqa: B009  # see with_frame
        mine = (self.kind, self.id, self.frame, self.answer, self.hold, profile)
        theirs = (other.kind, other.id, other.frame, other.answer, other.hold, other.profile)
        return mine == theirs and self.known() == other.known()

    __hash__ = None  # type: ignore[assignment]


_SELDOM = (
    "refused", "revoked", "unclear", "duplex", "failed", "oneway", "retry_after", "logoff", "companion",
    "override_key",
)  # fmt: skip
"""Attributes of a message that only some codecs set."""


class Chunk(Message):
    """
    A piece of a stream: STREAM_DATA, STREAM_CLOSE or STREAM_RESET.

    frame: the payload alone; the session that sends it puts its protocol's framing around it. id: as its STREAM_OPEN's.
    metadata: of the end, such as trailers, by name. trailers: the same as bytes, in the codec's canonical form. size:
    bytes that flow control counts, padding included. failed: on a server's CLOSE or RESET: the answer is one of failure
    (grpc-status, an error behind rows). final: on a server's CLOSE: the end of the answer ends the exchange; False for
    a tunnel, whose other half goes on. unsent: on a server's RESET: it certainly did nothing, so that another try is
    safe. The `hold` of a chunk is that of a message: what the client's upstream connection is bound by from now on.
    """

    __slots__ = ("final", "size", "trailers", "unsent")

    def __init__(
        self,
        kind: Kind,
        frame: bytes = b"",
        id: int = 0,
        metadata: dict[str, str] | None = None,
        trailers: bytes = b"",
        size: int | None = None,
        hold: Hold = Hold.NONE,
        failed: bool = False,
        final: bool = True,
        unsent: bool = False,
    ) -> None:
        super().__init__(kind, frame, id, metadata, hold=hold)
        self.trailers = trailers
        self.size = len(frame) if size is None else size
        self.failed = failed
        self.final = final
        self.unsent = unsent

    def with_frame(self, frame: bytes) -> Chunk:
        """A copy with another payload. `size` stays: it is what the sender's flow control counted."""
        return Chunk(
            self.kind, frame, self.id, self.metadata, self.trailers, self.size, self.hold, self.failed, self.final,
            self.unsent,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Chunk({self.kind.name}, id={self.id}, {len(self.frame)} bytes, {self.metadata})"

    def __eq__(self, other: object) -> bool:
        """Same kind, id, payload, trailers and flags: for tests, never on the path."""
        if not isinstance(other, Chunk):
            return NotImplemented
        mine = (self.failed, self.final, self.unsent, self.trailers, self.hold)
        theirs = (other.failed, other.final, other.unsent, other.trailers, other.hold)
        return (self.kind, self.id, self.frame, *mine) == (other.kind, other.id, other.frame, *theirs)

    __hash__ = None


class Redirect:
    """
    What a server says in the place of an answer: another one has what was asked for.

    address: its 'host:port', ':port' on the same host, or '': it is not said which; message: what it is sent, which is
    the request, or the request with words of the protocol in front of it; lasting: whether the same holds for what is
    asked next, so that the servers are to be asked again which of them has what.
    """

    __slots__ = ("address", "lasting", "message")

    def __init__(self, address: str, message: Message, lasting: bool) -> None:
        self.address = address
        self.message = message
        self.lasting = lasting

    def __repr__(self) -> str:
        return f"Redirect({self.address!r}, lasting={self.lasting})"


class Part:
    """
    One piece of a request that was split over endpoints.

    message: a whole request of its own; place: where its answer goes, as the codec's `merge` understands it; endpoint:
    where it is sent, one that `owner` of ICodec.split gave; None for where its key belongs.
    """

    __slots__ = ("endpoint", "message", "place")

    def __init__(self, message: Message, place: object, endpoint: object = None) -> None:
        self.message = message
        self.place = place
        self.endpoint = endpoint


class Mutation:
    """
    Changes to the metadata that a frame carries: `set` replaces or adds, `remove` deletes; keys as spelled here.
    Removal happens first. One object serves a route; nothing changes it after it was built.
    """

    __slots__ = ("remove", "set")

    def __init__(self, set: Mapping[str, str] | None = None, remove: tuple[str, ...] = ()) -> None:
        self.set: dict[str, str] = dict(set or {})
        self.remove = remove

    def __repr__(self) -> str:
        return f"Mutation(set={self.set}, remove={self.remove})"
