"""
Any bytes to one session of a codec, cut in any way: what must hold whatever a peer sends.

Lives here: `check_session`. Does not: what a codec needs first, and its seeds (`fuzz_targets`); the data path
(`fuzz_path`). Imports no fuzzer, so that what was found is run again by an ordinary test.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from unittest.mock import patch

from metaproxy.codecs.framing import Codec, Session
from metaproxy.message import Chunk, ErrorKind, FrameError, Kind, Message, Mutation, Side
from metaproxy.testing.joining import Join, join_bytes, joined

BOUND = 1024
"""Bytes that a frame may have: so few that inputs reach it."""
SAID, ECHO = 1 << 16, 8
"""Bytes that a session may say by itself: so many, and so many times what it heard."""
MUTATION = Mutation({"x-fuzz": "1"}, ("x-tenant",))

Prepare = Callable[[Session, Side], None]


class Peers:
    """
    What a check must know of a protocol. prepare(session, side): brings a new session to where its peer's bytes make
    sense. join: see `check_codec`. alike: the message as it is compared; None for one that is left out, as it may
    depend on how its reads were cut. buffered: bytes that a session may keep of a frame: BOUND, unless its protocol
    has it accept larger ones. forgiven(error): whether an error may depend on how the reads were cut: what is sent on
    a stream that was given up is passed over, and when it is given up depends on that; a packet that answers nothing is
    refused on its first bytes, unless it is whole and the server's word that it ends.
    """

    def __init__(
        self,
        prepare: Prepare = lambda session, side: None,
        join: Join = join_bytes,
        alike: Callable[[Message], Message | None] = lambda message: message,
        buffered: int = BOUND,
        forgiven: Callable[[str], bool] = lambda error: False,
    ) -> None:
        self.forgiven = forgiven
        self.buffered = buffered
        self.prepare = prepare
        self.join = join
        self.alike = alike


class Heard:
    """What a session made of a stream: its messages, its error, how many bytes it said by itself."""

    def __init__(self, codec: Codec, side: Side, peers: Peers, pieces: Sequence[bytes]) -> None:
        self._peers = peers
        self.session: Session = codec.session(side, BOUND)
        self.session.facts = {}
        if side is Side.SERVER or codec.greets:
            self.session.open(None, {})
        peers.prepare(self.session, side)
        self.messages: list[Message] = []
        self.said = 0
        for piece in pieces:
            self._hear(self.session.receive(piece), len(piece))
        self._end()

    def _hear(self, messages: list[Message], size: int) -> None:
        session = self.session
        self.messages += messages
        if session.owes:
            self.said += len(session.owed())
        if session.error is None:
            most = self._peers.buffered
            assert 0 <= session.buffered <= most, f"{session.buffered} bytes are buffered; {most} are allowed"
        else:
            assert isinstance(session.error, FrameError), f"the error is {session.error!r}"

    def _end(self) -> None:
        """After an error nothing more is read, and it stays as it is; else the peer's FIN ends what is open."""
        session, error = self.session, self.session.error
        if error is None:
            self._hear(session.eof(), 0)
            return
        for more in (b"", b"\0" * 64, b"GET / HTTP/1.1\r\n\r\n"):
            assert session.receive(more) == [], "messages after an error"
            assert session.error is error, f"{error!r} became {session.error!r}"
        self.said += len(session.owed())

    def story(self) -> list[Message]:
        """The messages as whole ones, but for what was reset; by id where their order among each other is free."""
        kept: list[Message] = []
        for message in self.messages:
            if message.kind is Kind.STREAM_RESET:
                kept = [one for one in kept if one.id != message.id]
            else:
                kept.append(message)
        whole = joined(kept, self._peers.join, self.session.error is not None)
        told = [message for message in map(self._peers.alike, whole) if message is not None]
        return sorted(told, key=lambda message: message.id) if self.session.flow == "stream" else told


def check_session(make: Callable[[], Codec], side: Side, peers: Peers, seed: int, stream: bytes) -> None:
    """Raise unless a session reads the stream in pieces as it does at once, and what it read can be used."""

    def hear(parts: list[bytes]) -> tuple[Codec, Heard]:
        # What the codec draws by chance, such as what it asks of a user that it does not know, must not differ.
        with patch.object(secrets, "token_bytes", random.Random(seed).randbytes):
            codec = make()
            return codec, Heard(codec, side, peers, parts)

    codec, whole = hear([stream])
    _, pieces = hear(list(cut(stream, seed)))
    errors = {str(heard.session.error) for heard in (whole, pieces)}
    if len(errors) > 1 and any(map(peers.forgiven, errors)):
        return  # in pieces it was passed over, and what came of the bytes behind it is not to be compared
    assert str(whole.session.error) == str(pieces.session.error), (whole.session.error, pieces.session.error)
    told, again = whole.story(), pieces.story()
    assert told == again, f"at once: {told}\nin pieces: {again}"
    for heard in (whole, pieces):
        assert heard.said <= SAID + ECHO * len(stream), f"{heard.said} bytes said to {len(stream)}"
    for message in whole.messages:
        use(codec, side, message)


def cut(stream: bytes, seed: int) -> Iterator[bytes]:
    """The stream in pieces: single bytes, pieces of one size (seeds below 64), or of sizes by chance."""
    draw = random.Random(seed)
    at = 0
    while at < len(stream):
        size = seed + 1 if seed < 64 else draw.choice((1, 2, 3, 5, 9, draw.randint(1, 64), draw.randint(1, 1024)))
        yield stream[at : at + size]
        at += size


def use(codec: Codec, side: Side, message: Message) -> None:
    """What the proxy may ask of a message. Only a FrameError may be raised, and not by `known` and `reply`."""
    message.known()
    if side is Side.SERVER:
        _allowed(codec.alive, message)
        return
    for question in (codec.safe, codec.confidential):
        _allowed(question, message)
    if codec.mirror is not None and not isinstance(message, Chunk):
        _allowed(codec.mirror.copied, message)
    if message.kind in (Kind.REQUEST, Kind.STREAM_OPEN) and message.answer is None:
        reply = codec.reply(message, ErrorKind.DENIED, "no")
        assert isinstance(reply, bytes | Message), f"reply gave {reply!r}"
        if not codec.mutable:
            _allowed(codec.mutate, message, MUTATION)


def _allowed(function: Callable[..., object], *arguments: object) -> None:
    try:
        function(*arguments)
    except FrameError:
        pass
