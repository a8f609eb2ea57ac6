"""
What the first bytes of a message or frame may be, however few of them are there.

Lives here: `WrongByte`, a check of the head of each encoding, and of a length in front. All of them look at the bytes
in their order and say the same of a wrong one whatever comes behind it: so a peer that speaks something else is found
out at its first byte that can't be right, and its error does not depend on how the stream was cut.
Does not: the heads of whole messages (encodings), or frames around them (frames, header, ttheader).
"""

from __future__ import annotations

import re

from metaproxy.message import FrameError

MAX_NAME = 8192
"""Bytes of a message's name. The protocols set no bound; names are what we keep, log and compare."""

CALL, REPLY, EXCEPTION, ONEWAY = 1, 2, 3, 4

Data = bytes | bytearray


class WrongByte(FrameError):
    """at: the offset of the first byte that can't be right."""

    def __init__(self, at: int, text: str) -> None:
        super().__init__(text)
        self.at = at


def check_number(data: Data, at: int, end: int, least: int, most: int, what: str) -> int | None:
    """
    Four bytes that must be a number of `least` to `most`; None while they are not all there. what: with {} for the
    number, which is the least that it can be where it is too great already.
    """
    value = 0
    for place in range(4):
        if at + place >= end:
            return None
        value = value << 8 | data[at + place]
        left = 8 * (3 - place)
        if value > most >> left:
            raise WrongByte(at + place, what.format(value if not left else f"at least {value << left}"))
    if value < least:
        raise WrongByte(at + 3, what.format(value))
    return value


def check_size(data: Data, at: int, end: int, least: int, most: int) -> int | None:
    """The length in front of a frame, if it is there; least and most count its own four bytes too."""
    value = 0
    for place in range(4):
        if at + place >= end:
            return None
        value = value << 8 | data[at + place]
        left = 8 * (3 - place)
        if value > (most - 4) >> left:
            size = f"at least {(value << left) + 4}" if left else str(value + 4)
            raise WrongByte(at + place, f"frame of {size} bytes; allowed are {least} to {most}")
    if value < least - 4:
        raise WrongByte(at + 3, f"frame of {value + 4} bytes; allowed are {least} to {most}")
    return value


def check_type(at: int, type: int) -> None:
    """The type of a message."""
    if not 1 <= type <= 4:
        raise WrongByte(at, f"message of type {type}; there are 1 call, 2 reply, 3 exception and 4 oneway")


def check_binary(data: Data, at: int, end: int) -> None:
    """Strict or old, as the first byte shows."""
    if at >= end:
        return
    if data[at] < 0x80:
        length = check_number(data, at, end, 0, MAX_NAME, _NAME)
        if length is not None and at + 4 + length < end:
            check_type(at + 4 + length, data[at + 4 + length])
        return
    for place in (at, at + 1):
        if place < end and data[place] != (0x80, 0x01)[place - at]:
            seen = data[at : place + 1].hex(" ")
            raise WrongByte(place, f"a binary message begins with 80 01, not with {seen}")
    if at + 3 < end:
        check_type(at + 3, data[at + 3])
    check_number(data, at + 4, end, 0, MAX_NAME, _NAME)


_NAME = f"method name of {{}} bytes; allowed are 0 to {MAX_NAME}"


def check_compact(data: Data, at: int, end: int) -> None:
    if at < end and data[at] != 0x82:
        raise WrongByte(at, f"a compact message begins with 82 and version 1, not with {data[at]:02x}")
    if at + 1 >= end:
        return
    if data[at + 1] & 0x1F != 1:
        seen = data[at : at + 2].hex(" ")
        raise WrongByte(at + 1, f"a compact message begins with 82 and version 1, not with {seen}")
    check_type(at + 1, data[at + 1] >> 5)
    after = _check_varint(data, at + 2, end, (1 << 70) - 1)
    if after is not None:
        _check_varint(data, after, end, MAX_NAME)


def _check_varint(data: Data, at: int, end: int, most: int) -> int | None:
    """Where a varint of at most 10 bytes ends; None while it does not. most: for the length of a name."""
    value = 0
    for place in range(10):
        if at + place >= end:
            return None
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if value > most:
            raise WrongByte(at + place, f"method name of at least {value} bytes; allowed are 0 to {most}")
        if byte < 0x80:
            return at + place + 1
    raise WrongByte(at + 9, "varint of more than 10 bytes")


_SPACE = rb"[ \t\r\n]*+"
_JSON_LOOK = 512
"""Bytes of a JSON message that are looked at before it is whole."""


def _beginning() -> re.Pattern[bytes]:
    """What a JSON message may begin with: matches as much as is right of it. Group 1: its head is whole."""
    name, number = rb'"(?:[^"\\]++|\\.)*+', rb"[0-9]{1,10}"
    tokens = (rb"\[", rb"1", rb",", name, rb'"', rb",", rb"[1-4]", rb",", rb"-?", number, rb",", rb"(\{)")
    pattern = rb""
    for token in reversed(tokens):
        gap = b"" if token in (rb'"', number) else _SPACE
        pattern = gap + (rb"(?:" + token + pattern + rb")?")
    return re.compile(pattern[len(_SPACE) :], re.DOTALL)


_JSON = _beginning()


def check_json(data: Data, at: int, end: int) -> None:
    stop = min(end, at + _JSON_LOOK)
    found = _JSON.match(data, at, stop)
    wrong = found.end() if found is not None else at
    if wrong < stop and not (found is not None and found[1]) and not (data[wrong] == 0x5C and wrong + 1 == stop):
        shown = bytes(data[max(at, wrong - 23) : wrong + 1]).decode("ascii", "replace")
        raise WrongByte(wrong, f'a JSON message begins with [1,"name",type,seqid,{{ and not with {shown!r}')
