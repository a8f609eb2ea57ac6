"""
What a connection speaks, known from its first bytes.

Each pair of transport and protocol is asked how long the bytes could be its own. One is found when it has the bytes
that make it known, and none that goes before it is left; there is nothing to find when none is left, which is at the
first byte that can't be right.

Lives here: `detect`. Does not: what each looks like (heads, header, ttheader).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from metaproxy.codecs.thrift.encodings import ENCODINGS
from metaproxy.codecs.thrift.frames import AUTO, CARRIERS, FRAMED, FRAMED_BINARY, PROFILES, UNFRAMED, Profile
from metaproxy.codecs.thrift.heads import (
    MAX_NAME,
    Data,
    WrongByte,
    check_number,
    check_size,
    check_type,
)
from metaproxy.message import FrameError, Message

SHOWN = 24
"""Bytes that an error shows at most."""

_NEVER = 1 << 62
_LETTERS = 0x20
"""What begins with less may well be the length of a frame."""


class _Candidate(NamedTuple):
    """check(data, end, most): raises WrongByte; needs(data): bytes that make it known."""

    profile: Profile
    check: Callable[[Data, int, int], object]
    needs: Callable[[Data], int]


def detect(data: bytes, transport: str, protocol: str, most: int = (1 << 31) - 1) -> Profile | None:
    """
    The pair that the first bytes of a connection show; None: more are needed. transport, protocol: AUTO, or what it
    must be; most: bytes of a frame.

    Raises FrameError when it is not Thrift, or not as asked for.
    """
    if transport != AUTO and protocol != AUTO:
        return PROFILES[transport, protocol]
    end, before, found, last = len(data), 0, None, 0
    at_once = _NEVER
    for candidate in _PLAIN if transport == UNFRAMED else _ANY:
        wrong = _wrong(candidate, data, end, most)
        last = max(last, wrong)
        needed = max(candidate.needs(data), before)
        if wrong >= needed and needed < at_once:
            found, at_once = candidate.profile, needed
        before = max(before, wrong + 1 if wrong < _NEVER else _NEVER)
    if at_once <= end and found is not None:
        if protocol not in (AUTO, found[1]) or transport not in (AUTO, found[0]):
            text = f"{' '.join(found)} Thrift; this listener takes transport {transport}, protocol {protocol}"
            raise FrameError(text)
        return PROFILES[found]
    if last < end:
        raise _refusal(data[: last + 1], most)
    return None


def _refusal(data: Data, most: int) -> FrameError:
    """What is said of the bytes up to the first one that nothing begins with."""
    if data[0] < _LETTERS:
        try:
            check_size(data, 0, len(data), 5, most)
        except WrongByte as error:
            return error
    return FrameError(f"not Thrift: the first bytes are {data[-SHOWN:].hex(' ')}")


def spoken(message: Message) -> Profile:
    """The pair that a message came in; one that our sessions did not make shows it like the begin of a connection."""
    profile = message.profile
    if isinstance(profile, tuple) and profile in PROFILES:
        return PROFILES[profile]
    return detect(message.frame, AUTO, AUTO) or FRAMED_BINARY


def _wrong(candidate: _Candidate, data: Data, end: int, most: int) -> int:
    """The offset of the first byte that a candidate can't have."""
    try:
        candidate.check(data, end, most)
    except WrongByte as error:
        return error.at
    return _NEVER


def _unframed(name: str) -> Callable[[Data, int, int], object]:
    encoding = ENCODINGS[name]

    def check(data: Data, end: int, most: int) -> None:
        if end and data[0] < 0x5B:
            raise WrongByte(0, "no mark")  # old binary is another candidate
        encoding.check(data, 0, min(end, most))  # as `frames.check`

    return check


def _framed(name: str) -> Callable[[Data, int, int], object]:
    encoding = ENCODINGS[name]

    def check(data: Data, end: int, most: int) -> None:
        size = check_size(data, 0, end, 5, most)
        if size is not None:
            encoding.check(data, 4, min(end, 4 + size))

    return check


def _carried(transport: str, name: str) -> Callable[[Data, int, int], object]:
    carrier, number = CARRIERS[transport], ENCODINGS[name].header_id

    def check(data: Data, end: int, most: int) -> None:
        carrier.check(data, 0, end, most, number)

    return check


def _old(printable: bool) -> Callable[[Data, int, int], object]:
    """Unframed old binary. It has no mark; by itself it is known by a name of printable ASCII."""

    def check(data: Data, end: int, most: int) -> None:
        length = check_number(data, 0, end, 0 if not printable else 1, MAX_NAME, "a name of {} bytes")
        if length is None:
            return
        stop = 4 + length
        if printable:
            for place in range(4, min(end, stop)):
                if not 0x20 <= data[place] < 0x7F or (place == 4 and data[place] == 0x5B):  # [ is JSON's
                    raise WrongByte(place, "no printable name")
        if stop < end:
            check_type(stop, data[stop])

    return check


def _name_and_type(data: Data) -> int:
    return 5 + int.from_bytes(data[:4], "big") if len(data) >= 4 else _NEVER


def _candidates(printable: bool) -> tuple[_Candidate, ...]:
    found = [_Candidate((UNFRAMED, name), _unframed(name), lambda data: 2) for name in ENCODINGS]
    for transport, carrier in CARRIERS.items():
        for name in carrier.PROTOCOLS.values():
            found.append(_Candidate((transport, name), _carried(transport, name), lambda data: 15))
    found += [_Candidate((FRAMED, name), _framed(name), lambda data: 6) for name in ("compact", "json", "binary")]
    found.append(_Candidate((UNFRAMED, "binary"), _old(printable), _name_and_type))
    return tuple(found)


_ANY, _PLAIN = _candidates(True), _candidates(False)
