"""
The proxy as a Redis Cluster of one node, for clients that speak to nothing else: it has all slots.

    CLUSTER INFO, MYID, NODES, SHARDS, SLOTS, KEYSLOT; READONLY, READWRITE, ASKING    answered here

Source: the pages of these commands, and what redis-server 7.0 answers. Lives here: `Presented`. Does not: the servers'
own cluster (`layouts`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from metaproxy.codecs.redis import resp
from metaproxy.codecs.redis.identity import OK, arity
from metaproxy.codecs.redis.layouts import SLOTS, slot
from metaproxy.codecs.redis.metadata import tag, text

COMMANDS = frozenset((b"ASKING", b"CLUSTER", b"READONLY", b"READWRITE"))
_NO_WORD = b"-ERR CLUSTER %b does not work through this proxy: to its clients it is a cluster of one node\r\n"
_INFO = b"""\
cluster_enabled:1\r
cluster_state:ok\r
cluster_slots_assigned:16384\r
cluster_slots_ok:16384\r
cluster_slots_pfail:0\r
cluster_slots_fail:0\r
cluster_known_nodes:1\r
cluster_size:1\r
cluster_current_epoch:1\r
cluster_my_epoch:1\r
"""


def number(value: int) -> bytes:
    return b":%d\r\n" % value


class Presented:
    """advertised: host:port at which clients reach the listener; '' for the address that theirs leads to."""

    __slots__ = ("_advertised",)

    def __init__(self, advertised: str) -> None:
        self._advertised = advertised

    def answer(self, words: list[bytes], version: int, facts: Mapping[str, str]) -> bytes:
        """words: of one of COMMANDS, itself in front; version: of RESP; facts: of the client's connection."""
        if words[0].upper() != b"CLUSTER":
            return OK if len(words) == 1 else arity(words[0])
        word = words[1].upper() if len(words) > 1 else b""
        if word == b"KEYSLOT" and len(words) == 3:
            return number(slot(tag(text(words[2]))))
        make = _ANSWERS.get(word)
        if make is None or len(words) != 2:
            return _NO_WORD % word[:64].translate(_ONE_LINE) if word else arity(b"cluster")
        return make(*self._where(facts), version)

    def _where(self, facts: Mapping[str, str]) -> tuple[bytes, int]:
        if self._advertised:
            host, _, port = self._advertised.rpartition(":")
            host = host.removeprefix("[").removesuffix("]")
        else:
            host, port = facts.get("destination.address", ""), facts.get("destination.port", "0")
        return host.encode(), int(port)


_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def _id(host: bytes, port: int) -> bytes:
    """The same whichever proxy is asked at an address, and for ever."""
    return hashlib.sha1(b"%b:%d" % (host, port), usedforsecurity=False).hexdigest().encode()


def _pairs(version: int, *pairs: bytes) -> bytes:
    """Names and values, of which each value is a whole one."""
    head = b"%%%d\r\n" % (len(pairs) // 2) if version == 3 else b"*%d\r\n" % len(pairs)
    names = [resp.bulk(one) if not place % 2 else one for place, one in enumerate(pairs)]
    return head + b"".join(names)


def _slots(host: bytes, port: int, version: int) -> bytes:
    node = b"*4\r\n" + resp.bulk(host) + number(port) + resp.bulk(_id(host, port)) + b"*0\r\n"
    return b"*1\r\n*3\r\n" + number(0) + number(SLOTS - 1) + node


def _shards(host: bytes, port: int, version: int) -> bytes:
    node = _pairs(
        version, b"id", resp.bulk(_id(host, port)), b"port", number(port), b"ip", resp.bulk(host),
        b"endpoint", resp.bulk(host), b"role", resp.bulk(b"master"), b"replication-offset", number(0),
        b"health", resp.bulk(b"online"),
    )  # fmt: skip
    return b"*1\r\n" + _pairs(version, b"slots", b"*2\r\n" + number(0) + number(SLOTS - 1), b"nodes", b"*1\r\n" + node)


def _nodes(host: bytes, port: int, version: int) -> bytes:
    line = b"%b %b:%d@%d myself,master - 0 0 1 connected 0-%d\n" % (_id(host, port), host, port, port, SLOTS - 1)
    return resp.bulk(line)


_ANSWERS: dict[bytes, Callable[[bytes, int, int], bytes]] = {
    b"INFO": lambda host, port, version: resp.bulk(_INFO),
    b"MYID": lambda host, port, version: resp.bulk(_id(host, port)),
    b"NODES": _nodes,
    b"SHARDS": _shards,
    b"SLOTS": _slots,
}
