"""
What Redis' ACL knows of commands: their categories, what they do to their keys.

Source: COMMAND and COMMAND GETKEYSANDFLAGS of redis-server 7.0.15, with which tests compare the tables, and the pages
of the later commands that `commands` knows. Names are in lower case, a subcommand behind a bar.

Lives here: tables, and `accesses`, which reads them. Does not: where keys stand (`commands`), rules (`acl`).
"""

from __future__ import annotations

from collections.abc import Sequence

from metaproxy.codecs.redis import commands


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CATEGORIES: dict[str, frozenset[str]] = {
    "keyspace": _names(
        "copy dbsize del dump exists expire expireat expiretime flushall flushdb keys migrate move"
        " object|encoding object|freq object|help object|idletime object|refcount persist pexpire pexpireat"
        " pexpiretime pttl randomkey rename renamenx restore restore-asking scan swapdb touch ttl type unlink"
    ),
    "read": _names(
        "bitcount bitfield_ro bitpos dbsize dump exists expiretime geodist geohash geopos georadius_ro"
        " georadiusbymember_ro geosearch get getbit getrange hexists hexpiretime hget hgetall hkeys hlen hmget"
        " hpexpiretime hpttl hrandfield hscan hstrlen httl hvals keys lcs lindex llen lolwut lpos lrange"
        " memory|usage mget object|encoding object|freq object|idletime object|refcount pexpiretime pfcount pttl"
        " randomkey scan scard sdiff sinter sintercard sismember smembers smismember sort_ro srandmember sscan"
        " strlen substr sunion touch ttl type xinfo|consumers xinfo|groups xinfo|stream xlen xpending xrange xread"
        " xrevrange zcard zcount zdiff zinter zintercard zlexcount zmscore zrandmember zrange zrangebylex"
        " zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion"
    ),
    "write": _names(
        "append bitfield bitop blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin copy decr decrby del"
        " expire expireat flushall flushdb function|delete function|flush function|load function|restore geoadd"
        " georadius georadiusbymember geosearchstore getdel getex getset hdel hexpire hexpireat hgetdel hgetex"
        " hincrby hincrbyfloat hmset hpersist hpexpire hpexpireat hset hsetex hsetnx incr incrby incrbyfloat"
        " linsert lmove lmpop lpop lpush lpushx lrem lset ltrim migrate move mset msetnx persist pexpire pexpireat"
        " pfadd pfdebug pfmerge psetex rename renamenx restore restore-asking rpop rpoplpush rpush rpushx sadd"
        " sdiffstore set setbit setex setnx setrange sinterstore smove sort spop srem sunionstore swapdb unlink"
        " xack xadd xautoclaim xclaim xdel xgroup|create xgroup|createconsumer xgroup|delconsumer xgroup|destroy"
        " xgroup|setid xreadgroup xsetid xtrim zadd zdiffstore zincrby zinterstore zmpop zpopmax zpopmin"
        " zrangestore zrem zremrangebylex zremrangebyrank zremrangebyscore zunionstore"
    ),
    "set": _names(
        "sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove sort"
        " sort_ro spop srandmember srem sscan sunion sunionstore"
    ),
    "sortedset": _names(
        "bzmpop bzpopmax bzpopmin sort sort_ro zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard"
        " zinterstore zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore"
        " zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex"
        " zrevrangebyscore zrevrank zscan zscore zunion zunionstore"
    ),
    "list": _names(
        "blmove blmpop blpop brpop brpoplpush lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem"
        " lset ltrim rpop rpoplpush rpush rpushx sort sort_ro"
    ),
    "hash": _names(
        "hdel hexists hexpire hexpireat hexpiretime hget hgetall hgetdel hgetex hincrby hincrbyfloat hkeys hlen"
        " hmget hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hrandfield hscan hset hsetex hsetnx hstrlen"
        " httl hvals"
    ),
    "string": _names(
        "append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset msetnx psetex"
        " set setex setnx setrange strlen substr"
    ),
    "bitmap": _names("bitcount bitfield bitfield_ro bitop bitpos getbit setbit"),
    "hyperloglog": _names("pfadd pfcount pfdebug pfmerge pfselftest"),
    "geo": _names(
        "geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch"
        " geosearchstore"
    ),
    "stream": _names(
        "xack xadd xautoclaim xclaim xdel xgroup|create xgroup|createconsumer xgroup|delconsumer xgroup|destroy"
        " xgroup|help xgroup|setid xinfo|consumers xinfo|groups xinfo|help xinfo|stream xlen xpending xrange xread"
        " xreadgroup xrevrange xsetid xtrim"
    ),
    "pubsub": _names(
        "psubscribe publish pubsub|channels pubsub|numpat pubsub|numsub pubsub|shardchannels pubsub|shardnumsub"
        " punsubscribe spublish ssubscribe subscribe sunsubscribe unsubscribe"
    ),
    "admin": _names(
        "acl|deluser acl|dryrun acl|getuser acl|list acl|load acl|log acl|save acl|setuser acl|users bgrewriteaof"
        " bgsave client|kill client|list client|no-evict client|pause client|unblock client|unpause"
        " cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|count-failure-reports cluster|delslots"
        " cluster|delslotsrange cluster|failover cluster|flushslots cluster|forget cluster|meet cluster|replicas"
        " cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot"
        " cluster|slaves config|get config|resetstat config|rewrite config|set debug failover lastsave"
        " latency|doctor latency|graph latency|histogram latency|history latency|latest latency|reset module|list"
        " module|load module|loadex module|unload monitor pfdebug pfselftest psync replconf replicaof role save"
        " shutdown slaveof slowlog|get slowlog|len slowlog|reset sync"
    ),
    "fast": _names(
        "append asking auth bitfield_ro bzpopmax bzpopmin dbsize decr decrby discard echo exists expire expireat"
        " expiretime get getbit getdel getex getset hdel hello hexists hexpire hexpireat hexpiretime hget hgetdel"
        " hgetex hincrby hincrbyfloat hlen hmget hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hset hsetex"
        " hsetnx hstrlen httl incr incrby incrbyfloat lastsave llen lolwut lpop lpush lpushx mget move multi"
        " persist pexpire pexpireat pexpiretime pfadd ping pttl publish quit readonly readwrite renamenx reset"
        " role rpop rpush rpushx sadd scard select setnx sismember smismember smove spop spublish srem strlen"
        " swapdb time touch ttl type unlink unwatch watch xack xadd xautoclaim xclaim xdel xlen xsetid zadd zcard"
        " zcount zincrby zlexcount zmscore zpopmax zpopmin zrank zrem zrevrank zscore"
    ),
    "blocking": _names("blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin xread xreadgroup"),
    "dangerous": _names(
        "acl|deluser acl|dryrun acl|getuser acl|list acl|load acl|log acl|save acl|setuser acl|users bgrewriteaof"
        " bgsave client|kill client|list client|no-evict client|pause client|unblock client|unpause"
        " cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|count-failure-reports cluster|delslots"
        " cluster|delslotsrange cluster|failover cluster|flushslots cluster|forget cluster|meet cluster|replicas"
        " cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot"
        " cluster|slaves config|get config|resetstat config|rewrite config|set debug failover flushall flushdb"
        " info keys lastsave latency|doctor latency|graph latency|histogram latency|history latency|latest"
        " latency|reset migrate module|list module|load module|loadex module|unload monitor pfdebug pfselftest"
        " psync replconf replicaof restore restore-asking role save shutdown slaveof slowlog|get slowlog|len"
        " slowlog|reset sort sort_ro swapdb sync"
    ),
    "connection": _names(
        "asking auth client|caching client|getname client|getredir client|help client|id client|info client|kill"
        " client|list client|no-evict client|no-touch client|pause client|reply client|setinfo client|setname"
        " client|tracking client|trackinginfo client|unblock client|unpause command command|count command|docs"
        " command|getkeys command|getkeysandflags command|help command|info command|list echo hello ping quit"
        " readonly readwrite reset select wait"
    ),
    "transaction": _names("discard exec multi unwatch watch"),
    "scripting": _names(
        "eval eval_ro evalsha evalsha_ro fcall fcall_ro function|delete function|dump function|flush"
        " function|help function|kill function|list function|load function|restore function|stats script|debug"
        " script|exists script|flush script|help script|kill script|load"
    ),
}
"""All but `slow`, in which is what is not `fast`, and `all`."""

