"""
What a session lets in, and what that costs: `max_frame` to the byte, and work that grows with the bytes and no faster.

Lives here: `check_bounds`, `check_costs`, `check_growth`. Does not: how work is counted (`work`).
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from functools import partial

from metaproxy.interfaces import ISession
from metaproxy.message import FrameError, Kind, Message, Side
from metaproxy.testing.bench import Bench, Long
from metaproxy.testing.report import fault, need, shorten
from metaproxy.testing.work import CountedBytes, Work, shortest

_HEADS = (Kind.STREAM_OPEN, Kind.EVENT_OPEN)
_HUGE = 1 << 40
_FACTOR = 8.0
"""Four times the bytes may cost this many times the work: linear is 4, quadratic 16."""
_LINES, _LINES_PER_BYTE = 4000, 100
"""Lines of Python for one frame and the metadata of it."""
_SECONDS, _SECONDS_PER_BYTE = 0.002, 2e-5
_LONG = 4 << 20
_SCANS = 3
_PATIENCE = 0.05
"""Seconds of CPU for feeding that much."""
_SURE = 4
"""Pieces of it, after which is known how long all of them take."""
_TRIES = 3
"""What a thread of the test runner allocates meanwhile is counted, too, and does not come each time."""


def check_bounds(bench: Bench) -> None:
    for side in Side:
        for i, frame in enumerate(bench.frames[side]):
            what = f"{side.value}[{i}]"
            _check_exact(bench, side, what, frame)
            if len(frame) > 1:
                _check_over(bench, side, frame)
        for long in _long(bench, side):
            if long.declared:
                _check_head(bench, side, long)


def _check_exact(bench: Bench, side: Side, what: str, frame: bytes) -> None:
    """A frame of max_frame bytes is allowed."""
    message = bench.one(side, frame, what)
    if message.frame != frame:  # the codec reads it in another form, whose size counts
        return
    session = bench.session(side, len(frame))
    if session.error is not None or session.buffered:  # the login does not fit
        return
    messages = [m for m in bench.feed(session, [frame], len(frame)) if m.kind is not Kind.SILENCE]
    need(
        session.error is None and len(messages) == 1,
        f"{what} has {len(frame)} bytes, and max_frame={len(frame)} allows it: error is {session.error!s}, messages"
        f" {shorten(messages)}",
        frame,
    )


def _check_over(bench: Bench, side: Side, frame: bytes) -> None:
    bound = len(frame) - 1
    ready = bench.session(side, bound)
    if ready.error is not None:
        return
    for how, pieces in (("at once", [frame]), ("byte by byte", [frame[i : i + 1] for i in range(len(frame))])):
        session = bench.session(side, bound)
        messages = bench.feed(session, pieces, bound)
        if any(message.kind in _HEADS for message in messages):  # its body streams, whatever its length
            continue
        if messages and all(message.frame not in frame and len(message.frame) <= bound for message in messages):
            continue  # the codec reads it in another form, whose size counts
        if side is Side.SERVER and messages and all(map(_is_dropped, messages)) and session.error is None:
            continue
        need(
            session.error is not None and not messages,
            f"a {side.value}'s frame of {len(frame)} bytes, fed {how}, passed max_frame={bound}: error is"
            f" {session.error!s}, messages {shorten(messages)}. Frame:",
            frame,
        )


def _is_dropped(message: Message) -> bool:
    """Whether it stands for an answer or a push that was read to its end and dropped."""
    return message.kind is Kind.SKIPPED or (message.kind is Kind.EVENT and not message.frame)


def _check_head(bench: Bench, side: Side, long: Long) -> None:
    """A length over the bound is refused when it was read, not when as many bytes are there."""
    bound = len(long.start) + 64
    session = bench.session(side, bound)
    if session.error is not None:
        return
    fed = long.start + long.filler[: bound - len(long.start)]
    messages = bench.feed(session, [fed], bound)
    if session.error is None and session.buffered == len(fed) and not messages:
        raise fault(
            f"a {side.value}'s frame says in its head that it has more than {bound + 1000} bytes, and"
            f" max_frame={bound}: all of them are held; refuse it on its head, or drop it as it comes. Fed:",
            fed,
        )


# -- frames that go on


def _long(bench: Bench, side: Side) -> list[Long]:
    if side not in bench.long:
        bench.long[side] = list(itertools.islice(_find_long(bench, side), 8))
    return bench.long[side]


def _find_long(bench: Bench, side: Side) -> Iterator[Long]:
    """Beginnings of long frames, made of those given: a few of each sort."""
    seen: set[tuple[bool, int]] = set()
    for frame in sorted(set(bench.frames[side]), key=len)[:6]:
        fillers = (frame * (1 + 4096 // len(frame)), b"\x00" * 4096, b"x" * 4096, b"0" * 4096)
        for start, place in _starts(frame):
            # Only what waits whatever follows has a length.
            if (True, place) not in seen and all(_waits(bench, side, start, filler) for filler in fillers):
                seen.add((True, place))
                yield Long(start, fillers[2], True)
        for place in sorted({1, len(frame) // 2, len(frame) - 2, len(frame) - 1} - {0, -1}):
            for filler in fillers[1:]:
                if (
                    sum(not declared for declared, _ in seen) < 4
                    and (False, place) not in seen
                    and _waits(bench, side, frame[:place], filler)
                ):
                    seen.add((False, place))
                    yield Long(frame[:place], filler, False)


def _starts(frame: bytes) -> Iterator[tuple[bytes, int]]:
    """The frame with a greater number somewhere in its first half, binary or decimal, and where."""
    for place in range(min(24, max(1, len(frame) - 1))):
        for value in (0x01, 0x7F):
            if frame[place] < value:
                yield frame[:place] + bytes([value]) + frame[place + 1 :], place
                break
    for number in list(re.finditer(rb"(?<![0-9])[0-9]+", frame))[:6]:
        yield frame[: number.start()] + b"9999999" + frame[number.end() :], number.start()


def _waits(bench: Bench, side: Side, start: bytes, filler: bytes) -> bool:
    """Whether it does, and for as long as one likes: a line with a bound of its own is short."""
    session = bench.session(side, _HUGE)
    messages = bench.feed(session, [start + filler], _HUGE)
    if messages or session.error is not None or session.buffered != len(start) + len(filler):
        return False
    return not bench.feed(session, [filler[-1:] * (1 << 15)], _HUGE) and session.error is None


# -- work


def check_costs(bench: Bench) -> None:
    for side in Side:
        for i, frame in enumerate(bench.frames[side]):
            _check_cost(bench, side, f"{side.value}[{i}]", frame)


def check_growth(bench: Bench) -> None:
    for side in Side:
        _check_many(bench, side)
        for i, long in enumerate(_long(bench, side)):
            _check_trickle(bench, side, long)
            if i < _SCANS or long.declared:
                _check_scan(bench, side, long)
            if long.declared:
                _check_long(bench, side, long)


def _decode(session: ISession, data: bytes) -> list[Message]:
    messages = session.receive(data)
    for message in messages:
        try:
            message.get("no such key")
        except FrameError:
            pass
    return messages


def _check_cost(bench: Bench, side: Side, what: str, frame: bytes) -> None:
    """One frame, its metadata included, costs some lines a byte."""
    allowed = _LINES + _LINES_PER_BYTE * len(frame)
    session = bench.session(side)
    with Work() as work:
        bench.call(f"{what}: receive()", work.of, lambda: _decode(session, CountedBytes(frame)), data=frame)
    need(
        work.total <= allowed,
        f"{what}: reading {len(frame)} bytes took {work.total} lines of Python and bytes copied; allowed are {allowed}",
        frame,
    )
    sessions = [bench.session(side) for _ in range(5)]
    seconds = shortest(lambda: _decode(sessions.pop(), frame), len(sessions))
    bound = _SECONDS + _SECONDS_PER_BYTE * len(frame)
    need(
        seconds <= bound,
        f"{what}: reading {len(frame)} bytes took {seconds * 1e3:.1f} ms of CPU at best; allowed are {bound * 1e3:.1f}",
        frame,
    )


def _check_many(bench: Bench, side: Side) -> None:
    """Four times as many frames in one read cost four times as much."""
    for frame in bench.frames[side]:
        few = max(8, 1024 // len(frame))
        messages, session = bench.read(side, [frame * few])
        if len(messages) != few or session.error is not None:
            continue
        costs = []
        for times in (few, 4 * few):
            session = bench.session(side)
            data = CountedBytes(frame * times)
            with Work() as work:
                bench.call("receive()", work.of, partial(session.receive, data), data=frame)
            costs.append(work.total)
        need(
            costs[1] <= _FACTOR * costs[0],
            f"{few} of the {side.value}'s frames in one read cost {costs[0]} lines and bytes copied, {4 * few} cost"
            f" {costs[1]}: quadratic. Is what is left copied at each frame? The frame:",
            frame,
        )
        return


def _check_trickle(bench: Bench, side: Side, long: Long) -> None:
    """A frame that comes in pieces costs its bytes, not its bytes for each piece."""
    few, many = 32, 128
    for _ in range(_TRIES):
        costs = [cost for times in (few, many) if (cost := _trickle(bench, side, long, times)) is not None]
        if len(costs) < 2 or costs[1] <= _FACTOR * costs[0]:
            return
    text = (
        "a {} long frame in pieces costs {} when it has {} bytes and {} when it has {}: each piece costs what is held"
    )
    hint = ". Add to a bytearray, and look at what is new only. The frame begins with:"
    raise fault(text.format(f"{side.value}'s", costs[0], few * 64, costs[1], many * 64) + hint, long.start)


def _trickle(bench: Bench, side: Side, long: Long, times: int) -> int | None:
    """What it costs to receive a frame in so many pieces of 64 bytes; None if the session does not take them."""
    session = bench.session(side, _HUGE)
    bench.feed(session, [long.start], _HUGE)
    piece = CountedBytes((long.filler * 2)[:64])
    with Work(allocations=True) as work:
        for _ in range(times):
            bench.call("receive()", work.of, partial(session.receive, piece), data=long.start)
    return work.total if session.error is None and session.buffered else None


def _check_scan(bench: Bench, side: Side, long: Long) -> None:
    """What C code does to the bytes that are held shows in the shortest of many calls only."""
    piece = long.filler[:1]
    best = []
    for held in (1024, _LONG):
        session = bench.session(side, _HUGE)
        chunk = long.filler[:1] * min(held, 1 << 16)
        bench.feed(session, [long.start], _HUGE)
        begin, chunks = time.thread_time(), held // len(chunk)
        for fed in range(1, chunks + 1):
            bench.feed(session, [chunk], _HUGE)
            # It looks at each byte in Python, so it need not look twice.
            if fed >= _SURE and time.thread_time() - begin > _PATIENCE * fed / chunks:
                return
        best.append(shortest(partial(session.receive, piece), 16))
        if session.error is not None or not session.buffered:
            return
    need(
        best[1] <= 1e-5 + 4 * best[0],
        f"one byte more of a {side.value}'s frame costs {best[0] * 1e6:.1f} µs of CPU when 1 KiB is held, and"
        f" {best[1] * 1e6:.1f} µs when {_LONG >> 20} MiB are: what is held is searched or copied at each read. The"
        " frame begins with:",
        long.start,
    )


def _check_long(bench: Bench, side: Side, long: Long) -> None:
    """A long frame, whole, costs some lines a byte, too."""
    session = bench.session(side, _HUGE)
    data = bytearray(long.start)
    bench.feed(session, [long.start], _HUGE)
    while len(data) < 1 << 16:
        messages = bench.feed(session, [long.filler[:64]], _HUGE)
        data += long.filler[:64]
        if messages or session.error is not None:
            break
    else:
        return
    _check_cost(bench, side, f"a {side.value}'s frame of some {len(data)} bytes", bytes(data))
