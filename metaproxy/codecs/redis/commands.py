"""
What is known of Redis' commands: where their keys stand, which only read, bind a connection or are not let through.

Source: COMMAND of redis-server 7.0, with which a test compares the tables, and the command pages of later versions.
Lives here: tables, and `keys`, which reads them. Does not: how a command is written (`resp`), what a session does with
it (`client`, `bound`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


Places = tuple[int, int, int]
"""First key, last key (negative: counted from the end), step; places count from 0, the command itself."""

ONE: Places = (1, 1, 1)
"""Of commands with one key, their first argument; and of those that nothing is known of, as most modules' have it."""

PLACES: dict[str, Places] = {
    name: place
    for place, names in {
        (1, -2, 1): "BLPOP BRPOP BZPOPMAX BZPOPMIN JSON.MGET",
        (1, -1, 1): "DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SSUBSCRIBE SUNION SUNIONSTORE"
        " SUNSUBSCRIBE TOUCH UNLINK WATCH",
        (1, -1, 2): "MSET MSETNX",
        (1, -1, 3): "JSON.MSET TS.MADD",
        (1, 2, 1): "BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE",
        (2, -1, 1): "BITOP",
        (2, 2, 1): "MEMORY OBJECT PFDEBUG XGROUP XINFO",
    }.items()
    for name in names.split()
}

COUNTED: dict[str, int] = {
    name: place
    for place, names in {
        1: "LMPOP MSETEX SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION",
        2: "BLMPOP BZMPOP EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO ZDIFFSTORE ZINTERSTORE ZUNIONSTORE",
    }.items()
    for name in names.split()
}
"""Commands that tell how many keys follow, and where they do. Those that STORE have one more, their first argument."""

STREAMS = frozenset(("XREAD", "XREADGROUP"))
"""Their keys are the first half of what follows STREAMS."""

STORING: dict[str, frozenset[bytes]] = {
    "SORT": frozenset((b"STORE",)),
    "GEORADIUS": frozenset((b"STORE", b"STOREDIST")),
    "GEORADIUSBYMEMBER": frozenset((b"STORE", b"STOREDIST")),
}
"""Commands with one key, and perhaps a second one behind a word."""

KEYLESS = _names(
    "ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG DISCARD ECHO EXEC FAILOVER FLUSHALL"
    " FLUSHDB FUNCTION HELLO INFO KEYS LASTSAVE LATENCY LOLWUT MODULE MONITOR MULTI PFSELFTEST PING PSUBSCRIBE PSYNC"
    " PUBLISH PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY READWRITE REPLCONF REPLICAOF RESET ROLE SAVE SCAN SCRIPT"
    " SELECT SHUTDOWN SLAVEOF SLOWLOG SUBSCRIBE SWAPDB SYNC TIME UNSUBSCRIBE UNWATCH WAIT WAITAOF"
)

ALONE: dict[str, frozenset[bytes]] = {
    "MEMORY": frozenset((b"DOCTOR", b"HELP", b"MALLOC-STATS", b"PURGE", b"STATS")),
    "OBJECT": frozenset((b"HELP",)),
    "XGROUP": frozenset((b"HELP",)),
    "XINFO": frozenset((b"HELP",)),
}
"""Subcommands without a key, of commands whose others have one."""

READS = _names(
    "BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS"
    " GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET"
    " HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL HVALS INFO KEYS LCS LINDEX LLEN LOLWUT LPOS LRANGE MGET OBJECT"
    " PEXPIRETIME PFCOUNT PING PTTL RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SORT_RO"
    " SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TIME TOUCH TTL TYPE XINFO XLEN XPENDING XRANGE XREAD XREVRANGE ZCARD"
    " ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE"
    " ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION"
)
"""May be executed twice without harm."""

