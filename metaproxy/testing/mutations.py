"""
`mutate`: what was asked for is in the bytes, and nothing else has changed.

Lives here: `check_mutations`. Does not: which frames have a place for metadata; a codec leaves the others as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from metaproxy.message import Correlation, FrameError, Message, Mutation, Side
from metaproxy.testing.answers import same_meaning, sent
from metaproxy.testing.bench import FORWARDED, OTHER, Bench
from metaproxy.testing.report import fault, need

_KEY = "x-metaproxy-check"
_MIXED = "X-Metaproxy-Mixed"
_ABSENT = "x-metaproxy-absent"
_CHECKSUM = 4
"""Bytes behind each other that all differ may be a checksum."""


def check_mutations(bench: Bench) -> None:
    codec = bench.codec
    if codec.mutable:
        return
    mutated = 0
    for side in Side:
        for what, message in bench.messages(side):
            if message.kind not in FORWARDED or message.answer is not None:
                continue
            try:
                frame = _mutate(bench, what, message, Mutation({_KEY: "1"}, (_ABSENT,)))
            except FrameError:
                continue
            same = _mutate(bench, what, message, Mutation())
            _check_meaning(bench, f"{what}, with an empty mutation", bench.one(side, same, what), message, same, ())
            if frame == message.frame:  # a kind of frame that has no place for metadata
                continue
            mutated += side is Side.CLIENT
            _check_mutated(bench, side, f"{what}, mutated", message, frame)
            _check_removed(bench, side, what, message)
    need(bool(mutated), "mutable is '', but no frame of client=[...] could be mutated; say in `mutable` why not")


def _mutate(bench: Bench, what: str, message: Message, mutation: Mutation) -> bytes:
    before = message.frame, message.id, message.kind, dict(message.known())
    frame = bench.call(
        f"{what}: mutate({mutation})", bench.codec.mutate, message, mutation, data=message.frame, refusal=True
    )
    need(isinstance(frame, bytes), f"{what}: mutate({mutation}) gave {frame!r:.200}; it must give bytes")
    after = message.frame, message.id, message.kind, dict(message.known())
    need(before == after, f"{what}: mutate() changed the message itself; it must give other bytes", message.frame)
    return frame


def _check_mutated(bench: Bench, side: Side, what: str, message: Message, frame: bytes) -> None:
    again = bench.one(side, frame, what)
    need(again.id == message.id, f"{what}: id {again.id}; it was {message.id}", frame)
    need(again.kind is message.kind, f"{what}: {again.kind.name}; it was {message.kind.name}", frame)
    _need_value(what, again, _KEY, "1")
    _check_meaning(bench, what, again, message, frame, (_KEY,))
    _check_bytes(what, message.frame, frame)
    id = 1 if bench.codec.correlation is Correlation.ID else again.id
    data = sent(bench, OTHER[side], again, id, what)
    what_sent = f"{what}, then sent under id {id}"
    passed = bench.one(side, data, what_sent, True)
    same_meaning(bench, what_sent, again, passed, data)
    _check_again(bench, side, what, again)
    _check_spelling(bench, side, what, message)
    removed = bench.one(side, _mutate(bench, what, again, Mutation({}, (_KEY,))), f"{what} back")
    need(
        removed.get(_KEY) is None,
        f"{what} back: {_KEY} was removed again; its bytes still decode with it",
        removed.frame,
    )
    _check_meaning(bench, f"{what} back", removed, message, removed.frame, (_KEY,))


def _need_value(what: str, message: Message, key: str, value: str) -> None:
    need(
        message.get(key) == value,
        f"{what}: {key} was set to {value!r}; its bytes decode with {message.get(key)!r}",
        message.frame,
    )


def _check_again(bench: Bench, side: Side, what: str, again: Message) -> None:
    """A second value replaces the first; what is both removed and set is set; a long value fits."""
    for change, value in (
        (Mutation({_KEY: "2"}), "2"),
        (Mutation({_KEY: "3"}, (_KEY,)), "3"),
        (Mutation({_KEY: "v" * 300}), "v" * 300),
    ):
        other = bench.one(side, _mutate(bench, what, again, change), f"{what} by {change}"[:200])
        _need_value(f"{what}, then by {change}"[:200], other, _KEY, value)
        _check_meaning(bench, f"{what}, then by {change}"[:200], other, again, other.frame, (_KEY,))
        need(
            len(value) > 1 or len(other.frame) == len(again.frame),
            f"{what}, then by {change!s:.100}: {len(other.frame)} bytes; with a value as long it had"
            f" {len(again.frame)}",
            other.frame,
        )
        gone = bench.one(side, _mutate(bench, what, other, Mutation({}, (_KEY,))), f"{what} by {change}"[:200])
        need(
            gone.get(_KEY) is None,
            f"{what}, then by {change!s:.100}, then removed: its bytes decode with {_KEY} {gone.get(_KEY)!r}: is it"
            " there twice? `set` replaces",
            gone.frame,
        )
    both = bench.one(side, _mutate(bench, what, again, Mutation({_ABSENT: "a", "x-b": "b"}, (_KEY,))), what)
    for key, value in ((_ABSENT, "a"), ("x-b", "b")):
        _need_value(f"{what}, with two keys set and one removed", both, key, value)
    none = bench.one(side, _mutate(bench, what, both, Mutation({}, (_ABSENT, "x-b"))), f"{what}, two keys removed")
    for key in (_ABSENT, "x-b"):
        need(none.get(key) is None, f"{what}: of two keys that were removed {key} is still there", none.frame)
    need(
        both.get(_KEY) is None,
        f"{what}: {_KEY} was removed in the mutation that sets two others, and is there",
        both.frame,
    )


def _check_spelling(bench: Bench, side: Side, what: str, message: Message) -> None:
    """Keys are as spelled; another spelling is another key to `mutate`."""
    try:
        frame = _mutate(bench, what, message, Mutation({_MIXED: "Value"}))
    except FrameError:
        return
    mixed = bench.one(side, frame, f"{what}: {_MIXED}")
    _need_value(what, mixed, _MIXED.lower(), "Value")
    if _MIXED.encode() in frame or any(key != key.lower() for key in message.known()):
        _need_value(what, mixed, _MIXED, "Value")
    gone = bench.one(side, _mutate(bench, what, mixed, Mutation({}, (_MIXED,))), f"{what}: without {_MIXED}")
    need(gone.get(_MIXED.lower()) is None, f"{what}: {_MIXED} was removed again, and is still there", gone.frame)


def _check_removed(bench: Bench, side: Side, what: str, message: Message) -> None:
    """A key that the frame carries can go, and goes alone."""
    for key in message.known().keys() - bench.own:
        try:
            frame = _mutate(bench, what, message, Mutation({}, (key,)))
        except FrameError:
            continue
        if frame == message.frame:  # none that can be removed, such as the name of a method
            continue
        left = bench.one(side, frame, f"{what} without {key}")
        need(
            left.get(key) is None or left.get(key) != message.get(key),
            f"{what}: {key} was removed, other bytes came out, and they still decode with it",
            frame,
        )
        # The same value may be known under two keys, and its parts under keys such as cookie.NAME.
        twins = {
            other
            for other, value in message.known().items()
            if not left.get(other) and (value == message.get(key) or other.startswith(f"{key}."))
        }
        _check_meaning(bench, f"{what} without {key}", left, message, frame, {key, *twins})


def _check_meaning(
    bench: Bench, what: str, after: Message, before: Message, data: bytes, changed: Iterable[str]
) -> None:
    """Id, kind and all other metadata are as before."""
    need(
        (after.id, after.kind) == (before.id, before.kind),
        f"{what}: {after.kind.name} {after.id}; it was {before.kind.name} {before.id}",
        data,
    )
    skip = {key.lower() for key in changed} | bench.own
    old = {key: value for key, value in before.known().items() if key.lower() not in skip}
    new = {key: value for key, value in after.known().items() if key.lower() not in skip}
    for key in old.keys() | new.keys():
        need(
            old.get(key) == new.get(key),
            f"{what}: {key} was {old.get(key)!r} and is {new.get(key)!r}, which the mutation did not ask for",
            data,
        )


def _check_bytes(what: str, before: bytes, after: bytes) -> None:
    """
    What was put in stands in one place; other bytes differ only where a length, a count or a checksum does.

    A length grew by what was put in, a count by a few: any other difference is a change of somebody's data.
    """
    added = len(after) - len(before)
    if added < 0:
        raise fault(
            f"{what}: it has {len(after)} bytes, and had {len(before)}: a key was set, and bytes are gone", after
        )
    for place in _differences(before, after, added):
        if not _is_number(before, after, place, added) and not _only_digits_differ(before, after):
            raise fault(
                f"{what}: byte {place[0]} of the frame was {before[place[0]]:02x} and is {after[place[1]]:02x}, which"
                " is no length, count or checksum: other bytes of the frame stay as they are. Before:"
                f" {before[:200].hex(' ')}. After:",
                after,
            )


def _only_digits_differ(before: bytes, after: bytes) -> bool:
    """Whether a decimal length has grown by a digit: then all between it and what was put in has moved."""
    old, new = re.findall(rb"[0-9]+|[^0-9]", before), re.findall(rb"[0-9]+|[^0-9]", after)
    grown = False
    for kind, start, stop, other, _ in SequenceMatcher(None, old, new, False).get_opcodes():
        numbers = (*old[start:stop], *new[other : other + stop - start])
        if kind == "replace" and all(token.isdigit() for token in numbers):
            grown = grown or len(new[other]) > len(old[start])
        elif kind in ("replace", "delete"):
            return False
    return grown


def _differences(before: bytes, after: bytes, added: int) -> list[tuple[int, int]]:
    """Places that differ once the added bytes are left out where that explains most: (before, after) each."""
    size = len(before)
    behind = [0] * (size + 1)
    for i in range(size - 1, -1, -1):
        behind[i] = behind[i + 1] + (before[i] != after[i + added])
    best, cut, ahead = behind[0], 0, 0
    for i in range(size):
        ahead += before[i] != after[i]
        if ahead + behind[i + 1] < best:
            best, cut = ahead + behind[i + 1], i + 1
    head = [(i, i) for i in range(cut) if before[i] != after[i]]
    return head + [(i, i + added) for i in range(cut, size) if before[i] != after[i + added]]


def _is_number(before: bytes, after: bytes, place: tuple[int, int], added: int) -> bool:
    """Whether the byte is part of a number that grew as lengths and counts do, or of a checksum."""
    old_at, new_at = place
    grown = {added, 1, 2, *(added // unit for unit in (2, 4, 8)), *(-(-added // unit) for unit in (2, 4, 8))}
    for width in (1, 2, 3, 4, 8):
        for shift in range(width):
            start, other = old_at - shift, new_at - shift
            if start < 0 or other < 0 or start + width > len(before) or other + width > len(after):
                continue
            old, new = before[start : start + width], after[other : other + width]
            for order in ("big", "little"):
                if int.from_bytes(new, order) - int.from_bytes(old, order) in grown:
                    return True
            if width <= 4 and _varint(new) - _varint(old) in grown:
                return True
            if old.isdigit() and new.isdigit() and int(new) - int(old) in grown:
                return True
            if width == _CHECKSUM and all(a != b for a, b in zip(old, new, strict=True)):
                return True
    return _near_digits(before, old_at) and _near_digits(after, new_at)


def _varint(data: bytes) -> int:
    return sum((byte & 0x7F) << (7 * i) for i, byte in enumerate(data))


def _near_digits(data: bytes, at: int) -> bool:
    """A decimal length may have grown by a digit."""
    return any(0 <= i < len(data) and 0x30 <= data[i] <= 0x39 for i in (at - 1, at))
