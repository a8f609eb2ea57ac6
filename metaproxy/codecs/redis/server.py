"""
What a server sends: replies cut from the stream, and which of them answer nothing.

A connection logs in as its profile and the cluster's credentials say. Commands that only make sense on a client's own
connection come with a third item in the profile: one that is *opened* with such a profile belongs to clients that have
none, for example since a filter refused the command that would have bound them. There all but RESET is turned into an
error, so that nothing changes the state of a connection that clients share.

Lives here: `ServerSession`. Does not: the state of a bound connection (`bound`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from metaproxy.codecs.cutters import compiled_cutter, compiled_methods
from metaproxy.codecs.framing import BEGINNING, Held, Session
from metaproxy.codecs.redis import resp
from metaproxy.codecs.redis.bound import Bound
from metaproxy.codecs.redis.identity import error_probe
from metaproxy.codecs.redis.large import CHUNK, add_chunks
from metaproxy.codecs.redis.layouts import ASKING, REPLICA
from metaproxy.codecs.redis.metadata import ANYBODY
from metaproxy.codecs.redis.resp import CRLF, MAX_HEAD, Scanner
from metaproxy.codecs.session_fields import ReplyFields
from metaproxy.message import Chunk, FrameError, Hold, Kind, Message

_RESPONSE, _ERROR, _EVENT = Kind.RESPONSE, Kind.ERROR, Kind.EVENT
_SIZES = {**resp.SIZES, b"$-1": -2}
_SHORT = frozenset(b":_#")
_READONLY = resp.encode([b"READONLY"])
_LOST = error_probe("the connection that this command belongs to was lost, or not to be had")


@compiled_methods("redis_server_methods")
class ServerSession(ReplyFields, Session):
    """max_frame: bytes of a whole reply; stream_over: those beyond which an answer is passed on as it comes."""

    def __init__(self, max_frame: int, stream_over: int) -> None:
        super().__init__()
        self._most = max_frame
        self._scanner = Scanner(max_frame, min(stream_over, max_frame))
        self._held = Held()
        self._greetings = 0  # answers to come to what `open` sent
        self._unanswered = 0
        self._bound: Bound | None = None  # from its first client on: it is never shared again, only handed on
        self._astray = False
        self._plain = True  # whether each reply answers a request
        self._special = False  # what is sent needs a look
        self._passing = False  # the reply that is under way is passed on as it comes
        self._asking = False  # `_bound` only stands for answers to ASKING, which its requests' clients don't get
        self._keeping = False  # though it is large, it must be whole
        self.cutter = compiled_cutter("RedisReplies", max_frame)

    # -- what is sent

    def open(self, profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        version, database, *own = profile if isinstance(profile, tuple) else (2, 0)
        if own:
            self._astray = self._special = True
            self.reusable = False
            return b""
        password = credentials.get("password", "").encode()
        user = credentials.get("user", "").encode()
        sent = []
        if version == 3:
            login = [b"AUTH", user or ANYBODY.encode(), password] if password else []
            sent.append(resp.encode([b"HELLO", b"3", *login]))
        elif password:
            sent.append(resp.encode([b"AUTH", *([user] if user else []), password]))
        if database:
            sent.append(resp.encode([b"SELECT", b"%d" % database]))
        if self.facts.get("endpoint.role") == REPLICA and "endpoint.shard" in self.facts:
            sent.append(_READONLY)  # else it answers that its master has what is asked for
        self._greetings = len(sent)
        self.ready = self._plain = not sent
        return b"".join(sent)

    def send(self, message: Message, id: int) -> bytes:
        if message.hold or self._special:
            return self.send_other(message)
        self._unanswered += 1
        return message.frame

    def send_other(self, message: Message) -> bytes:
        """Send what binds the connection, or what goes over one that is not shared."""
        if isinstance(message, Chunk):
            if message.kind is Kind.STREAM_CLOSE:
                self._special = self._bound is not None or self._astray
            return b"" if self._astray else message.frame
        if message.kind is Kind.STREAM_OPEN:
            self._special = True
        if self._astray:
            if message.kind is Kind.ONEWAY:
                return b""
            return message.frame if resp.arguments(message.frame, 1)[0].upper() == b"RESET" else _LOST
        if message.frame.startswith(ASKING):
            if self._bound is None:
                self._bound = Bound(self._unanswered)
                self._special = self._asking = True
                self._plain = False
            self._bound.asked(message, len(ASKING))
            return message.frame
        if self._bound is None:
            if message.hold is not Hold.OPEN:  # a blocking command, alone on its connection
                self._unanswered += 1
                return message.frame
            self._bound = Bound(self._unanswered, "endpoint.shard" in self.facts)
            self._special = True
            self._plain = False
        self._bound.sent(message)
        self.reusable = self._bound.clean
        return message.frame

    # -- what comes

    def receive(self, data: bytes) -> list[Message]:
        messages: list[Message] = []
        if self.error is not None:
            return messages
        at = 0
        if self.cutter is not None and self._plain and not (self._passing or self._held.size):
            # The common read, with fewer calls: replies that are whole and plain.
            at = self.cutter(data, 0, messages)
            if at == len(data):
                self._unanswered -= len(messages)
                return messages
        try:
            self._read(data, messages, at)
        except FrameError as error:
            self.error = error
            self._held.drop()
        self.buffered = self._held.size
        if self._plain:
            self._unanswered -= len(messages)
        return messages

    def _read(self, data: bytes, messages: list[Message], at: int = 0) -> None:
        """What there is from `at` on, which is 0 unless nothing is held."""
        if self._passing:
            at = self._pass_on(data, 0, self._scanner.scan(data, 0), messages)
        elif self._held.size:
            at = self._step(data, 0, messages)
        if at < 0:
            return
        end = len(data)
        while at < end:
            if self._plain:
                at = self._burst(data, at, messages)
                if at == end:
                    return
            at = self._step(data, at, messages)
            if at < 0:
                return

    def _step(self, data: bytes, at: int, messages: list[Message]) -> int:
        """Takes in the reply that begins at `at`, or goes on there; where it ends, INCOMPLETE if it does not."""
        scanner, held = self._scanner, self._held
        stop = scanner.scan(data, at)
        if scanner.large and not self._keeping and (stop < 0 or scanner.over):
            beginning = (held.beginning() + data[at : at + BEGINNING])[:BEGINNING]
            if not self._greetings and self._opens(beginning, scanner.code, messages):
                return self._begin_stream(data, at, stop, messages)
            self._keeping = True
        if stop < 0:
            self._hold(data[at:])
            return stop
        self._keeping = False
        if scanner.over:
            self._hold(data[at:stop])
            self._skip(held.take(b""), messages)
        else:
            self._take(held.take(memoryview(data)[at:stop]) if held.size else data[at:stop], messages)
        return stop

    def _opens(self, beginning: bytes, code: int, messages: list[Message]) -> bool:
        """Whether a reply that begins so may be passed on as it comes: it answers a request, which is taken note of."""
        if self._bound is not None:
            opens = self._bound.opens(beginning, code)
            self.reusable = self._bound.clean
            return opens
        return code != resp.PUSH

    def _begin_stream(self, data: bytes, at: int, stop: int, messages: list[Message]) -> int:
        end = len(data) if stop < 0 else stop
        place = at if self._held.size else min(end, at + min(CHUNK, self._most))
        head = Message(Kind.STREAM_OPEN, self._held.take(b"") or data[at:place])
        if self._scanner.code in (resp.ERROR, resp.BULK_ERROR):
            head.failed = True
        messages.append(head)
        self._passing = True
        return self._pass_on(data, place, stop, messages)

    def _pass_on(self, data: bytes, at: int, stop: int, messages: list[Message]) -> int:
        """Passes on what there is of a large answer. stop: where it ends, INCOMPLETE if it does not."""
        self._passing = stop < 0
        added = add_chunks(messages, data, at, len(data) if stop < 0 else stop, 0, stop >= 0)
        if self._plain:
            self._unanswered += added  # these answer nothing more
        return stop

    def _hold(self, piece: bytes) -> None:
        """Keeps a piece of a reply that is not whole; of one that is too large no more than its beginning."""
        if self._scanner.over:
            self._held.cut(piece)
        else:
            self._held.add(piece)

    def _burst(self, data: bytes, at: int, messages: list[Message]) -> int:
        """Cuts off whole lines and values, up to a reply that needs a closer look: where that is."""
        find, size_of, add = data.find, _SIZES.get, messages.append
        most, end = self._most, len(data)
        if self.cutter is not None:
            at = self.cutter(data, at, messages)
        while at < end:
            line = find(CRLF, at)
            if line < 0:
                return at
            code = data[at]
            stop = line + 2
            if code == 0x24:  # $
                size = size_of(data[at:line])
                if size is None:
                    digits = data[at + 1 : line]
                    if line - at > MAX_HEAD or not digits.isdigit():
                        return at
                    size = int(digits)
                stop += 2 + size
                if data[stop - 2 : stop] != CRLF:
                    return at
            elif code != 0x2B and code != 0x2D and (code not in _SHORT or line - at > MAX_HEAD):  # + -
                return at
            if stop - at > most:
                return at
            add(Message(_RESPONSE if code != 0x2D else _ERROR, data[at:stop]))
            at = stop
        return at

    def _take(self, frame: bytes, messages: list[Message]) -> None:
        """A whole reply."""
        code = self._scanner.code
        if self._greetings:
            self._greeted(frame, code)
        elif self._bound is not None:
            messages += self._bound.received(frame, code)
            self.reusable = self._bound.clean
            if self._asking and not self._bound.asks:
                self._share_again(self._bound, len(messages))
        elif code == resp.PUSH:
            self._unanswered += 1
            messages.append(Message(_EVENT, frame))
        else:
            messages.append(Message(_ERROR if code in (resp.ERROR, resp.BULK_ERROR) else _RESPONSE, frame))

    def _share_again(self, bound: Bound, read: int) -> None:
        """No answer to ASKING is to come any more. read: messages of this read, which are still to be counted."""
        self._unanswered = bound.requests + read
        self._bound, self._asking, self._special, self._plain = None, False, False, True
        self.reusable = True

    def _skip(self, beginning: bytes, messages: list[Message]) -> None:
        """A reply with more bytes than are allowed has come to its end. beginning: its first bytes."""
        reason = f"an answer of more than {self._most} bytes (max_frame)"
        if self._greetings:
            raise FrameError(f"at the login {reason}")
        if self._bound is not None:
            messages += self._bound.skipped(beginning, self._scanner.code, reason)
            self.reusable = self._bound.clean
        elif self._scanner.code == resp.PUSH:
            self._unanswered += 1
            messages.append(Message(_EVENT, b""))
        else:
            messages.append(Message(Kind.SKIPPED, reason.encode()))

    def _greeted(self, frame: bytes, code: int) -> None:
        """An answer to what `open` sent."""
        if code in (resp.ERROR, resp.BULK_ERROR):
            text = frame.removeprefix(b"-").strip().decode("utf-8", "replace")
            raise FrameError(f"login refused: {text[:200]}")
        self._greetings -= 1
        if not self._greetings:
            self.ready = self._plain = True
            self._unanswered = 0
