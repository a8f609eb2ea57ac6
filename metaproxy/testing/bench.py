"""
The codec on the test bench: new sessions, fed in pieces, with all that holds at every step checked.

Lives here: `Bench`, what all checks of a codec use. Does not: the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass

from metaproxy.interfaces import ICodec, ISession
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side
from metaproxy.plugins import verify_contract
from metaproxy.testing.joining import Join, join_bytes, joined
from metaproxy.testing.report import fault, need, shorten
from metaproxy.testing.watchdog import Endless, Watchdog

Prepare = Callable[[ISession, Side], None]
T = TypeVar("T")

FORWARDED = (
    Kind.REQUEST, Kind.ONEWAY, Kind.RESPONSE, Kind.ERROR, Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE,
)  # fmt: skip
OTHER = {Side.CLIENT: Side.SERVER, Side.SERVER: Side.CLIENT}
_ANSWERS = (Kind.RESPONSE, Kind.ERROR)


def verify(interface: InterfaceClass, built: object) -> None:
    """Raise AssertionError in zope's words unless `built` keeps the interface, what came later excepted."""
    try:
        verify_contract(interface, built)
    except Invalid as error:
        raise AssertionError(str(error)) from error


class Long(NamedTuple):
    """The start of a much longer frame. declared: by a length in its head; otherwise by an end that is missing."""

    start: bytes
    filler: bytes
    declared: bool


