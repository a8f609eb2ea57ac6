"""
Changes of what a message carries besides its body: fields, the path, the host, the method, the status.

Lives here: `mutate`. Does not: when that happens (routes, filters).
"""

from __future__ import annotations

import re

from metaproxy.codecs.http.heads import HeadError
from metaproxy.codecs.http.model import END
from metaproxy.codecs.http.requests import check_authority, name_of
from metaproxy.message import FrameError, Message, Mutation

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_TARGET = re.compile(rb"/[!-\"$-~]*")
_FIXED = frozenset(("connection", "content-length", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
"""What ends a message, or is between two neighbours: no mutation touches it."""
PSEUDO = {
    ":path": "the path with its query",
    ":method": "the method",
    ":authority": "the same as `host`",
    ":status": "of answers: the number",
}
"""What stands in the start line, by HTTP/2's names."""


def mutate(message: Message, mutation: Mutation) -> bytes:
    """The canonical frame with fields set and removed, names in any case. Raises FrameError for what can't be set."""
    frame = message.frame
    stop = frame.find(END) + 2
    if stop < 2:
        raise FrameError("a frame of HTTP without the end of a head")
    first = frame.index(b"\r\n") + 2
    line, lines = frame[:first], frame[first:stop].splitlines(True)
    gone = set()
    added = []
    for key in mutation.remove:
        name = key.lower()
        if name in PSEUDO or name == "host":
            raise FrameError(f"{key} can't be removed from a message of HTTP")
        gone.add(_field(name))
    for key, text in mutation.set.items():
        name = key.lower()
        value = text.encode("utf-8", "surrogateescape").strip(b" \t")
        if _VALUE.fullmatch(value) is None:
            raise FrameError(f"{key} can't be set to a value with control characters")
        if name in (":authority", "host"):
            name, line = "host", _host(line, value)
        elif name in PSEUDO:
            line = _start_line(line, name, value)
            continue
        field = _field(name)
        gone.add(field)
        added.append(b"%b: %b\r\n" % (field, value))
    kept = [each for each in lines if name_of(each) not in gone] if gone else lines
    return b"".join((line, *kept, *added, frame[stop:]))


def _field(name: str) -> bytes:
    if name in _FIXED:
        raise FrameError(f"{name} belongs to the connection, not to the message: it can't be changed")
    if _NAME.fullmatch(name) is None:
        raise FrameError(f"{name!r} is no name of a field")
    return name.encode()


def _host(line: bytes, value: bytes) -> bytes:
    """The start line with another host: only CONNECT has it there."""
    if line.startswith(b"HTTP/"):
        raise FrameError("an answer has no host")
    try:
        check_authority(value)
    except HeadError as error:
        raise FrameError(str(error)) from None
    return b"CONNECT %b HTTP/1.1\r\n" % value if line.startswith(b"CONNECT ") else line


def _start_line(line: bytes, name: str, value: bytes) -> bytes:
    if line.startswith(b"HTTP/"):
        if name != ":status" or not re.fullmatch(rb"[2-5][0-9][0-9]", value):
            raise FrameError(f"{name} of an answer can't be set to {value[:40]!r}")
        return b"%b%b\r\n" % (line[:9], value + line[12:-2])
    method, target, version = line.split(b" ", 2)
    if name == ":method":
        if not re.fullmatch(rb"[A-Z]{1,32}", value) or b"CONNECT" in (method, value):
            raise FrameError(f"{value[:40]!r} is no method that can be set")
        method = value
    elif name == ":path" and method != b"CONNECT" and _TARGET.fullmatch(value):
        target = value
    else:
        raise FrameError(f"{name} of a request can't be set to {value[:40]!r}")
    return b" ".join((method, target, version))
