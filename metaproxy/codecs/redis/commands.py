"""
What is known of Redis' commands: where their keys stand, which only read, which bind a connection.

Source: COMMAND of Redis 7.0. Lives here: tables, and `keys`, which reads them. Does not: how a command is written
(`resp`), what a session does with it (`client`).
"""

from __future__ import annotations

from collections.abc import Sequence

# First key, last key (negative: counted from the end), step; a command with one key, its first argument, needs no entry
# as long as it is not among those without any.
_PLACES: dict[tuple[int, int, int], str] = {
    (1, -2, 1): "BLPOP BRPOP BZPOPMAX BZPOPMIN",
    (1, -1, 1): "DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SSUBSCRIBE SUNION SUNIONSTORE "
    "SUNSUBSCRIBE TOUCH UNLINK WATCH",
    (1, -1, 2): "MSET MSETNX",
    (1, 2, 1): "BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE",
    (2, -1, 1): "BITOP",
    (2, 2, 1): "PFDEBUG XGROUP XINFO OBJECT MEMORY",
}
PLACES: dict[str, tuple[int, int, int]] = {name: place for place, names in _PLACES.items() for name in names.split()}

COUNTED: dict[str, int] = {
    "EVAL": 2, "EVAL_RO": 2, "EVALSHA": 2, "EVALSHA_RO": 2, "FCALL": 2, "FCALL_RO": 2, "LMPOP": 1, "SINTERCARD": 1,
    "ZDIFF": 1, "ZINTER": 1, "ZINTERCARD": 1, "ZMPOP": 1, "ZUNION": 1, "BLMPOP": 2, "BZMPOP": 2, "ZDIFFSTORE": 2,
    "ZINTERSTORE": 2, "ZUNIONSTORE": 2,
}  # fmt: skip
"""Commands that tell the number of their keys, and which argument tells it; the keys follow."""

KEYLESS: frozenset[str] = frozenset(
    [
        "ACL",
        "ASKING",
        "AUTH",
        "BGREWRITEAOF",
        "BGSAVE",
        "CLIENT",
        "CLUSTER",
        "COMMAND",
        "CONFIG",
        "DBSIZE",
        "DEBUG",
        "DISCARD",
        "ECHO",
        "EXEC",
        "FAILOVER",
        "FLUSHALL",
        "FLUSHDB",
        "FUNCTION",
        "HELLO",
        "INFO",
        "KEYS",
        "LASTSAVE",
        "LATENCY",
        "LOLWUT",
        "MODULE",
        "MONITOR",
        "MULTI",
        "PFSELFTEST",
        "PING",
        "PSUBSCRIBE",
        "PSYNC",
        "PUBLISH",
        "PUBSUB",
        "PUNSUBSCRIBE",
        "QUIT",
        "RANDOMKEY",
        "READONLY",
        "READWRITE",
        "REPLCONF",
        "REPLICAOF",
        "RESET",
        "ROLE",
        "SAVE",
        "SCAN",
        "SCRIPT",
        "SELECT",
        "SHUTDOWN",
        "SLAVEOF",
        "SLOWLOG",
        "SUBSCRIBE",
        "SWAPDB",
        "SYNC",
        "TIME",
        "UNSUBSCRIBE",
        "UNWATCH",
        "WAIT",
        "WAITAOF",
    ]
)

