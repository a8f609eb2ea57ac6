"""
Changes of what a message carries besides its body: fields, and what its start line says.

Lives here: `mutate`. Keys are those of `metadata`: `path`, `host`, any field. Does not: when that happens (routes,
filters).
"""

from __future__ import annotations

import re
from typing import Final

from metaproxy.codecs.http.heads import HeadError
from metaproxy.codecs.http.metadata import KEYS, OWN_PREFIXES
from metaproxy.codecs.http.model import END
from metaproxy.codecs.http.requests import check_authority, name_of
from metaproxy.message import FrameError, Message, Mutation

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_PLAIN: Final = {
    "path": re.compile(rb"/[!\"$->@-~]*"),
    "query": re.compile(rb"[!\"$-~]*"),
    "target": re.compile(rb"/[!\"$-~]*"),
    "method": re.compile(rb"[A-Z]{1,32}"),
    "status": re.compile(rb"[2-5][0-9][0-9]"),
}
"""What stands in the start line, and what it may be."""
_FIXED = frozenset(("connection", "content-length", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
"""What ends a message, or is between two neighbours: no mutation touches it."""


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
        if name == "query":
            line = _start_line(line, name, b"")
        elif name == "host" or name in _PLAIN:
            raise FrameError(f"{key} can't be removed from a message of HTTP")
        else:
            gone.add(_field(name))
    for key, text in mutation.set.items():
        name = key.lower()
        value = text.encode("utf-8", "surrogateescape").strip(b" \t")
        if name in _PLAIN:
            line = _start_line(line, name, value)
            continue
        if name in ("host", "authority"):
            name, line = "host", _host(line, value)
        elif _VALUE.fullmatch(value) is None:
            raise FrameError(f"{key} can't be set to a value with control characters")
        field = _field(name)
        gone.add(field)
        added.append(b"%b: %b\r\n" % (field, value))
    kept = [each for each in lines if name_of(each) not in gone] if gone else lines
    return b"".join((line, *kept, *added, frame[stop:]))


def _field(name: str) -> bytes:
    """The name of a field, by its key."""
    if name.startswith("header."):
        name = name.removeprefix("header.")
    elif name in KEYS and name != "host":
        raise FrameError(f"{name} is made of other keys: it can't be changed itself")
    elif name.startswith(OWN_PREFIXES):
        raise FrameError(f"{name} is a part of another key: it can't be changed by itself")
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
    if line.startswith(b"HTTP/") is not (name == "status"):
        raise FrameError(f"{name} is not of this message: requests have method, path and query, answers a status")
    if not _PLAIN[name].fullmatch(value):
        raise FrameError(f"{name} can't be {value[:40]!r}")
    if name == "status":
        return b"%b%b%b" % (line[:9], value, line[12:])
    method, target, version = line.split(b" ", 2)
    if b"CONNECT" in (method, value) or (target == b"*" and name != "method"):
        raise FrameError(f"{name} of CONNECT, or of *, can't be changed")
    path, mark, query = target.partition(b"?")
    if name == "method":
        method = value
    elif name == "path":
        target = b"%b%b%b" % (value, mark, query)
    elif name == "query":
        target = b"%b?%b" % (path, value) if value else path
    else:
        target = value
    return b" ".join((method, target, version))
