"""
What routes, logs and balancers may know of a command: its metadata.

Lives here: `read_command`, which reads them when somebody asks, and hash tags. Does not: the table of key positions
(`commands`).
"""

from __future__ import annotations

from typing import cast

from metaproxy.codecs.redis import commands, resp
from metaproxy.message import Message

MULTI = b"*1\r\n$5\r\nMULTI\r\n"


def read_command(message: Message) -> None:
    """Message.more of a command: its name, keys and state."""
    arguments = resp.arguments(without_multi(message.frame))
    name = arguments[0].decode("latin-1").upper() if arguments else ""
    metadata = message.metadata = {"command": name, "operation": name}
    _, database = cast("tuple[int, int]", message.profile or (2, 0))
    metadata["database"] = str(database)
    keys = [key.decode("utf-8", "surrogateescape") for key in commands.keys(name, arguments)]
    if keys:
        metadata["key"] = keys[0]
        metadata["keys"] = " ".join(keys)
        metadata["tag"] = tag(keys[0])


def without_multi(frame: bytes) -> bytes:
    """The first command of a transaction carries its MULTI in front."""
    return frame[len(MULTI) :] if frame.startswith(MULTI) and len(frame) > len(MULTI) else frame


def tag(key: str) -> str:
    """What of a key decides where it belongs: the part between the first { and the next }, if it is not empty."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            return key[start + 1 : end]
    return key
