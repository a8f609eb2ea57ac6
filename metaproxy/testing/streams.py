"""
A session and its stream: cut at any place, damaged, beside other connections.

Lives here: `check_cuts`, `check_cutter`, `check_isolation`, `check_damage`. Does not: bounds, and the work that
a stream makes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from metaproxy.interfaces import ISession
from metaproxy.message import Kind, Message, Shared, Side
from metaproxy.testing.bench import Bench
from metaproxy.testing.report import fault, hexdump, need, shorten

_STREAMS = 120
"""Streams of random or damaged bytes that a session of each side is fed."""
_PLACES = 24
"""Bytes at the start of a frame that are replaced one by one."""
_VALUES = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def check_cuts(bench: Bench) -> None:
    for side in Side:
        frames = bench.frames[side]
        stream = b"".join(frames)
        whole, session = bench.read(side, [stream])
        silent = sum(message.kind is Kind.SILENCE for message in whole)
        need(
            session.error is None and len(whole) - silent <= len(frames) <= len(whole),
            f"the {side.value}'s {len(frames)} frames in one read: {len(whole)} messages and error {session.error!s}."
            " Fed:",
            stream,
        )
        _check_shared(side, whole, stream)
        for pieces in _cuts(stream, random.Random(1)):
            _compare(bench, side, stream, pieces, whole, session)


def _check_shared(side: Side, messages: Sequence[Message], stream: bytes) -> None:
    """No two messages fill in the same metadata."""
    seen: dict[int, Message] = {}
    for message in messages:
        filled = message.more is not None
        metadata = message.metadata
        if metadata is None:
            continue
        if type(metadata) is Shared:
            before = dict(metadata)
            message.known()
            text = f"`more` of one of the {side.value}'s messages changes metadata that are Shared: make others of them"
            need(metadata == before, text, stream)
            continue
        other = seen.setdefault(id(metadata), message)
        need(
            other is message or not (filled or other.more is not None),
            f"two of the {side.value}'s messages share one metadata dict, and `more` fills it in: make one for each",
            stream,
        )


def _compare(
    bench: Bench,
    side: Side,
    stream: bytes,
    pieces: list[bytes],
    whole: list[Message],
    reader: ISession,
    max_frame: int | None = None,
) -> None:
    """The same messages and error as in one read."""
    messages, session = bench.read(side, pieces, max_frame)

    def how() -> str:
        return f"cut into pieces of {shorten([len(piece) for piece in pieces])} bytes, the {side.value}'s stream"

    for i, message in enumerate(messages):
        bench.look(f"message {i} of a cut stream", message)
    if messages != whole:
        raise fault(f"{how()} gives {shorten(messages)}; in one read it gives {shorten(whole)}. Fed:", stream)
    if str(session.error) != str(reader.error):
        raise fault(
            f"{how()} ends with error {session.error!s}; in one read it ends with {reader.error!s}. Fed:", stream
        )


def _cuts(stream: bytes, draw: random.Random) -> Iterator[list[bytes]]:
    """Each byte alone, two halves cut at every place (of a long stream at some), and some random cuts."""
    if len(stream) <= 1 << 16:
        yield [stream[i : i + 1] for i in range(len(stream))]
    places = range(1, len(stream))
    for place in places if len(places) <= 400 else sorted(draw.sample(places, 400)):
        yield [stream[:place], stream[place:]]
    for _ in range(20):
        yield _random_cut(stream, draw)


def _random_cut(stream: bytes, draw: random.Random) -> list[bytes]:
    places = sorted(draw.sample(range(len(stream) + 1), min(len(stream), draw.randint(0, 12))))
    return [stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True)]


def check_cutter(bench: Bench) -> None:
    """A session's cutter, where it has one, makes of a stream what its loop does."""
    draw = random.Random(3)
    for side in Side:
        frames = bench.frames[side]
        if getattr(bench.session(side), "cutter", None) is None:
            continue
        bound = max(1024, *map(len, frames))
        streams = [b"".join(frames), *_spoilt(frames), *(_damaged(frames, draw) for _ in range(_STREAMS))]
        for stream in streams:
            for pieces in ([stream], _random_cut(stream, draw)):
                _compare_cutter(bench, side, pieces, bound)


def _compare_cutter(bench: Bench, side: Side, pieces: list[bytes], bound: int) -> None:
    cut, session = bench.read(side, pieces, bound)
    looped, other = bench.read(side, pieces, bound, cutter=False)
    need(
        cut == looped and str(session.error) == str(other.error) and session.buffered == other.buffered,
        f"the {side.value}'s stream in pieces of {shorten([len(piece) for piece in pieces])} bytes gives"
        f" {shorten(cut)}, error {session.error!s} and {session.buffered} bytes buffered; with session.cutter = None"
        f" it gives {shorten(looped)}, error {other.error!s} and {other.buffered} buffered. Fed:",
        b"".join(pieces),
    )


