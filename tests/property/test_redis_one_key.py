"""
What C reads of Redis commands with one key is what Python reads of the same bytes: metadata, where they go, whether
they stay whole.

Where nothing is compiled there is nothing to compare; `make test-compiled` runs these.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.cutters import COMPILED
from metaproxy.codecs.framing import Layout
from metaproxy.codecs.redis import Redis, resp
from metaproxy.codecs.redis.commands import WITH_ONE_KEY
from metaproxy.codecs.redis.layouts import SLOTS, ClusterLayout
from metaproxy.codecs.redis.metadata import MULTI, reader
from metaproxy.message import FrameError, Hold, Kind, Message

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
LAYOUT = ClusterLayout({}, {}, 1, False, [f"{slot}" if slot % 7 else "" for slot in range(SLOTS)])

OTHERS = (b"gEt", b"GET\0", b"MGET", b"del", b"PUBLISH", b"PING", b"EVAL", b"XREAD", b"SORT", b"", b"NEW.ONE")
NAME = st.sampled_from([*WITH_ONE_KEY]) | st.sampled_from(OTHERS)
KEY = st.binary(max_size=40) | st.lists(st.sampled_from([b"{", b"}", b"a", b"\xff", "é".encode()]), max_size=9).map(
    b"".join
)
WORDS = st.tuples(NAME, st.lists(KEY, max_size=4)).map(lambda pair: [pair[0], *pair[1]])
FRONT = st.sampled_from([b"", b"", MULTI])
PROFILE: st.SearchStrategy[Hashable] = st.sampled_from([None, (2, 0), (3, 7), (2, 15, "pinned")])
HARM = st.none() | st.tuples(st.integers(0, 200), st.binary(max_size=3) | st.sampled_from([b"*", b"$", b"\r\n", b"9"]))


class Owner:
    """Of keys; bound: where a client has a connection of its own."""

    def __init__(self, bound: Hashable) -> None:
        self.bound = bound

    def __call__(self, key: str) -> Hashable:
        return len(key) % 2


def harmed(frame: bytes, harm: tuple[int, bytes] | None) -> bytes:
    if harm is None:
        return frame
    at = harm[0] % len(frame)
    return frame[:at] + harm[1] + frame[at + len(harm[1]) :]


def outcome(function: Any, *arguments: object) -> object:
    try:
        return function(*arguments)
    except FrameError as error:
        return str(error)
    except Exception as error:  # of a frame that no session gives: as wrong in both
        return type(error)


@examples(300)
@given(words=WORDS, front=FRONT, profile=PROFILE, harm=HARM, kind=st.sampled_from([Kind.REQUEST, Kind.STREAM_OPEN]))
def test_the_same_metadata_is_read(
    words: Sequence[bytes], front: bytes, profile: Hashable, harm: tuple[int, bytes] | None, kind: Kind
) -> None:
    compiled: Any = reader("ann", len(front))
    frame = front + harmed(resp.encode(words), harm)

    def seen(read: Any) -> object:
        message = Message(kind, frame, more=read, profile=profile)
        return outcome(lambda: [message.get("command"), message.get("keys"), message.get("tag"), message.metadata])

    assert seen(compiled) == seen(compiled.other)


@examples(300)
@given(words=WORDS, front=FRONT, harm=HARM, looked=st.booleans())
def test_a_command_goes_to_the_same_shard(
    words: Sequence[bytes], front: bytes, harm: tuple[int, bytes] | None, looked: bool
) -> None:
    frame = front + harmed(resp.encode(words), harm)

    def found(shard_of: Any) -> object:
        message = Message(Kind.REQUEST, frame, more=reader("ann", len(front)))
        if looked and harm is None:
            message.get("command")
        return outcome(shard_of, LAYOUT, message, "tag")

    assert found(ClusterLayout.shard_of) == found(Layout.shard_of)


@examples(300)
@given(
    words=WORDS,
    opening=st.booleans(),
    bound=st.sampled_from([None, None, 0, 1]),
    looked=st.booleans(),
    kind=st.sampled_from([Kind.REQUEST, Kind.REQUEST, Kind.ONEWAY, Kind.STREAM_OPEN]),
)
def test_the_same_commands_stay_whole(
    words: Sequence[bytes], opening: bool, bound: Hashable, looked: bool, kind: Kind
) -> None:
    front = MULTI if opening else b""
    frame = front + resp.encode(words)

    def parts(split: Any) -> object:
        more, hold = reader("ann", len(front)), Hold.OPEN if opening else Hold.NONE
        message = Message(kind, frame, more=more, hold=hold)
        if looked:
            message.get("command")
        found = outcome(split, Redis(), message, Owner(bound))
        return [(part.message.frame, part.place) for part in found] if isinstance(found, list) else found

    split: Any = Redis.split
    assert parts(split) == parts(split.__wrapped__)
