"""
What routes and balancers may know of a command: its name, keys, hash tag, user and database.

Lives here: `reader`, which makes the `Message.more` of a session's commands. Does not: where a command has its keys
(`commands`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

from metaproxy.codecs.cutters import compiled_function
from metaproxy.codecs.redis import commands, resp
from metaproxy.message import Kind, Message

KEYS = {
    "command": "the command, in upper case",
    "key": "its first key",
    "keys": "all its keys, with blanks between",
    "tag": "of the first key the part in {}, or else all of it; of PUBLISH and SUBSCRIBE the channel",
    "database": "the number that was selected",
    "user": "who is logged in, `default` without a name",
    "operation": "the command",
}

MULTI = resp.encode([b"MULTI"])
"""Goes in front of the first command of a transaction: where that is sent to, its key tells."""

Profile = tuple[int, int] | tuple[int, int, str] | None
"""
RESP version and database of the connection that a command needs; None for (2, 0). With a third item the command only
makes sense on the connection that its client has for itself: see `server`.
"""

_HEAD = re.compile(rb"\*\d+\r\n\$(\d+)\r\n([^\r\n]{1,64})\r\n(?:\$(\d+)\r\n)?")
"""Length and name of the command, length of its first argument."""
_LONGEST = 64
"""Bytes of a command's name that are shown: what is longer is none."""
_CHANNELS = frozenset(("PUBLISH", "SUBSCRIBE"))


def database(profile: Hashable) -> int:
    """The database of a Profile."""
    return int(profile[1]) if isinstance(profile, tuple) else 0


def text(key: bytes) -> str:
    """Equal bytes are equal texts, and the other way round, UTF-8 or not."""
    return key.decode("utf-8", "surrogateescape")


def tag(key: str) -> str:
    """What of a key decides where it belongs: the part between the first { and the next }, if it is not empty."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            return key[start + 1 : end]
    return key


def reader(user: str, skip: int = 0) -> Callable[[Message], None]:
    """The `Message.more` of commands of `user`, which begin at `skip` in their frames."""

    @compiled_function("redis_reader", commands.WITH_ONE_KEY, tag, user, skip)
    def read_command(message: Message) -> None:
        frame = message.frame
        head = _HEAD.match(frame, skip)
        if head is not None and int(head[1]) == len(head[2]):
            raw, length = head[2], head[3]
        else:
            raw, length = resp.arguments(frame, 1, skip)[0][:_LONGEST], None
        name = raw.upper().decode("latin-1")
        number = str(database(message.profile))
        metadata = message.metadata = {"command": name, "operation": name, "database": number, "user": user}
        if name in commands.MANY or name in commands.PLACES:
            message.more = read_keys
        elif head is not None and length is not None and (name in _CHANNELS or name not in commands.KEYLESS):
            start = head.end()
            key = text(frame[start : start + int(length)])
            metadata["tag"] = tag(key)
            if name not in _CHANNELS:
                metadata["key"] = metadata["keys"] = key

    def read_keys(message: Message) -> None:
        metadata = message.metadata
        assert metadata is not None  # read_command came first
        arguments = resp.begun if message.kind is Kind.STREAM_OPEN else resp.arguments
        keys = [text(key) for key in commands.keys(metadata["command"], arguments(message.frame, at=skip))]
        if keys:
            metadata["key"] = keys[0]
            metadata["keys"] = " ".join(keys)
            metadata["tag"] = tag(keys[0])

    return read_command


ANYBODY = "default"
read = reader(ANYBODY)
