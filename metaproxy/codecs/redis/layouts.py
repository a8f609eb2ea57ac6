"""
Which servers there are: Redis Cluster's nodes and slots, and the master that Sentinels watch.

    topology: cluster             CLUSTER INFO, CLUSTER NODES    of any node of the cluster
    topology: {sentinel: NAME}    SENTINEL GET-MASTER-ADDR-BY-NAME, MASTER, REPLICAS    of a Sentinel

Source: the Redis Cluster specification, the pages of these commands, and *Guidelines for Redis clients with support for
Redis Sentinel*; what redis-server and redis-sentinel 7.0 answer is in the tests. Lives here: the questions, what the
answers mean, and the errors that name another server. Does not: who is asked, and when (the proxy).
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Mapping, Sequence

from metaproxy.codecs.cutters import compiled_function
from metaproxy.codecs.framing import Layout
from metaproxy.codecs.redis import commands, resp
from metaproxy.codecs.redis.metadata import text
from metaproxy.message import FrameError, Hold, Kind, Message, Redirect

SLOTS = 16384
LAYOUTS = {"cluster": "", "sentinel": "the name of the master"}
PRIMARY, REPLICA, FAILED = "primary", "replica", "failed"
ASKING = resp.encode([b"ASKING"])
"""Goes in front of a request for a slot that a server is about to take over."""
_SHOWN = 12
"""Digits of a node's id that name its part of the slots."""
_STALE = (b"-CLUSTERDOWN ", b"-READONLY ", b"-MASTERDOWN ")
"""Errors of servers that are not, or not now, what they were."""


def questions(topology: str, name: str) -> list[Message]:
    if topology == "cluster":
        asked = [[b"CLUSTER", b"INFO"], [b"CLUSTER", b"NODES"]]
    else:
        asked = [[b"SENTINEL", word, name.encode()] for word in (b"GET-MASTER-ADDR-BY-NAME", b"MASTER", b"REPLICAS")]
    return [Message(Kind.REQUEST, resp.encode(words), 0, {"command": words[0].decode()}) for words in asked]


def layout(topology: str, answers: Sequence[Message], address: str) -> Layout:
    """See ICodec. Raises FrameError."""
    for answer in answers:
        if answer.kind is Kind.ERROR:
            raise FrameError(answer.frame[1:200].decode("utf-8", "replace").strip())
    try:
        return _cluster(answers, address) if topology == "cluster" else _watched(answers)
    except (ValueError, LookupError) as error:
        raise FrameError(f"its answer is not what it should be: {error}") from None


# -- Redis Cluster


class ClusterLayout(Layout):
    """slots: for each slot the shard that has it, '' for none."""

    def __init__(
        self,
        endpoints: Mapping[str, Mapping[str, str]],
        aliases: Mapping[str, str],
        epoch: int,
        doubtful: bool,
        slots: Sequence[str],
    ) -> None:
        super().__init__(endpoints, epoch, doubtful, aliases)
        self.slots = slots
        self.shards = len({shard for shard in slots if shard})

    def shard(self, value: str) -> str:
        return self.slots[slot(value)]

    shard_of = compiled_function("redis_shard_of", commands.WITH_ONE_KEY)(Layout.shard_of)

    def group(self, value: str) -> int:
        return slot(value)


def slot(tag: str) -> int:
    """Of what counts of a key: `metadata.tag`."""
    return crc_hqx(tag.encode("utf-8", "surrogateescape"), 0) & (SLOTS - 1)