class Bench:
    """codec: what is tested. frames: what each side sends, whole. The other arguments are those of `check_codec`."""

    def __init__(
        self,
        codec: ICodec,
        frames: Mapping[Side, list[bytes]],
        max_frame: int,
        prepare: Prepare | None,
        credentials: Mapping[str, str],
        login: list[bytes],
        watchdog: Watchdog,
        join: Join = join_bytes,
        ids: bool = True,
        own: Collection[str] = (),
    ) -> None:
        self.codec = codec
        self.join = join
        self.ids = ids
        self.own = frozenset(own)
        self.replies_with_messages = False
        self.frames = frames
        self.max_frame = max_frame
        self.credentials = credentials
        self.login = login
        self.prepare = prepare
        self.profile: Hashable = None
        self._watchdog = watchdog
        self._verified: set[Side] = set()
        self.long: dict[Side, list[Long]] = {}  # see `bounds`
        for side, name in ((Side.CLIENT, "client"), (Side.SERVER, "server")):
            need(bool(frames[side]), f"{name}=[] checks nothing; give at least one whole frame")
            for i, frame in enumerate(frames[side]):
                need(isinstance(frame, bytes), f"{name}[{i}] is {type(frame).__name__}; give bytes")
                need(0 < len(frame) <= max_frame, f"{name}[{i}] has {len(frame)} bytes; allowed are 1 to {max_frame}")

    # -- calls

    def call(
        self,
        what: str,
        function: Callable[..., T],
        *arguments: object,
        data: bytes | None = None,
        refusal: bool = False,
    ) -> T:
        """What `function(*arguments)` gives. It ends soon, and raises nothing but, with `refusal`, a FrameError."""
        watchdog = self._watchdog
        watchdog.begin()
        try:
            return function(*arguments)
        except Endless:
            watchdog.end()
            raise fault(
                f"{what} did not come back: an endless loop, or work that grows faster than the bytes (is a length"
                " negative, or an offset that does not move?)",
                data,
            ) from None
        except AssertionError:
            raise
        except FrameError as error:
            if refusal:
                raise
            raise fault(f"{what} raised {error!r}; here it must not raise, whatever its arguments are", data) from error
        except Exception as error:
            also = "; it may raise FrameError only" if refusal else "; it must not raise"
            raise fault(f"{what} raised {error!r}{also}", data) from error
        finally:
            watchdog.end()

    def reply(self, what: str, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        """The frame of the error, also where the codec leaves it to the client's session to send it."""
        made = self.call(what, self.codec.reply, request, kind, text, name, data=request.frame)
        self.replies_with_messages = isinstance(made, Message)
        if isinstance(made, Message):
            need(made.kind is Kind.ERROR, f"{what} gave {made!r:.200}; a Message that answers must be an ERROR")
            made = made.frame
        need(isinstance(made, bytes), f"{what} gave {made!r:.200}; it must give bytes, or a Message of kind ERROR")
        return made

    # -- sessions

    def learn_profile(self) -> None:
        """From now on servers' sessions are opened as for the first of the requests."""
        self.profile = next((message.profile for _, message in self.requests()), None)

    def bare(self, side: Side, max_frame: int | None = None) -> ISession:
        """A new session, not opened."""
        bound = self.max_frame if max_frame is None else max_frame
        session = self.call("session()", self.codec.session, side, bound)
        if side not in self._verified:
            verify(ISession, session)
            self._verified.add(side)
        return session

    def session(self, side: Side, max_frame: int | None = None, cutter: bool = True) -> ISession:
        """A new session in the state in which the frames make sense: opened, logged in, prepared."""
        session = self.bare(side, max_frame)
        if not cutter:
            session.cutter = None
        if side is Side.SERVER:
            self.open(session)
        if self.prepare is not None:
            self.prepare(session, side)
        return session

    def open(self, session: ISession) -> bytes:
        """What the session says on its new connection; `login` is what the server answers."""
        opening = self.call("open()", session.open, self.profile, self.credentials)
        need(isinstance(opening, bytes), f"open() gave {opening!r}; it must give bytes, b'' for nothing to say")
        for frame in self.login if opening else ():
            said = self.call("receive()", session.receive, frame, data=frame)
            need(
                not said,
                f"the login's answer gave {shorten(said)}; it is the session's business and reaches no client",
                frame,
            )
        return opening

    # -- reading

    def feed(self, session: ISession, pieces: Iterable[bytes], bound: int) -> list[Message]:
        """The messages of all pieces."""
        messages: list[Message] = []
        for piece in pieces:
            self._watchdog.begin()
            try:
                found = session.receive(piece)
            except Endless:
                self._watchdog.end()
                raise fault(
                    "receive did not come back: an endless loop, or work that grows faster than the bytes (is a length"
                    " negative, or an offset that does not move?). Fed:",
                    piece,
                ) from None
            except Exception as error:
                raise fault(f"receive raised {error!r}; what a peer sent may only set `error`. Fed:", piece) from error
            finally:
                self._watchdog.end()
            if not isinstance(found, list) or not all(isinstance(message, Message) for message in found):
                raise fault(f"receive gave {found!r:.300}; it must give a list of Messages. Fed:", piece)
            for message in found:
                # These first: without them no text can show the message.
                if not isinstance(message.kind, Kind):
                    raise fault(f"kind is {message.kind!r}, no Kind. Fed:", piece)
                if not isinstance(message.frame, bytes):
                    raise fault(f"frame is no bytes: {message.frame!r:.300}. Fed:", piece)
            broken, buffered = session.error, session.buffered
            if broken is not None and not isinstance(broken, FrameError):
                raise fault(f"session.error is {broken!r}; it must be a FrameError. Fed:", piece)
            if not isinstance(buffered, int) or (broken is None and not 0 <= buffered <= bound):
                raise fault(
                    f"session.buffered is {buffered!r} of at most {bound} allowed bytes: refuse a frame on its head."
                    " Fed:",
                    piece,
                )
            messages += found
        return messages

    def read(
        self, side: Side, pieces: Iterable[bytes], max_frame: int | None = None, cutter: bool = True
    ) -> tuple[list[Message], ISession]:
        """What a new session makes of the pieces: see `joined`, `session`."""
        session = self.session(side, max_frame, cutter)
        messages = self.feed(session, pieces, self.max_frame if max_frame is None else max_frame)
        return self.joined(messages, session), session

    def joined(self, messages: list[Message], session: ISession) -> list[Message]:
        """All messages of a session, streams as whole messages."""
        return joined(messages, self.join, session.error is not None)

    def one(self, side: Side, data: bytes, what: str, more: bool = False) -> Message:
        """The only message of `data`, which nothing follows; with `more` the first, others may follow."""
        messages, session = self.read(side, [data])
        # An answer may show that others get none.
        messages = [message for message in messages if message.kind is not Kind.SILENCE] or messages[:1]
        need(session.error is None, f"{what}: session.error is {session.error!s}. Fed:", data)
        need(
            len(messages) == 1 or (more and len(messages) > 1),
            f"{what}: {len(messages)} messages instead of one: {shorten(messages)}. Fed:",
            data,
        )
        need(session.buffered == 0, f"{what}: buffered is {session.buffered} after a whole frame. Fed:", data)
        return messages[0]

    def messages(self, side: Side) -> Iterator[tuple[str, Message]]:
        """A name and the message of each frame given, each read by a session of its own."""
        for i, frame in enumerate(self.frames[side]):
            what = f"{side.value}[{i}]"
            yield what, self.one(side, frame, what)

    def requests(self) -> Iterator[tuple[str, Message]]:
        """Those of the client's that go to a server."""
        for what, message in self.messages(Side.CLIENT):
            if message.kind is Kind.REQUEST and message.answer is None:
                yield what, message

    def answers(self) -> Iterator[tuple[str, Message]]:
        """Those of the server's that answer a request."""
        for what, message in self.messages(Side.SERVER):
            if message.kind in _ANSWERS:
                yield what, message

    def look(self, what: str, message: Message) -> None:
        """Make the message decode all that it can. FrameError is allowed, once."""
        for attempt in (1, 2):
            try:
                self.call(f"{what}: get() (`more`)", message.get, "no such key", data=message.frame, refusal=True)
            except FrameError as error:
                need(attempt == 1, f"{what}: get() raised FrameError a second time: {error}", message.frame)
