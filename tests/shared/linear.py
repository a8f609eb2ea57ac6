"""
That work grows with what it is done for and no faster: for twice as much at most two and a half times the work.

Work is counted (lines that ran, bytes copied, searched and allocated), never timed. Lives here: how a job is measured,
and what is done with bytes that a peer sends. Does not: what they are (tests/property/test_linear_*.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import pytest
from examples import DEEP
from hypothesis import settings

from metaproxy.message import FrameError, Message
from metaproxy.testing.work import CountedBytes, Work

MOST = 2.5
SPARE = 2000
"""Work that is done once, whatever follows: an import, a table that is made."""
TRIES = 3
"""What a thread of the test runner allocates meanwhile is counted, too, and does not come each time."""
PIECE = 4096

Job = Callable[[int], Iterable[Callable[[], object]]]
"""For a size the calls that are measured, one after the other; what is done between them is not."""


def check_linear(job: Job, size: int, allocations: bool = False) -> None:
    _work(job, 1, allocations), _work(job, 2, allocations)  # what is imported or remembered once
    for _ in range(TRIES):
        one, two = _work(job, size // 2, allocations), _work(job, size, allocations)
        if two <= MOST * one + SPARE:
            return
    pytest.fail(f"{one} for {size // 2}, {two} for {size}: {two / max(one, 1):.2f} times")


def check_steady(calls: Callable[[], Iterable[Callable[[], object]]], number: int, allocations: bool = False) -> None:
    """
    The first half of so many calls costs about as much as the second: `check_linear` in one go, for calls that are the
    same whatever follows.
    """
    _first(calls, 2, allocations)  # what is imported or remembered once
    for _ in range(TRIES):
        one, two = _first(calls, number, allocations)
        if two <= MOST * one + SPARE:
            return
    pytest.fail(f"{one} for the first {number // 2} calls, {two} for {number}: {two / max(one, 1):.2f} times")


def _first(calls: Callable[[], Iterable[Callable[[], object]]], number: int, allocations: bool) -> tuple[int, int]:
    """The work of half of them, and of all."""
    half = 0
    with Work(allocations) as counted:
        for place, call in enumerate(islice(calls(), number)):
            if place == number // 2:
                half = counted.total
            counted.of(call)
    return half, counted.total


def _work(job: Job, size: int, allocations: bool) -> int:
    with Work(allocations) as counted:
        for call in job(size):
            counted.of(call)
    return counted.total


def receiving(made: Any, pieces: Iterable[bytes]) -> Iterator[Callable[[], object]]:
    """A session receives them, one by one."""
    for piece in pieces:
        yield partial(made.receive, CountedBytes(piece))


Make = Callable[[], Any]
"""Makes a session."""
MANY = 200
"""Messages that it is said."""


def _in_one_read(make: Make, frames: Sequence[bytes]) -> None:
    check_linear(lambda size: receiving(make(), [b"".join(frames[:size])]), MANY)


def _one_a_read(make: Make, frames: Sequence[bytes]) -> None:
    check_steady(lambda: receiving(make(), frames), MANY, True)


def _byte_by_byte(make: Make, frames: Sequence[bytes]) -> None:
    whole = b"".join(frames)
    check_steady(lambda: receiving(make(), (whole[at : at + 1] for at in range(4 * MANY))), 4 * MANY)


WAYS = {"in one read": _in_one_read, "one a read": _one_a_read, "byte by byte": _byte_by_byte}
"""How MANY messages come to a session. Each way costs what the messages are, however many came before."""


def check_large(make: Make, frame: Callable[[int], bytes], size: int, whole: bool, keys: Iterable[str]) -> None:
    """
    One large frame is received, whole or in pieces, and everything asked of it that a route or filter may ask. size: of
    the frame in `make properties`. In `make test` it is half of that: each line and each byte is counted, which takes
    twenty times as long as reading the frame.
    """

    def job(size: int) -> Iterator[Callable[[], object]]:
        data = frame(size)
        step = len(data) if whole else PIECE
        made = make()
        found: list[Message] = []
        for start in range(0, len(data), step):
            yield partial(_read, made, found, CountedBytes(data[start : start + step]))
        for message in found:
            yield partial(_asked, message, keys)

    check_linear(job, size if settings().max_examples >= DEEP else size // 2, True)


def _read(made: Any, found: list[Message], piece: bytes) -> None:
    found.extend(made.receive(piece))


def _asked(message: Message, keys: Iterable[str]) -> None:
    try:
        for key in keys:
            message.get(key)
        message.known()
    except FrameError:
        pass