def _cluster(answers: Sequence[Message], address: str) -> ClusterLayout:
    info = dict(line.split(":", 1) for line in _bulk(answers[0]).splitlines() if ":" in line)
    endpoints: dict[str, Mapping[str, str]] = {}
    aliases: dict[str, str] = {}
    slots = [""] * SLOTS
    masters = reached = 0  # of those with slots
    for line in _bulk(answers[1]).splitlines():
        node, place, flags, master, _, _, _, _, *ranges = line.split()
        marks = set(flags.split(","))
        if marks & {"handshake", "noaddr"}:
            continue
        where, _, names = place.partition(",")
        found = _address(where.partition("@")[0], address)
        shard = (node if master == "-" else master)[:_SHOWN]
        role = FAILED if "fail" in marks else REPLICA if "slave" in marks else PRIMARY
        owned = [one for one in ranges if not one.startswith("[")]
        if role == PRIMARY and not owned:
            role = "spare"
        if owned:
            masters += 1
            reached += not marks & {"fail", "fail?"}
        for first, _, last in (one.partition("-") for one in owned):
            start, stop = int(first), int(last or first) + 1
            if not 0 <= start < stop <= SLOTS:
                raise ValueError(f"slots {first} to {last}")
            slots[start:stop] = [shard] * (stop - start)
        endpoints[found] = {"role": role, "shard": shard}
        host = names.partition(",")[0]
        if host and "=" not in host:
            aliases[f"{host}:{found.rpartition(':')[2]}"] = found
    parts = set(slots)
    for found, traits in endpoints.items():
        if traits["shard"] not in parts:  # of a master with no slots, which others may copy all the same
            endpoints[found] = {"role": traits["role"]}
    down = info.get("cluster_state") != "ok"
    # One that is cut off from most masters does not know; with most of them it knows that some slots have none.
    knows = 2 * reached > masters and ("" in parts or reached < masters)
    epoch = int(info.get("cluster_current_epoch", "0"))
    return ClusterLayout(endpoints, aliases, epoch, down and not knows, slots)


# -- Sentinel


class _Watched(Layout):
    """Sentinels tell it, which have nothing themselves."""

    outside = True


def _watched(answers: Sequence[Message]) -> Layout:
    where = [text(_plain(value)) for value in _list(answers[0].frame)]
    if len(where) != 2:
        raise FrameError("it watches no master of that name")
    of_master = _fields(answers[1].frame)
    found = _join(where[0], where[1])
    down = "o_down" in of_master.get("flags", "").split(",")
    moved = _join(of_master["ip"], of_master["port"]) != found
    endpoints: dict[str, Mapping[str, str]] = {}
    for value in _list(answers[2].frame):
        of_replica = _fields(value)
        marks = set(of_replica.get("flags", "").split(","))
        fine = not marks & {"s_down", "o_down", "disconnected"} and of_replica.get("master-link-status") == "ok"
        endpoints[_join(of_replica["ip"], of_replica["port"])] = {"role": REPLICA if fine else FAILED}
    endpoints[found] = {"role": FAILED if down and not moved else PRIMARY}
    return _Watched(endpoints, int(of_master.get("config-epoch", "0")))


# -- errors


def redirect(request: Message, answer: Message) -> Redirect | None:
    """What an error says of where the request belongs."""
    frame = answer.frame
    if frame.startswith((b"-MOVED ", b"-ASK ")):
        words = frame.split()
        if len(words) != 3 or not words[2].rpartition(b":")[2].isdigit():
            return None
        address = _address(words[2].decode("utf-8", "replace"), "")
        if words[0] == b"-MOVED":
            return Redirect(address, request, True)
        asking = request if request.frame.startswith(ASKING) else request.with_frame(ASKING + request.frame)
        asking.hold = asking.hold or Hold.WAIT
        return Redirect(address, asking, False)
    return Redirect("", request, True) if frame.startswith(_STALE) else None


# -- values


def _address(place: str, asked: str) -> str:
    """host:port of what Redis writes; without a host it is that of who says so."""
    host, _, port = place.rpartition(":")
    if host in ("", "?"):
        host = asked.rpartition(":")[0]
    return _join(host, port)


def _join(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _plain(value: bytes) -> bytes:
    """Of one value, a bulk or verbatim string: its bytes."""
    head, end, rest = value.partition(resp.CRLF)
    if head[:1] not in (b"$", b"=") or not end:
        raise ValueError(f"a text expected, {value[:20]!r} read")
    return rest[4:-2] if head[:1] == b"=" else rest[:-2]


def _bulk(answer: Message) -> str:
    return text(_plain(answer.frame))


def _list(frame: bytes) -> list[bytes]:
    return [] if frame[:2] in (b"*-", b"_\r") else resp.values(frame)


def _fields(frame: bytes) -> dict[str, str]:
    """Of a list of names and values."""
    words = [text(_plain(value)) for value in _list(frame)]
    return dict(zip(words[::2], words[1::2], strict=True))