_OTHERS = _names(
    "acl acl|cat acl|genpass acl|help acl|whoami client cluster cluster|countkeysinslot cluster|getkeysinslot"
    " cluster|help cluster|info cluster|keyslot cluster|links cluster|myid cluster|nodes cluster|shards"
    " cluster|slots config config|help function latency latency|help memory memory|doctor memory|help"
    " memory|malloc-stats memory|purge memory|stats module module|help object pubsub pubsub|help script"
    " slowlog slowlog|help xgroup xinfo"
)
"""Those of no category but `slow`."""

NAMES: frozenset[str] = _OTHERS.union(*CATEGORIES.values())
CATEGORIES["slow"] = NAMES - CATEGORIES["fast"]

CONTAINERS: dict[str, frozenset[str]] = {
    name: frozenset(one for one in NAMES if one.startswith(f"{name}|"))
    for name in {one.partition("|")[0] for one in NAMES if "|" in one}
}
"""Commands with subcommands -> these, in full."""

ALWAYS = _names("auth hello quit reset")
"""What anybody may say, and must: no user is logged in before."""

# -- what commands do to their keys

NOTHING, READ, WRITE = 0, 1, 2
"""What a command needs of a key, as bits; those that need nothing tell whether or how much there is, not what."""

_UNIFORM: dict[str, int] = {
    **dict.fromkeys(
        _names(
            "APPEND BITOP DEL EXPIRE EXPIREAT GEOADD GEOSEARCHSTORE HDEL HEXPIRE HEXPIREAT HMSET HPERSIST HPEXPIRE"
            " HPEXPIREAT HSET HSETEX HSETNX LINSERT LPUSH LPUSHX LREM LSET LTRIM MSET MSETEX MSETNX PERSIST PEXPIRE"
            " PEXPIREAT PFADD PSETEX RESTORE RESTORE-ASKING RPUSH RPUSHX SADD SETEX SETNX SETRANGE SREM UNLINK XACK"
            " XADD XAUTOCLAIM XCLAIM XDEL XGROUP XSETID XTRIM ZADD ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE"
        ),
        WRITE,
    ),
    **dict.fromkeys(
        _names(
            "BITCOUNT BITFIELD_RO BITPOS DUMP EVALSHA_RO EVAL_RO EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS"
            " GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXPIRETIME"
            " HGET HGETALL HKEYS HMGET HPEXPIRETIME HPTTL HRANDFIELD HSCAN HTTL HVALS LCS LINDEX LPOS LRANGE MGET"
            " PEXPIRETIME PFCOUNT PFDEBUG PTTL SDIFF SINTER SINTERCARD SMEMBERS SMISMEMBER SORT SORT_RO SRANDMEMBER"
            " SSCAN SUBSTR SUNION TTL XINFO XPENDING XRANGE XREAD XREADGROUP XREVRANGE ZCOUNT ZDIFF ZINTER ZINTERCARD"
            " ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX"
            " ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION"
        ),
        READ,
    ),
    **dict.fromkeys(
        _names("EXISTS HEXISTS HLEN HSTRLEN LLEN MEMORY OBJECT SCARD SISMEMBER STRLEN TOUCH TYPE WATCH XLEN ZCARD"),
        NOTHING,
    ),
}
"""Of all others, known or not: READ and WRITE."""

