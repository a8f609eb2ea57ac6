"""
What servers of databases say that are none, or mean harm: in place of their first words, and behind a login.

Lives here: the tables, by protocol. Does not: who says it, who asks meanwhile (test_hostile_servers.py).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache

from mongodb_words import MORE, answer, command, framed
from mysql_words import column, error, greeting, ok
from postgres_words import COPY_IN, DONE, LOGGED_IN, ROW, ready, said
from postgres_words import error as refusal

from metaproxy.codecs.mysql.packets import HEAD, packet

MEBI = 1 << 20
Step = bytes | Callable[[bytes], bytes]
Words = tuple[Step, ...]
"""
What is said at once, and each more when something was read. A function is given that, and is called again for what
comes behind it.
"""
HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
MOST_WORK = b"s=QSXCR+Q6sek8bf92,i=2000000000"
"""Iterations that would take hours."""


def _challenge(asked: bytes) -> bytes:
    """SCRAM's first message of a server, behind the client's that was read."""
    found = re.search(rb"n=[^,]*,r=([!-+\--~]+)", asked)
    return b"" if found is None else b"r=" + found[1] + b"x," + MOST_WORK


# -- PostgreSQL

_SCRAM = said("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
POSTGRES: Mapping[str, Words] = {
    "zeros": (b"\0" * 64,),
    "HTTP": (HTTP,),
    "a message without end": (b"R\x7f\xff\xff\xff" + b"x" * MEBI,),
    "a negative length": (b"R\xff\xff\xff\xff",),
    "a key of 1 MiB": (said("R", b"\0\0\0\0") + said("K", b"k" * MEBI) * 20,),
    "endless parameters": (said("R", b"\0\0\0\0") + said("S", b"a" * 1000 + b"\0b\0") * 20_000,),
    "an error without an end": (said("E", b"SFATAL" + b"x" * 1000),),
    "another login": (said("R", b"\0\0\0\x63"),),
}
POSTGRES_LOGIN: Mapping[str, Words] = {
    **POSTGRES,
    "work without end": (b"", _SCRAM, lambda asked: said("R", b"\0\0\0\x0b" + _challenge(asked))),
    "nothing": (b"",),
    "a login that never ends": ((said("R", b"\0\0\0\0") + said("N", b"SNOTICE\0Mno\0\0") * 20_000),),
    "the password as it is": (said("R", b"\0\0\0\x03"),),
}
_LOGGED_IN = LOGGED_IN + ready()
_SETTINGS = b"".join(said("S", b"%d\0%b\0" % (number, b"x" * 100)) for number in range(20_000))
POSTGRES_ANSWERS: Mapping[str, Words] = {
    "an answer of no type": (b"", _LOGGED_IN, said("!", b"x")),
    "an answer of a negative length": (b"", _LOGGED_IN, b"D\xff\xff\xff\xff"),
    "a row without end": (b"", _LOGGED_IN, b"D\x7f\xff\xff\xff" + b"x" * 8 * MEBI),
    "rows without end": (b"", _LOGGED_IN, ROW * 200_000),
    "an error without an end": (b"", _LOGGED_IN, said("E", b"SERROR" + b"x" * 1000)),
    "a copy that was not asked for": (b"", _LOGGED_IN, COPY_IN),
    "a second login": (b"", _LOGGED_IN, _SCRAM),
    "a key of 1 MiB": (b"", _LOGGED_IN, said("K", b"k" * MEBI) * 8),
    "settings without end": (
        b"",
        _LOGGED_IN,
        b"".join(said("S", b"%d\0%b\0" % (n, b"x" * 100)) for n in range(20_000)),
    ),
    "a state that is none": (b"", _LOGGED_IN, DONE + said("Z", b"?")),
    "an error and no more": (b"", _LOGGED_IN, refusal()),
}
POSTGRES_GOOD: Words = (b"", _LOGGED_IN, lambda asked: (DONE + ready()) * asked.count(b"Q\0\0"))

# -- MySQL

MYSQL: Mapping[str, Words] = {
    "zeros": (b"\0" * 64,),
    "HTTP": (HTTP,),
    "a greeting of 16 MiB": (b"\xff\xff\xff\0" + b"\x0a" * MEBI,),
    "a greeting of another protocol": (b"\x05\0\0\0\x098.0\0",),
    "a greeting that is cut off": (greeting()[:4] + b"\x0a" + b"8" * (len(greeting()) - 5),),
    "no, you may not": (error(1040, 0, "Too many connections"),),
}
_NATIVE, _SHA2 = b"\xfemysql_native_password\0", b"\xfecaching_sha2_password\0"
_NONCE = b"abcdefghijklmnopqrst\0"
MYSQL_LOGIN: Mapping[str, Words] = {
    **MYSQL,
    "nothing": (b"",),
    "a greeting of a server that can nothing": (greeting(0),),
    "other ways to log in without end": (greeting() + packet(_NATIVE + _NONCE, 2) * 20_000,),
    "a way to log in that is none": (greeting(), packet(b"\xfe" + b"x" * 60_000, 2)),
    "the password as it is": (greeting(), packet(b"\xfemysql_clear_password\0", 2)),
    "the password as it is, by another way": (greeting(), packet(_SHA2 + _NONCE, 2), packet(b"\1\4", 4)),
    "a login that has nothing more": (greeting(), packet(b"\1\4", 2)),
    "a login that is cut off": (greeting(), packet(b"\0", 2)),
    "a login of 16 MiB": (greeting(), b"\xff\xff\xff\2" + b"\xfe" * MEBI),
}
_WELCOME = (greeting(), ok(2))
_ROWS = packet(b"\1", 1) + column("c", 2) + packet(b"\xfe\0\0\2\0", 3)
MYSQL_ANSWERS: Mapping[str, Words] = {
    "an empty packet": (*_WELCOME, b"\0\0\0\1"),
    "nothing": (*_WELCOME, b""),
    "2^64 columns": (*_WELCOME, packet(b"\xfe" + b"\xff" * 8, 1)),
    "columns without end": (*_WELCOME, packet(b"\xfd\xff\xff\xff", 1) + column("c", 2) * 50_000),
    "rows without end": (*_WELCOME, _ROWS + packet(b"\1x", 4) * 200_000),
    "a row without end": (*_WELCOME, _ROWS + b"\xff\xff\xff\4" + b"x" * 8 * MEBI),
    "an answer of 16 MiB": (*_WELCOME, b"\xff\xff\xff\1\0" + b"x" * MEBI),
    "an answer that is cut off": (*_WELCOME, packet(b"\0", 1)),
    "a file that was not offered": (*_WELCOME, packet(b"\xfb/etc/passwd", 1)),
    "results without end": (*_WELCOME, ok(1, status=10) * 50_000),
}
"""Behind what a client has asked."""


def _count(asked: bytes) -> int:
    """Commands in what was read."""
    at = count = 0
    while at + HEAD <= len(asked):
        at += HEAD + int.from_bytes(asked[at : at + 3], "little")
        count += 1
    return count


MYSQL_GOOD: Words = (*_WELCOME, lambda asked: ok() * _count(asked))

# -- MongoDB


def _id(asked: bytes) -> int:
    return int(struct.unpack_from("<i", asked, 4)[0])


@lru_cache
def _zeros(size: int) -> bytes:
    return zlib.compress(bytes(size))


def _bomb(asked: bytes) -> bytes:
    """48 MB of zeros, in few bytes."""
    return framed(900, _id(asked), 2012, struct.pack("<iiB", 2013, 48_000_000, 2) + _zeros(48_000_000))


def _damaged(asked: bytes, place: int, word: bytes) -> bytes:
    said = answer(_id(asked))
    return said[:place] + word + said[place + len(word) :]


MONGODB: Mapping[str, Words] = {
    "HTTP": (HTTP,),
    "a message without end": (b"\xff\xff\xff\x7f" + b"\0" * MEBI,),
    "a negative length": (b"\xff\xff\xff\xff" + b"\0" * 60,),
    "an operation that is not known": (framed(1, 1, 4711, b"\0" * 40),),
    "a command": (command(1, {"ping": 1}) + b"\0" * 64,),
}
MONGODB_ANSWERS: Mapping[str, Words] = {
    **MONGODB,
    "nothing": (b"",),
    "an answer to nothing": (b"", lambda asked: answer(4711)),
    "a document of a negative length": (b"", lambda asked: _damaged(asked, 21, b"\xff\xff\xff\xff")),
    "a document that is longer than its message": (b"", lambda asked: _damaged(asked, 21, b"\xff\0\0\0")),
    "a section that is not known": (b"", lambda asked: _damaged(asked, 20, b"\7")),
    "48 MB of zeros, compressed": (b"", _bomb),
    "an answer compressed, which was not agreed on": (
        b"",
        lambda asked: framed(900, _id(asked), 2012, struct.pack("<iiB", 2013, 9, 3) + b"x" * 20),
    ),
    "answers without end": (b"", lambda asked: b"".join(answer(_id(asked), id=900, flags=MORE) for _ in range(20_000))),
}
MONGODB_LOGIN: Mapping[str, Words] = {
    **MONGODB,
    "nothing": (b"",),
    "work without end": (
        b"",
        lambda asked: answer(
            _id(asked),
            {
                "ok": 1.0,
                "speculativeAuthenticate": {"conversationId": 1, "done": False, "payload": _challenge(asked)},
            },
        ),
    ),
    "a login that is done without a proof": (
        b"",
        lambda asked: answer(
            _id(asked), {"ok": 1.0, "speculativeAuthenticate": {"conversationId": 1, "done": True, "payload": b""}}
        ),
    ),
    "an answer that is cut off": (b"", lambda asked: _damaged(asked, 21, b"\7\0\0\0")),
    "a refusal of 1 MiB": (b"", lambda asked: answer(_id(asked), {"ok": 0.0, "errmsg": "x" * MEBI})),
}
MONGODB_GOOD: Words = (b"", lambda asked: answer(_id(asked), {"ok": 1.0}))