READS: frozenset[str] = frozenset(
    [
        "BITCOUNT",
        "BITFIELD_RO",
        "BITPOS",
        "DBSIZE",
        "DUMP",
        "ECHO",
        "EVALSHA_RO",
        "EVAL_RO",
        "EXISTS",
        "EXPIRETIME",
        "FCALL_RO",
        "GEODIST",
        "GEOHASH",
        "GEOPOS",
        "GEORADIUSBYMEMBER_RO",
        "GEORADIUS_RO",
        "GEOSEARCH",
        "GET",
        "GETBIT",
        "GETRANGE",
        "HEXISTS",
        "HGET",
        "HGETALL",
        "HKEYS",
        "HLEN",
        "HMGET",
        "HRANDFIELD",
        "HSCAN",
        "HSTRLEN",
        "HVALS",
        "INFO",
        "KEYS",
        "LCS",
        "LINDEX",
        "LLEN",
        "LPOS",
        "LRANGE",
        "MGET",
        "PEXPIRETIME",
        "PFCOUNT",
        "PING",
        "PTTL",
        "RANDOMKEY",
        "SCAN",
        "SCARD",
        "SDIFF",
        "SINTER",
        "SINTERCARD",
        "SISMEMBER",
        "SMEMBERS",
        "SMISMEMBER",
        "SORT_RO",
        "SRANDMEMBER",
        "SSCAN",
        "STRLEN",
        "SUBSTR",
        "SUNION",
        "TIME",
        "TTL",
        "TYPE",
        "XLEN",
        "XPENDING",
        "XRANGE",
        "XREAD",
        "XREVRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZDIFF",
        "ZINTER",
        "ZINTERCARD",
        "ZLEXCOUNT",
        "ZMSCORE",
        "ZRANDMEMBER",
        "ZRANGE",
        "ZRANGEBYLEX",
        "ZRANGEBYSCORE",
        "ZRANK",
        "ZREVRANGE",
        "ZREVRANGEBYLEX",
        "ZREVRANGEBYSCORE",
        "ZREVRANK",
        "ZSCAN",
        "ZSCORE",
        "ZUNION",
    ]
)
"""May be executed twice without harm."""

BLOCKING: frozenset[str] = frozenset(
    ["BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "WAIT", "WAITAOF"]
)
"""The server may answer late, on purpose; XREAD and XREADGROUP only with BLOCK."""

SUBSCRIBE: frozenset[str] = frozenset(("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"))
UNSUBSCRIBE: frozenset[str] = frozenset(("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"))

REFUSED: dict[str, str] = {
    "SYNC": "replication", "PSYNC": "replication", "REPLCONF": "replication", "REPLICAOF": "replication",
    "SLAVEOF": "replication", "FAILOVER": "replication", "SHUTDOWN": "it would end a server that others use",
    "DEBUG": "it would hold up a server that others use", "CLUSTER": "Redis Cluster is not supported yet",
    "ASKING": "Redis Cluster is not supported yet", "READONLY": "Redis Cluster is not supported yet",
    "READWRITE": "Redis Cluster is not supported yet", "MIGRATE": "it names servers that the proxy does not route to",
    "MODULE": "it would change a server that others use",
}  # fmt: skip
"""Commands that can't work through a proxy, or would harm who shares the server; and why."""

REFUSED_CLIENT: dict[str, str] = {
    "REPLY": "answers keep the order of requests", "TRACKING": "the connection is shared",
    "CACHING": "the connection is shared", "TRACKINGINFO": "the connection is shared",
    "KILL": "connections are the proxy's", "PAUSE": "the server is shared", "UNPAUSE": "the server is shared",
    "UNBLOCK": "connections are the proxy's",
}  # fmt: skip
"""The same for CLIENT's subcommands; CLIENT REPLY ON and CLIENT TRACKING OFF are answered."""

SPLIT: dict[str, int] = {"MGET": 1, "DEL": 1, "UNLINK": 1, "EXISTS": 1, "TOUCH": 1, "MSET": 2}
"""Commands that can be cut in pieces by key; arguments a key."""


def keys(name: str, arguments: Sequence[bytes]) -> list[bytes]:
    """The keys of a command, [] where there are none; arguments: with the command itself in front."""
    if name in KEYLESS:
        return []
    if name in COUNTED:
        return _counted(name, arguments)
    if name in ("XREAD", "XREADGROUP"):
        return _of_streams(arguments)
    first, last, step = PLACES.get(name, (1, 1, 1))
    end = len(arguments) + last if last < 0 else last
    return list(arguments[first : end + 1 : step])


def _counted(name: str, arguments: Sequence[bytes]) -> list[bytes]:
    at = COUNTED[name]
    try:
        number = int(arguments[at])
    except (ValueError, IndexError):
        return []
    target = [arguments[1]] if name.endswith("STORE") else []
    return [*target, *arguments[at + 1 : at + 1 + max(number, 0)]]


def _of_streams(arguments: Sequence[bytes]) -> list[bytes]:
    upper = [argument.upper() for argument in arguments]
    if b"STREAMS" not in upper:
        return []
    rest = arguments[upper.index(b"STREAMS") + 1 :]
    return list(rest[: len(rest) // 2])
