"""
What all serializations of a Dubbo body have in common.

    request   protocol version, service path, service version, method, parameter types, the arguments, attachments
    response  with status 20: result type, then by type a value or throwable, then by type attachments; else a message

Source: org.apache.dubbo.rpc.protocol.dubbo.DubboCodec. Lives here: `Body`, what a serialization has to give, and the
changing of attachments. Does not: any serialization (`hessian2` ...); the frame's head (`frame`); metadata keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from metaproxy.message import FrameError, Mutation

HEAD: Final = 16
"""Bytes of a frame before its body."""
MAX_ARGUMENTS: Final = 255
"""Parameters of a Java method."""
MAX_PAIRS: Final = 4096
"""Attachments of one message."""
MAX_PLAIN: Final = 1 << 16
"""Bytes of a map that is read the fast way, which does not look at MAX_PAIRS until its end."""

_SURROGATE = re.compile("[\ud800-\udfff]")

Pair = tuple[str | None, str | None, bytes, bool]
"""
An attachment: its key, None when that is no string; the text of its value, where that is a string, a number or a truth
value; both as they were written; whether they hold, or are, what the others may refer to. Plain tuples, as several are
made per message.
"""

Attachments = tuple[int, int, bytes, Sequence[Pair]]
"""
A map of attachments: from where to where in the frame, with nothing between if it has none; how the map begins (type
and all), which a changed one keeps; what is in it.
"""

Splice = tuple[int, bytes, int]
"""What replaces a part of a frame: from where, the bytes, to where."""


class Body:
    """One serialization. `frame` is always the whole frame. Every method raises FrameError for what it cannot read."""

    def head_end(self, frame: bytes) -> int:
        """Where the first five items of a request end, if that can be seen at a glance; else 0."""
        raise NotImplementedError

    def head(self, frame: bytes) -> tuple[list[str], int]:
        """The first five items of a request, and where the arguments begin."""
        raise NotImplementedError

    def first_argument(self, frame: bytes, at: int) -> str | None:
        """The argument at `at`, if it is a string."""
        raise NotImplementedError

    def result(self, frame: bytes) -> tuple[int | None, int]:
        """The result type of a response, None where the peer left it out, and where its value begins."""
        raise NotImplementedError

    def attachments(self, frame: bytes, at: int, skip: int) -> Attachments:
        """The attachments that follow the `skip` values (arguments, a result) which begin at `at`."""
        raise NotImplementedError

    def pair(self, key: str, value: str) -> bytes:
        """A key and its value."""
        raise NotImplementedError

    def map(self, opening: bytes, raws: Sequence[bytes]) -> bytes:
        """A map of the pairs given."""
        raise NotImplementedError

    def string(self, text: str) -> bytes:
        """A string as an item: the body of an error, or of an event."""
        raise NotImplementedError

    def event(self, frame: bytes) -> str:
        """The text of an event; "" for a heartbeat."""
        raise NotImplementedError

    def mutated(self, frame: bytes, at: int, skip: int, mutation: Mutation) -> Splice:
        """The attachments with the mutation applied. Those that it does not name keep their bytes."""
        start, end, opening, pairs = self.attachments(frame, at, skip)
        raws = kept(pairs, mutation)
        for key, value in mutation.set.items():
            raws.append(self.pair(key, value))
        return start, self.map(opening, raws), end


def kept(pairs: Sequence[Pair], mutation: Mutation) -> list[bytes]:
    """The pairs that a mutation leaves as they are. Raises FrameError when they may refer to one that it does not."""
    gone = {*mutation.set, *mutation.remove}
    left: list[bytes] = []
    lost = None
    for key, _, raw, nested in pairs:
        if key in gone:
            if nested:
                lost = key
        elif nested and lost is not None:
            # References and class definitions are numbered in the order of their appearance.
            raise FrameError(f"attachment {lost!r} holds an object that a later attachment may refer to")
        else:
            left.append(raw)
    return left


def well_formed(text: str) -> str:
    """A pair of surrogates becomes its character, one alone U+FFFD: it can't be written in UTF-8."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def arguments(types: str) -> int:
    """How many parameters a run of JVM descriptors names. Raises FrameError for what is none."""
    count = at = 0
    end = len(types)
    while at < end:
        while at < end and types[at] == "[":
            at += 1
        if at >= end or types[at] not in "VZBCDFIJSL":
            raise FrameError(f"{types[:64]!r} are no parameter types")
        if types[at] == "L":
            at = types.find(";", at)
            if at < 0:
                raise FrameError(f"{types[:64]!r} are no parameter types")
        at += 1
        count += 1
        if count > MAX_ARGUMENTS:
            raise FrameError(f"more than {MAX_ARGUMENTS} parameters, Java's limit")
    return count