_FIRST_AND_REST: dict[str, tuple[int, int]] = {
    **dict.fromkeys(
        _names(
            "BITOP GEOSEARCHSTORE SDIFFSTORE SINTERSTORE SUNIONSTORE ZDIFFSTORE ZINTERSTORE ZRANGESTORE ZUNIONSTORE"
        ),
        (WRITE, READ),
    ),
    **dict.fromkeys(
        _names("BLMOVE BRPOPLPUSH LMOVE RENAME RENAMENX RPOPLPUSH SMOVE"),
        (READ | WRITE, WRITE),
    ),
    **dict.fromkeys(_names("COPY GEORADIUS GEORADIUSBYMEMBER SORT"), (READ, WRITE)),
    "PFMERGE": (READ | WRITE, READ),
}


_OF_CHANNELS = _names("SPUBLISH SSUBSCRIBE SUNSUBSCRIBE")
"""What stands where others have their keys are channels."""


def accesses(name: str, arguments: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """The keys of a command with what it needs of each; arguments: with the command itself, `name`, in front."""
    if name in _OF_CHANNELS:
        return []
    keys = commands.keys(name, arguments)
    if name in _FIRST_AND_REST:
        first, rest = _FIRST_AND_REST[name]
        return [(key, rest if place else first) for place, key in enumerate(keys)]
    need = _UNIFORM.get(name, READ | WRITE)
    if name == "SET":
        need = READ | WRITE if b"GET" in _words(arguments[3:]) else WRITE
    elif name == "BITFIELD" and not _words(arguments[2:]) & {b"SET", b"INCRBY"}:
        need = READ
    return [(key, need) for key in keys]


def _words(arguments: Sequence[bytes]) -> set[bytes]:
    return {commands.plain(argument).upper() for argument in arguments}
