"""
One connection of HTTP/2 (RFC 9113), as far as both of its ends are alike.

Lives here: `Connection`: SETTINGS, PING, GOAWAY, PRIORITY and WINDOW_UPDATE, what is owed, credit, resets, time. Does
not: streams and what comes on them (`reading`), what opens them (`client`, `server`), how frames are sent (`sending`).
"""

from __future__ import annotations

from metaproxy.codecs.http.http2 import frames, settings
from metaproxy.codecs.http.http2.frames import ACK, SETTINGS, Code, ConnectionFault, StreamFault
from metaproxy.codecs.http.http2.options import Options
from metaproxy.codecs.http.http2.reading import Reader
from metaproxy.codecs.http.http2.stream import Stream
from metaproxy.message import ErrorKind, Message

ALIVE = b"metapxy?"
"""What our own PINGs say."""

SENT_GAIN = 10
"""Control frames that a peer may send for each message of ours: it updates its windows for what it read."""


class Connection(Reader):
    """The state of one connection."""

    flow = "stream"

    __slots__ = ("_asked", "_asked_at", "_beaten", "_quiet_since")

    def __init__(self, options: Options, max_frame: int) -> None:
        super().__init__(options, max_frame)
        # Since when the peer is silent; whether and when it was asked.
        self._beaten = self._asked = False
        self._quiet_since = self._asked_at = 0.0
        self._handlers = (
            self._unexpected,
            self._headers,
            self._prioritized,
            self._reset_stream,
            self._settings,
            self._pushed,
            self._pinged,
            self._going_away,
            self._window_update,
            self._continued,
        )

    def _first_bytes(self, parameters: dict[int, int]) -> bytes:
        """Our SETTINGS, and the window of the connection, which is wide enough for all of its streams."""
        wanted = {
            settings.INITIAL_WINDOW_SIZE: self._options.window,
            settings.MAX_HEADER_LIST_SIZE: self._rules.max_head,
        }
        said = frames.frame(SETTINGS, 0, 0, settings.payload(parameters | wanted))
        if self._full_room > frames.FIRST_WINDOW:
            said += frames.window_update(0, self._full_room - frames.FIRST_WINDOW)
        return said

    def _unexpected(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        raise AssertionError("frames of data are taken elsewhere")

    def _prioritized(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        """Priorities are not used; what is wrong with them is reported all the same."""
        frames.expect_stream("PRIORITY", number, True)
        self._control.use()
        if len(payload) != 5:
            raise StreamFault(Code.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes; it has 5")
        if int.from_bytes(payload[:4], "big") & frames.LAST_STREAM == number:
            raise StreamFault(Code.PROTOCOL_ERROR, "a stream that depends on itself")

    def _settings(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        frames.expect_stream("SETTINGS", number, False)
        self._control.use()
        if flags & ACK:
            frames.expect_size("SETTINGS with ACK", payload, 0)
            if not self._agreed:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is an acknowledgement")
            return
        grown = self._apply(payload)
        self._agreed = True
        self._say(frames.frame(SETTINGS, ACK, 0))
        # Behind the acknowledgement, up to which the peer expects no more than it allowed before.
        for stream in grown:
            self._advance(stream)

    def _apply(self, payload: bytes) -> list[Stream]:
        """Take over the peer's settings. Gives the streams whose windows grew by them."""
        sender = self._sender
        window = sender.settings.window
        sender.settings.take(payload)
        sender.encoder.limit(sender.settings.table_size)
        growth = sender.settings.window - window
        if not growth:
            return []
        streams = list(self._streams.values())
        for stream in streams:
            stream.window += growth
            if stream.window > frames.LARGEST_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window of 2 GiB or more")
        return streams if growth > 0 else []

    def _pushed(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "PUSH_PROMISE, which nobody may send here")

    def _pinged(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        frames.expect_stream("PING", number, False)
        frames.expect_size("PING", payload, frames.PING_SIZE)
        self._control.use()
        if not flags & ACK:
            self._say(frames.ping(payload, ACK))

    def _going_away(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        frames.expect_stream("GOAWAY", number, False)
        if len(payload) < 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes; it has at least 8")
        self._control.use()
        self._leaves(int.from_bytes(payload[:4], "big") & frames.LAST_STREAM, messages)

    def _leaves(self, last: int, messages: list[Message]) -> None:
        """The peer looks at no stream above `last`."""

    def _window_update(self, number: int, flags: int, payload: bytes, messages: list[Message]) -> None:
        frames.expect_size("WINDOW_UPDATE", payload, 4)
        self._control.use()
        size = int.from_bytes(payload, "big") & frames.LARGEST_WINDOW
        if not number:
            if self._sender.widen_all(size):
                self._advance_all()
            return
        stream = self._streams.get(number)
        if stream is not None:
            self._sender.widen(stream, size)
            self._advance(stream)
        elif self._idle(number):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"WINDOW_UPDATE on stream {number}, which is idle")

    # What goes

    def owed(self) -> bytes:
        said = b"".join(self._out)
        self._out.clear()
        self.owes = False
        return said

    def _behind_owed(self, written: bytes) -> bytes:
        """What is owed goes first, where the order matters: acknowledgements, data of the same stream."""
        return self.owed() + written if self._out else written

    def _advance(self, stream: Stream) -> None:
        """Send what waited for a stream's window."""
        written = self._sender.advance(stream)
        if written:
            self._control.earn(SENT_GAIN)
            self._say(written)
            if not stream.local_open:
                self._sent_all(stream)

    def _advance_all(self) -> None:
        written, ended = self._sender.advance_all()
        if written:
            self._control.earn(SENT_GAIN)
            self._say(written)
        for stream in ended:
            self._sent_all(stream)

    def _sent_all(self, stream: Stream) -> None:
        """Our half ended: what becomes of the stream."""
        raise NotImplementedError

    def _stream_of(self, id: int) -> Stream | None:
        """The stream of an exchange."""
        raise NotImplementedError

    def credit(self, id: int, size: int) -> None:
        stream = self._stream_of(id)
        if stream is not None and stream.remote_open:
            self._grant(stream, size)

    def unsent_bytes(self, id: int) -> int:
        stream = self._stream_of(id)
        return stream.queued if stream is not None else 0

    def reset(self, id: int, kind: ErrorKind | None, text: str) -> bytes:
        stream = self._stream_of(id)
        # Where the end of an answer still waits for the client's window, what is not wanted is ended behind it.
        if stream is None or (kind is None and stream.finishing):
            return self._behind_owed(b"")
        return self._behind_owed(self._give_up(stream, self._code(kind)))

    def _code(self, kind: ErrorKind | None) -> Code:
        raise NotImplementedError

    # By time

    def beat(self, now: float) -> None:
        """Ask a peer that is silent whether it is there, and give the connection up when it does not answer."""
        interval = self._options.ping_interval
        if self._heard or not self._beaten:
            self._heard, self._beaten, self._asked = False, True, False
            self._quiet_since = now
        elif not self._asked and interval and now - self._quiet_since >= interval:
            self._asked, self._asked_at = True, now
            self._say(frames.ping(ALIVE))
        elif self._asked and now - self._asked_at >= self._options.ping_timeout:
            self._fail(ConnectionFault(Code.NO_ERROR, f"no answer to PING for {self._options.ping_timeout:g} s"))
