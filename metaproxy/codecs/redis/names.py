"""
Names that no command has: with bytes in them that only redis-server's comparison overlooks.

It compares names up to a NUL, so that `SELECT\\0x` can be SELECT to it and nothing to anybody before it. Such a command
is answered here, in its words for one that is unknown. Lives here: `unknown`. Does not: which commands there
are (`commands`), what is refused though it has a proper name (`client`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from metaproxy.codecs.redis import commands

_ODD = re.compile(rb"[^\x20-\x7e]")
_SHOWN = 128
"""Bytes that redis-server repeats of a name, and of all arguments together."""


def unknown(name: bytes, arguments: Callable[[], list[bytes]]) -> bytes:
    """
    The error for a command or subcommand whose name holds anything but printable ASCII, without its `-` and line end;
    b"" for all others. name: in upper case; arguments: with the command itself in front.
    """
    if _ODD.search(name):
        words = arguments()
        return b"ERR unknown command '%b', with args beginning with: %b" % (_visible(words[0]), _beginning(words[1:]))
    if name in commands.CONTAINERS:
        words = arguments()
        if len(words) > 1 and _ODD.search(words[1]):
            return b"ERR unknown subcommand '%b'. Try %b HELP." % (_visible(words[1]), name)
    return b""


def _visible(word: bytes) -> bytes:
    return commands.plain(word)[:_SHOWN]


def _beginning(words: list[bytes]) -> bytes:
    shown = b""
    for word in words:
        if len(shown) >= _SHOWN:
            break
        shown += b"'%b' " % commands.plain(word)[: _SHOWN - len(shown)]
    return shown