WRITES = _names(
    "APPEND BITFIELD DECR DECRBY EXPIRE EXPIREAT GEOADD GETDEL GETEX GETSET HDEL HEXPIRE HGETDEL HGETEX HINCRBY"
    " HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HSET HSETEX HSETNX INCR INCRBY INCRBYFLOAT LINSERT LPOP LPUSH LPUSHX LREM"
    " LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT PFADD PSETEX PUBLISH RESTORE RPOP RPUSH RPUSHX SADD SET SETBIT SETEX"
    " SETNX SETRANGE SPOP SPUBLISH SREM XACK XADD XAUTOCLAIM XCLAIM XDEL XSETID XTRIM ZADD ZINCRBY ZPOPMAX ZPOPMIN ZREM"
    " ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE"
)
"""Those with one key, or none; with READS, PLACES and COUNTED what most traffic is made of."""

CONFIDENTIAL = _names("ACL AUTH CONFIG HELLO MIGRATE SENTINEL")
"""Hold passwords, or may tell them."""

BLOCKING = frozenset(
    b"BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN WAIT WAITAOF XREAD XREADGROUP".split()
)
"""The server may answer late, on purpose; XREAD and XREADGROUP only with BLOCK."""

SUBSCRIBE = frozenset((b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE"))
UNSUBSCRIBE = frozenset((b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"))

STATE = frozenset(b"AUTH CLIENT DISCARD EXEC HELLO MONITOR MULTI QUIT RESET SELECT UNWATCH WATCH".split())
"""About the connection itself: each needs a look of the session."""

_OTHERS_USE_IT = "others use the same server"
_NO_CLUSTER = "to its clients the proxy is one server"

REFUSED: dict[bytes, str] = {
    **dict.fromkeys(b"FAILOVER PSYNC REPLCONF REPLICAOF SLAVEOF SYNC".split(), "replication does not pass a proxy"),
    **dict.fromkeys(b"ASKING CLUSTER READONLY READWRITE".split(), _NO_CLUSTER),
    **dict.fromkeys(b"DEBUG SHUTDOWN".split(), _OTHERS_USE_IT),
    b"MIGRATE": "it would name servers that the proxy does not route to",
}
"""Commands that can't work through a proxy, or would harm who shares the server; and why."""

REFUSED_WITH: dict[bytes, dict[bytes, str]] = {
    b"CLIENT": {
        b"CACHING": "its connections are shared",
        b"KILL": "its connections are shared",
        b"PAUSE": _OTHERS_USE_IT,
        b"REPLY": "each request has one answer",
        b"TRACKING": "its connections are shared",
        b"UNBLOCK": "its connections are shared",
        b"UNPAUSE": _OTHERS_USE_IT,
    },
    b"MODULE": dict.fromkeys((b"LOAD", b"LOADEX", b"UNLOAD"), _OTHERS_USE_IT),
    b"SCRIPT": {b"DEBUG": "its connections are shared"},
}
"""The same by subcommand; CLIENT REPLY ON is answered."""

CLIENT_FORWARDED = frozenset((b"GETREDIR", b"HELP", b"INFO", b"LIST", b"TRACKINGINFO"))
"""All that goes on to the server; others would change the state of a connection that clients share."""

NO_COMMANDS = frozenset((b"HOST:", b"POST"))
"""HTTP that strayed here: redis-server closes its connection, which must not be one that clients share."""

CONTAINERS = frozenset(
    b"ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PFDEBUG PUBSUB SCRIPT SENTINEL"
    b" SLOWLOG XGROUP XINFO".split()
)
"""Commands whose first argument is a name, too."""

SPECIAL = STATE | BLOCKING | SUBSCRIBE | UNSUBSCRIBE | REFUSED.keys() | REFUSED_WITH.keys() | NO_COMMANDS
"""Commands that need a look when they are read; all others are passed on as they are."""

SPLIT: dict[str, int] = {"DEL": 1, "EXISTS": 1, "MGET": 1, "MSET": 2, "TOUCH": 1, "UNLINK": 1}
"""Commands that can be cut in pieces by key; arguments a key."""

MANY = frozenset((*COUNTED, *STREAMS, *STORING, *(name for name, place in PLACES.items() if place[0] != place[1])))
"""Commands that may have several keys."""

_ONE_KEY = (READS | WRITES) - MANY - PLACES.keys() - KEYLESS
WITH_ONE_KEY: dict[bytes, str] = {
    spelled: name for name in _ONE_KEY for spelled in (name.encode(), name.lower().encode())
}
"""Commands whose only key is their first argument, in the two spellings that clients use."""


def plain(word: bytes) -> bytes:
    """What redis-server sees of a word when it compares it with one that it knows: it ends at a NUL."""
    return word.partition(b"\0")[0]


def keys(name: str, arguments: Sequence[bytes]) -> list[bytes]:
    """The keys of a command, [] where there are none; arguments: with the command itself in front."""
    if name in KEYLESS:
        return []
    if name in COUNTED:
        return _counted(name, arguments)
    if name in STREAMS:
        return _of_streams(arguments)
    if name in ALONE and (len(arguments) < 2 or arguments[1].upper() in ALONE[name]):
        return []
    first, last, step = PLACES.get(name, ONE)
    found = list(arguments[first : (len(arguments) + last if last < 0 else last) + 1 : step])
    if name in STORING:
        words = STORING[name]
        found += [key for word, key in pairwise(arguments) if plain(word).upper() in words]
    return found


def _counted(name: str, arguments: Sequence[bytes]) -> list[bytes]:
    place = COUNTED[name]
    target = list(arguments[1:2]) if name.endswith("STORE") else []
    number = arguments[place] if len(arguments) > place else b""
    if not number.isdigit() or len(number) > 9:
        return target
    step = 2 if name == "MSETEX" else 1
    return [*target, *arguments[place + 1 : place + 1 + step * int(number) : step]]


def _of_streams(arguments: Sequence[bytes]) -> list[bytes]:
    rest = arguments[_options(arguments)[0] :]
    return list(rest[: len(rest) // 2])


_WITH_VALUES = {b"BLOCK": 1, b"COUNT": 1, b"GROUP": 2, b"NOACK": 0, b"CLAIM": 1}
"""The options of XREAD and XREADGROUP in front of STREAMS, and how many values each has: these may be any words."""


def _options(arguments: Sequence[bytes]) -> tuple[int, bool]:
    """Of XREAD and XREADGROUP: where the streams begin, behind all if nowhere; whether BLOCK stands before them."""
    place, blocking = 1, False
    while place < len(arguments):
        word = plain(arguments[place]).upper()
        if word == b"STREAMS":
            return place + 1, blocking
        blocking = blocking or word == b"BLOCK"
        place += 1 + _WITH_VALUES.get(word, 0)  # an option that is not known: better one BLOCK too many than one missed
    return len(arguments), blocking


def blocks(name: bytes, arguments: Callable[[], list[bytes]]) -> bool:
    """Whether the command, one of BLOCKING, may be answered late."""
    return name not in (b"XREAD", b"XREADGROUP") or _options(arguments())[1]


def _heads(names: set[str]) -> dict[bytes, int]:
    """
    How a command with up to eight arguments begins, in the two spellings that clients use, and how many they are: so
    that a common one is known by a single look-up.
    """
    heads: dict[bytes, int] = {}
    for name in names:
        for spelled in (name.encode(), name.lower().encode()):
            for count in range(9):
                heads[b"*%d\r\n$%d\r\n%b" % (count + 1, len(spelled), spelled)] = count
    return heads


HEADS = _heads({*READS, *WRITES, *PLACES, *COUNTED, *STORING} - {name.decode() for name in SPECIAL | CONTAINERS})


def heads(denied: frozenset[bytes]) -> dict[bytes, int]:
    """HEADS without those of the commands that are denied, in upper case."""
    if not denied:
        return HEADS
    return {head: count for head, count in HEADS.items() if head.split(b"\r\n", 2)[2].upper() not in denied}