def check_isolation(bench: Bench) -> None:
    """What one connection holds is no other's."""
    for side in Side:
        stream = b"".join(bench.frames[side])
        alone, _ = bench.read(side, [stream])
        half = max(1, len(bench.frames[side][0]) // 2)
        for cut in {half, len(stream) - 1} - {0}:
            first, second = bench.session(side), bench.session(side)
            messages = bench.feed(first, [stream[:cut]], bench.max_frame)
            others = bench.feed(second, [stream], bench.max_frame)
            messages += bench.feed(first, [stream[cut:]], bench.max_frame)
            messages, others = bench.joined(messages, first), bench.joined(others, second)
            need(
                others == alone and messages == alone,
                f"two connections of {side.value}s at a time: one gives {shorten(messages)}, the other"
                f" {shorten(others)}; alone each gives {shorten(alone)}. Is there state in the class? Fed:",
                stream,
            )
        broken = bench.session(side)
        bench.feed(broken, [b"\xff" * 64, b"\x00" * 64, b"\r\n" * 4], bench.max_frame)
        again, session = bench.read(side, [stream])
        need(
            again == alone and session.error is None,
            f"once a connection of a {side.value} broke the protocol, a new one gives {shorten(again)} and error"
            f" {session.error!s}; before it gave {shorten(alone)}. Is there state in the class or the codec? Fed:",
            stream,
        )


def check_damage(bench: Bench) -> None:
    draw = random.Random(2)
    for side in Side:
        frames = bench.frames[side]
        bound = max(1024, *map(len, frames))
        behind = _Behind(bench, side, bound)
        for stream in _spoilt(frames):
            whole, session = bench.read(side, [stream], bound)
            for i, message in enumerate(whole):
                bench.look(f"message {i} of a damaged stream", message)
            if session.error is not None:
                behind.check(stream, whole, session)
        for _ in range(_STREAMS):
            stream = _damaged(frames, draw)
            whole, session = bench.read(side, [stream], bound)
            for i, message in enumerate(whole):
                bench.look(f"message {i} of a damaged stream", message)
            _compare(bench, side, stream, _random_cut(stream, draw), whole, session, bound)
            if session.error is not None:
                _check_silent(bench, side, session, stream, bound)


def _check_silent(bench: Bench, side: Side, session: ISession, stream: bytes, bound: int) -> None:
    """Nothing more is parsed after an error."""
    error = session.error
    later = bench.feed(session, bench.frames[side], bound)
    if later or session.error is not error:
        raise fault(
            f"after a bad frame ({error}) the session gave {shorten(later)} and error {session.error!s}; nothing more"
            f" must be parsed. The bad bytes of the {side.value}:",
            stream,
        )


class _Behind:
    """A bad frame behind a good one: the good one is given, in one read too. A few of each side are enough."""

    def __init__(self, bench: Bench, side: Side, bound: int) -> None:
        self._bench, self._side, self._bound = bench, side, bound
        self._left = 24

    def check(self, bad: bytes, messages: list[Message], session: ISession) -> None:
        if self._left <= 0 or messages:
            return
        self._left -= 1
        good = self._bench.frames[self._side][0]
        apart, first = self._bench.read(self._side, [good, bad], self._bound)
        joined, second = self._bench.read(self._side, [good + bad], self._bound)
        if apart != joined or str(first.error) != str(second.error):
            raise fault(
                f"a bad frame behind a good one of the {self._side.value}: in one read {shorten(joined)} and error"
                f" {second.error!s}; in two {shorten(apart)} and error {first.error!s}. The messages before a bad frame"
                f" are returned, and error is set. The good one:\n{hexdump(good)}\n and the bad one:",
                bad,
            )
        _check_silent(self._bench, self._side, second, good + bad, self._bound)


def _spoilt(frames: Sequence[bytes]) -> Iterator[bytes]:
    """Each byte of the heads replaced; runs of ff, as negative lengths are; heads cut short."""
    for frame in sorted(set(frames), key=len)[:6]:
        for place in range(min(_PLACES, len(frame))):
            for value in _VALUES:
                if frame[place] != value:
                    yield frame[:place] + bytes([value]) + frame[place + 1 :]
            for other in (frame[place] ^ 0x20, frame[place] - 1, frame[place] - 2, frame[place] - 4, frame[place] + 1):
                yield frame[:place] + bytes([other & 0xFF]) + frame[place + 1 :]
            if place % 2 == 0:
                for width in (2, 4, 8):
                    for byte in (b"\xff", b"\x00"):
                        run = byte * (width - 1)
                        yield frame[:place] + run + (b"\xfb" if byte == b"\xff" else b"\x01") + frame[place + width :]
        for number in list(re.finditer(rb"[0-9]+", frame))[:4]:
            for digits in (b"-1", b"-5", b"0", b"99999999999", b"1e3", b""):
                yield frame[: number.start()] + digits + frame[number.end() :]
        for size in range(1, min(5, len(frame))):
            yield frame[: len(frame) - size] + frame


def _damaged(frames: Sequence[bytes], draw: random.Random) -> bytes:
    """Random bytes, or some good frames with a few bytes changed, removed or put in."""
    if draw.random() < 0.3:
        return draw.randbytes(draw.randint(1, 200))
    stream = bytearray(b"".join(draw.choices(frames, k=draw.randint(1, 3))))
    for _ in range(draw.randint(1, 4)):
        # Mostly near the start, where the heads are.
        place = min(int(draw.expovariate(1 / 16)), len(stream)) if draw.random() < 0.5 else draw.randint(0, len(stream))
        stop = place + draw.choice((0, 1, 1, 1, 2))
        stream[place:stop] = draw.choice((b"", b"\x00", b"\xff", b"\x7f", draw.randbytes(1), draw.randbytes(2)))
    return bytes(stream[:4096]) or b"\x00"
