"""
What servers say that are none, or mean harm: in place of their first words, and behind a login.

Lives here: the tables, by protocol. Does not: who says it, who asks meanwhile (test_hostile_servers.py).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache

import amqp_words as amqp
import kafka_words as kafka
from mongodb_words import MORE, answer, command, framed
from mysql_words import column, error, greeting, ok
from postgres_words import COPY_IN, DONE, LOGGED_IN, ROW, ready, said
from postgres_words import error as refusal

from metaproxy.codecs.amqp import wire
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

# -- Kafka


def _told(asked: bytes, body: bytes, tags: bytes = b"\0") -> bytes:
    """An answer to the request that was read, whose id is behind its API and version."""
    return kafka.answer(struct.unpack_from(">i", asked, 8)[0], body, tags)


def _broker(node: int, host: bytes = b"10.0.0.1") -> bytes:
    return kafka.int32(node) + kafka.compact(host) + kafka.int32(9092) + b"\0\0"


_ENDLESS = b"\xff\xff\xff\xff\x0f"
_NO_CLUSTER = b"\0" + kafka.int32(1)
_BROKERS = _broker(1) * 400_000
_TOPICS = b"".join(
    b"\0\0\2t" + struct.pack(">QQ", 1, number) + b"\0\1" + kafka.int32(0) + b"\0" for number in range(200_000)
)
KAFKA: Mapping[str, Words] = {
    "zeros": (b"\0" * 64,),
    "HTTP": (HTTP,),
    "nothing": (b"",),
    "a message without end": (b"\x7f\xff\xff\xff" + b"\0" * MEBI,),
    "a negative size": (b"\xff\xff\xff\xff" + b"\0" * 60,),
    "answers to nothing": (b"", lambda asked: kafka.answer(4711, b"no", b"\0") * 100_000),
    "an answer that is cut off": (b"", lambda asked: _told(asked, kafka.int32(0))),
    "2^32 brokers": (b"", lambda asked: _told(asked, kafka.int32(0) + _ENDLESS + _broker(1))),
    "a host of 4 GiB": (b"", lambda asked: _told(asked, kafka.int32(0) + b"\2" + kafka.int32(1) + _ENDLESS + b"a")),
    "brokers without end": (
        b"",
        lambda asked: _told(asked, kafka.int32(0) + kafka.varint(400_001) + _BROKERS + _NO_CLUSTER + b"\1\0"),
    ),
    "topics without end": (
        b"",
        lambda asked: _told(
            asked, kafka.int32(0) + kafka.packed([_broker(1)]) + _NO_CLUSTER + kafka.varint(200_001) + _TOPICS + b"\0"
        ),
    ),
    "tags without end": (b"", lambda asked: _told(asked, b"", _ENDLESS + b"\5\1x" * 1_000_000)),
    "a message of 1 GiB that goes on": (
        b"", lambda asked: kafka.int32(1 << 30) + asked[8:12] + b"\0" + b"\1" * 8 * MEBI,
    ),
}  # fmt: skip
KAFKA_GOOD: Words = (
    b"",
    lambda asked: _told(asked, kafka.int32(0) + kafka.packed([_broker(1)]) + _NO_CLUSTER + b"\1\0"),
)


def _token(asked: bytes, token: bytes, error: bytes = b"\0\0\xff\xff") -> bytes:
    return kafka.answer(0, error + kafka.int32(len(token)) + token)


_MECHANISMS = kafka.answer(0, b"\0\0" + kafka.array([kafka.text("SCRAM-SHA-512"), kafka.text("SCRAM-SHA-256")]))
KAFKA_LOGIN: Mapping[str, Words] = {
    **{row: words for row, words in KAFKA.items() if len(words) == 1},
    "an answer of 16 MiB": (b"", kafka.int32(16 * MEBI) + bytes(16 * MEBI)),
    "mechanisms without end": (b"", kafka.answer(0, b"\0\x21" + b"\x7f\xff\xff\xff" + kafka.text("x") * 100_000)),
    "work without end": (b"", _MECHANISMS, lambda asked: _token(asked, _challenge(asked))),
    "a login that never ends": (b"", _MECHANISMS * 100_000),
    "a login that is done without a proof": (b"", _MECHANISMS, lambda asked: _token(asked, b""), lambda asked: b""),
    "a token that is longer than its answer": (b"", _MECHANISMS, kafka.answer(0, b"\0\0\xff\xff\x7f\xff\xff\xff")),
    "a refusal of 1 MiB": (b"", _MECHANISMS, kafka.answer(0, b"\0\x3a\x7f\xff" + b"x" * MEBI)),
}

# -- AMQP

_BROKEN = amqp.method("connection.start", 0, b"\0\x09\x7f\xff\xff\xff" + b"x" * 100)
AMQP: Mapping[str, Words] = {
    "zeros": (b"\0" * 64,),
    "HTTP": (HTTP,),
    "nothing": (b"",),
    "another version": (b"AMQP\0\1\0\0",),
    "a frame of 4 GiB": (b"\1\0\0\xff\xff\xff\xff" + b"x" * MEBI,),
    "a frame that does not end": (b"", amqp.START[:-1] + b"\0"),
    "a body before anything": (b"", wire.body_frames(1, b"x" * 1000, 4096)),
    "a method of no number": (b"", b"\1\0\0\0\0\0\1x\xce"),
    "heartbeats without end": (b"", amqp.BEAT * 100_000),
    "the client's own words": (b"", amqp.start_ok()),
    "a close that is cut off": (b"", amqp.method("connection.close", 0, b"\1\x40")),
}
AMQP_LOGIN: Mapping[str, Words] = {
    **AMQP,
    "a table that is longer than its frame": (b"", _BROKEN),
    "no mechanism that is known": (b"", amqp.START.replace(b"PLAIN", b"MAGIC")),
    "challenges without end": (b"", amqp.START, amqp.method("connection.secure", 0, amqp.long(b"x")) * 50_000),
    "limits that are too small": (b"", amqp.START, amqp.tune(frame_max=1)),
    "deliveries within the login": (b"", amqp.START, amqp.delivered() * 1000),
    "a refusal that is cut off": (b"", amqp.START, amqp.method("connection.close", 0, b"\1\x93\xff")),
    "nothing behind the limits": (b"", amqp.START, amqp.tune(), b""),
}
_OPEN: Words = (b"", amqp.START, amqp.tune(heartbeat=0), amqp.OPEN_OK)
_DELIVER = amqp.method("basic.deliver", 1, amqp.short("c") + bytes(9) + amqp.short("") + amqp.short("q"))
AMQP_ANSWERS: Mapping[str, Words] = {
    "nothing": (*_OPEN, b""),
    "HTTP": (*_OPEN, HTTP),
    "answers to nothing": (*_OPEN, amqp.GET_EMPTY * 100_000),
    "an answer to another question": (*_OPEN, amqp.declare_ok()),
    "deliveries without end": (*_OPEN, amqp.delivered() * 100_000),
    "a delivery of 2^63 bytes": (
        *_OPEN, _DELIVER + wire.content_frame(1, 60, 1 << 63, b"\0\0") + wire.body_frames(1, bytes(8 * MEBI), 131072),
    ),
    "a body that is longer than it should be": (
        *_OPEN, _DELIVER + wire.content_frame(1, 60, 5, b"\0\0") + wire.body_frames(1, bytes(600), 1000),
    ),
    "a frame over what was agreed on": (*_OPEN, wire.body_frames(1, bytes(200_000), 1 << 20)),
    "contents that never come": (
        *_OPEN, b"".join(wire.method_frame(n, 60 << 16 | 60, _DELIVER[11:-1]) for n in range(1, 65536)),
    ),
    "channels closed without end": (*_OPEN, b"".join(amqp.channel_close(channel=n) for n in range(1, 65536)) * 2),
    "the same channel closed without end": (*_OPEN, amqp.channel_close() * 50_000),
    "the connection closed without end": (*_OPEN, amqp.connection_close() * 50_000),
    "a close that is cut off": (*_OPEN, amqp.method("channel.close", 1, b"\1")),
    "held back without end": (*_OPEN, amqp.method("connection.blocked", 0, amqp.short("x" * 200)) * 50_000),
    "properties that are longer than their frame": (
        *_OPEN, _DELIVER + wire.content_frame(1, 60, 5, b"\x20\0\x7f\xff\xff\xff") + wire.body_frames(1, b"hello", 99),
    ),
    "bodies of nothing": (*_OPEN, _DELIVER + wire.content_frame(1, 60, 5, b"\0\0") + b"\3\0\1\0\0\0\0\xce" * 200_000),
}  # fmt: skip
AMQP_GOOD: Words = (*_OPEN, amqp.channel_open_ok())
