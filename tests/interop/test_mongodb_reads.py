"""
Which member of a replica set answers a read, by its read preference, and that a mongos may be the proxy's server.

Lives here: pymongo's read preferences with tags, where it knows all members, and where it takes the proxy for a mongos;
proxies that stand for mongoses behind a proxy, as there is no mongos to be had; members that are late. Does not:
logins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple

import pytest
from catalogue import Start
from mongodb_peers import ReplicaSet, client
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
TAGS = ({"dc": "east"}, {"dc": "west"}, {"dc": "west", "use": "reports"})
READS = {"in": ["secondary", "secondaryPreferred"]}


class Mesh(NamedTuple):
    """
    members: a listener for each; mongos: one that passes for a mongos. before: one before two such, where each client
    has a connection of its own; sharing: the same where clients share connections. own: as mongos, where clients read
    their own writes, and late members get no reads.
    """

    proxy: Proxy
    set: ReplicaSet
    members: list[int]
    mongos: int
    before: int
    sharing: int
    own: int


def split(name: str) -> list[dict[str, Any]]:
    """Routes to the members of a cluster."""
    reads = {"match": {"read_preference": READS}, "cluster": name, "subset": {"role": "replica"}}
    return [reads, {"cluster": name, "subset": {"role": "primary"}}]


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    members = ReplicaSet(start, tmp_path_factory.mktemp("mongod"), tags=TAGS)
    own = [free_port() for _ in members.ports]
    mongos, second, before, sharing, careful = (free_port() for _ in range(5))
    hosts = {f"127.0.0.1:{theirs}": f"127.0.0.1:{ours}" for theirs, ours in zip(members.ports, own, strict=True)}
    passes = {"name": "mongodb", "mode": "shared", "present": "mongos"}
    routes = [
        {"match": {"read_preference": "nearest"}, "cluster": "set"},
        {
            "match": {"read_preference": READS, "read_preference_tags": "use:reports"},
            "cluster": "set",
            "subset": {"role": "replica", "use": "reports"},
        },
        *split("set"),
    ]
    endpoints = [
        {"address": f"127.0.0.1:{port}", "metadata": dict(tags)} for port, tags in zip(members.ports, TAGS, strict=True)
    ]
    followed = {"topology": "replica_set", "topology_interval": "200ms"}
    each = {"name": "mongodb", "hosts": hosts}
    shared = {"name": "mongodb", "mode": "shared"}
    proxy = shared_proxy(
        {
            "listeners": [
                *(listener(f"m{port}", port, each, [{"cluster": f"m{port}"}]) for port in own),
                listener("mongos", mongos, passes, routes),
                listener("second", second, passes, routes),
                listener("before", before, "mongodb", [{"cluster": "mongoses"}]),
                listener("sharing", sharing, shared, [{"cluster": "shared-mongoses"}]),
                listener("careful", careful, passes, split("careful")),
            ],
            "clusters": [
                *(cluster(f"m{ours}", theirs) for theirs, ours in zip(members.ports, own, strict=True)),
                {"name": "set", "endpoints": endpoints, **followed},
                cluster("careful", *members.ports, **followed, read_your_writes="position", max_replica_lag="3s"),
                cluster("mongoses", mongos, second),
                cluster("shared-mongoses", mongos, second),
            ],
        }
    )
    with closing(client(own[0], replicaSet="rs0")) as found:
        from pymongo import WriteConcern

        orders = found.shop.get_collection("orders", write_concern=WriteConcern(3))
        orders.insert_many([{"_id": number, "item": "x" * 100} for number in range(300)])
    return Mesh(proxy, members, own, mongos, before, sharing, careful)


def answering(collection: Any, times: int = 12) -> set[int]:
    """The ports of the members that answer it."""
    rows = (next(iter(collection.aggregate([{"$collStats": {}}]))) for _ in range(times))
    return {int(row["host"].rpartition(":")[2]) for row in rows}


@pytest.fixture(params=["members", "mongos"])
def orders(mesh: Mesh, request: pytest.FixtureRequest) -> Any:
    """The collection, of a client that knows all members, and of one that takes the proxy for a mongos."""
    options: dict[str, Any] = {"localThresholdMS": 1000}
    port = mesh.mongos
    if request.param == "members":
        options["replicaSet"], port = "rs0", mesh.members[0]
    with closing(client(port, **options)) as found:
        found.admin.command("ping")
        eventually(lambda: request.param == "mongos" or len(found.secondaries) == 2)
        yield found.shop.orders


def test_each_read_preference_finds_its_members(mesh: Mesh, orders: Any) -> None:
    from pymongo import ReadPreference

    primary, replicas = {mesh.set.primary()}, set(mesh.set.secondaries())
    for preference, expected in (
        (ReadPreference.PRIMARY, primary),
        (ReadPreference.PRIMARY_PREFERRED, primary),
        (ReadPreference.SECONDARY, replicas),
        (ReadPreference.SECONDARY_PREFERRED, replicas),
    ):
        found = answering(orders.with_options(read_preference=preference))
        assert found and found <= expected, preference
    assert len(answering(orders.with_options(read_preference=ReadPreference.NEAREST), 30)) >= 2


def test_tags_find_the_members_that_have_them(mesh: Mesh, orders: Any) -> None:
    from pymongo.read_preferences import SecondaryPreferred

    (tagged,) = (port for port, tags in zip(mesh.set.ports, TAGS, strict=True) if "use" in tags)
    reports = orders.with_options(read_preference=SecondaryPreferred(tag_sets=[{"use": "reports"}]))
    assert answering(reports) == {tagged}
    assert len(list(reports.find({}, batch_size=50))) == 300


@pytest.mark.parametrize("where", ["before", "sharing"])
def test_mongoses_may_be_its_servers(mesh: Mesh, where: str) -> None:
    from pymongo import ReadPreference

    balanced = {"loadBalanced": True} if where == "before" else {}  # else a cursor's next batch is asked of the other
    with closing(client(getattr(mesh, where), **balanced)) as found:
        orders = found.shop.orders
        assert [len(list(orders.find({}, batch_size=20))) for _ in range(4)] == [300] * 4
        replicas = orders.with_options(read_preference=ReadPreference.SECONDARY)
        assert answering(replicas) <= set(mesh.set.secondaries())
        for number in range(4):
            with found.start_session() as session, session.start_transaction():
                orders.insert_one({"_id": 1000 + number}, session=session)
                assert orders.find_one({"_id": 1000 + number}, session=session)
        assert orders.delete_many({"_id": {"$gte": 1000}}).deleted_count == 4


def test_both_mongoses_are_used(mesh: Mesh) -> None:
    with closing(client(mesh.sharing)) as found:
        for _ in range(10):
            found.shop.orders.find_one({})
    (used,) = (one for one in mesh.proxy.admin("/clusters")["clusters"] if one["name"] == "shared-mongoses")
    assert all(endpoint["counts"]["requests"] for endpoint in used["endpoints"])


@contextmanager
def stopped(set: ReplicaSet) -> Iterator[None]:
    """Secondaries that take over no more of what the primary writes, but answer."""
    with ExitStack() as stack:
        for port in set.secondaries():
            admin = stack.enter_context(set.member(port)).admin
            admin.command("fsync", lock=True)
            stack.callback(admin.command, "fsyncUnlock")
        yield


def roles(mesh: Mesh) -> list[str]:
    (found,) = (one for one in mesh.proxy.admin("/clusters")["clusters"] if one["name"] == "careful")
    return sorted(one["metadata"]["role"] for one in found["endpoints"])


def test_a_client_reads_its_writes_while_no_secondary_has_them_and_others_read_on_till_they_are_late(
    mesh: Mesh,
) -> None:
    from pymongo import ReadPreference, WriteConcern

    def of(found: Any) -> Any:
        """The collection: written to at the primary, read at secondaries. A client has one connection."""
        wanted = {"write_concern": WriteConcern(1), "read_preference": ReadPreference.SECONDARY}
        return found.shop.get_collection("careful", **wanted)

    primary, secondaries = {mesh.set.primary()}, set(mesh.set.secondaries())
    with closing(client(mesh.own, maxPoolSize=1)) as one, closing(client(mesh.own, maxPoolSize=1)) as other:
        mine, theirs = of(one), of(other)
        mine.insert_one({"_id": 0})
        assert eventually(lambda: answering(mine) == answering(theirs) == secondaries, 10), "they have it by now"
        with stopped(mesh.set):
            mine.insert_one({"_id": 1})
            assert mine.find_one({"_id": 1}) == {"_id": 1}
            assert (answering(mine), theirs.find_one({"_id": 1})) == (primary, None)
            assert answering(theirs) <= secondaries

            def are_late() -> bool:
                mine.update_one({"_id": 0}, {"$inc": {"times": 1}})
                return roles(mesh) == ["lagging", "lagging", "primary"]

            assert eventually(lambda: are_late() and answering(theirs) == primary, 10, 0.2)
            assert theirs.find_one({"_id": 1}) == {"_id": 1}
        assert eventually(lambda: roles(mesh) == ["primary", "replica", "replica"], 10)
        assert eventually(lambda: answering(mine) == answering(theirs) == secondaries, 10)
