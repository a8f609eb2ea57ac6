"""
MongoDB with `users` and shared connections: logins at the proxy, many clients on few connections, reads on replicas.

Lives here: drivers through the proxy, to a mongod that asks for a login and to a replica set. Does not: logins that
pass (test_mongodb.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

import catalogue
import pytest
import raw_mongodb
from catalogue import Start
from mongodb_peers import ReplicaSet, client, server
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
USERS = {"app": {"secret": "app"}, "other": {"secret": "other"}}
READS = {"read_preference": {"in": ["secondary", "secondaryPreferred", "nearest"]}}


class Ports(NamedTuple):
    """alone: before a server with a login; set, mongos: before a replica set that looks like one, or like a mongos."""

    proxy: Proxy
    alone: int
    set: int
    mongos: int
    server: int
    members: ReplicaSet


def _filters() -> list[dict[str, Any]]:
    deny = {"action": "deny", "permissions": [{"command": "drop", "collection": "kept"}]}
    mine = {"action": "deny", "permissions": [{"user": "other", "command": "insert"}]}
    return [{"rbac": {"policies": {"kept": deny, "mine": mine}}}]


@pytest.fixture(scope="module")
def ports(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Ports:
    folder = tmp_path_factory.mktemp("mongod")
    alone = server(start, folder, "--auth")
    with closing(client(alone)) as admin:
        admin.admin.command("createUser", "root", pwd="secret", roles=["root"])
    members = ReplicaSet(start, folder)
    ours = [free_port() for _ in range(3)]
    mongodb = {"name": "mongodb", "users": USERS}
    reads = {"match": READS, "cluster": "set", "subset": {"role": "replica"}}
    writes = {"cluster": "set", "subset": {"role": "primary"}}
    proxy = shared_proxy(
        {
            "secrets": {"app": {"value": "pencil"}, "other": {"value": "pen"}, "root": {"value": "secret"}},
            "listeners": [
                listener("alone", ours[0], mongodb, [{"cluster": "alone"}], filters=_filters()),
                listener("set", ours[1], mongodb, [writes], filters=_filters()),
                listener("mongos", ours[2], {**mongodb, "present": "mongos"}, [reads, writes], filters=_filters()),
            ],
            "clusters": [
                cluster("alone", alone, credentials={"user": "root", "password": {"secret": "root"}}),
                cluster("set", *members.ports, topology="replica_set", topology_interval="200ms"),
            ],
        }
    )
    return Ports(proxy, ours[0], ours[1], ours[2], alone, members)


def user(port: int, name: str = "app", password: str = "pencil", **options: Any) -> Any:
    return closing(client(port, username=name, password=password, **options))


def fill(collection: Any, count: int) -> None:
    collection.drop()
    collection.insert_many([{"_id": number, "item": "x" * 100} for number in range(count)])


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "DEFAULT"])
def test_clients_log_in_at_the_proxy_and_it_logs_in_at_the_server(ports: Ports, mechanism: str) -> None:
    with user(ports.alone, authMechanism=mechanism) as found:
        fill(found.shop.orders, 300)
        assert len(list(found.shop.orders.find({}, batch_size=50))) == 300


def test_a_wrong_password_is_the_drivers_own_error(ports: Ports) -> None:
    from pymongo.errors import OperationFailure

    with user(ports.alone, password="x") as found, pytest.raises(OperationFailure) as caught:
        found.shop.orders.find_one()
    assert caught.value.code == 18
    with closing(client(ports.alone)) as nobody, pytest.raises(OperationFailure) as caught:
        nobody.shop.orders.find_one()
    assert caught.value.code == 13


def test_what_one_user_may_do_another_may_not(ports: Ports) -> None:
    from pymongo.errors import OperationFailure

    with user(ports.alone, "other", "pen") as found:
        found.shop.orders.find_one()
        with pytest.raises(OperationFailure) as caught:
            found.shop.orders.insert_one({})
    assert caught.value.code == 13


@pytest.mark.parametrize("where", ["alone", "set", "mongos"])
@pytest.mark.parametrize(
    "driver",
    [pytest.param(name, marks=pytest.mark.peer(name)) for name in ("mongodb-node", "mongodb-go", "mongodb-java")],
)
def test_other_drivers_do_what_they_do_with_a_server(ports: Ports, driver: str, where: str) -> None:
    port = {"alone": ports.alone, "set": ports.set, "mongos": ports.mongos}[where]
    uri = f"mongodb://app:pencil@127.0.0.1:{port}/" + ("?replicaSet=rs0" if where == "set" else "")
    command = catalogue.mongodb_driver(driver, uri, replica_set=where != "alone")
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "found": 300, "updated": 10, "unknown": "CommandNotFound", "denied": "Unauthorized", "large": 1000,
        "read": 3_000_000, "committed": where != "alone",
    }  # fmt: skip


def test_messages_of_48_mb_pass_both_ways_in_little_memory(ports: Ports) -> None:
    with user(ports.alone) as found:
        large = found.shop.large
        large.drop()
        before = ports.proxy.memory()
        ports.proxy.forget_peak()
        large.insert_many([{"_id": number, "data": b"x" * 15_900_000} for number in range(3)])  # one OP_MSG
        assert sum(len(one["data"]) for one in large.find()) == 3 * 15_900_000
        assert ports.proxy.peak() - before < 32 << 20
        large.drop()


def test_transactions_and_change_streams_share_connections(ports: Ports) -> None:
    with user(ports.set, replicaSet="rs0") as found:
        orders = found.shop.shared
        fill(orders, 10)
        with orders.watch(max_await_time_ms=200) as changes:
            with found.start_session() as session, session.start_transaction():
                orders.insert_one({"_id": 100}, session=session)
                orders.insert_one({"_id": 101}, session=session)
            assert [next(changes)["documentKey"]["_id"] for _ in range(2)] == [100, 101]
        with found.start_session() as session:
            session.start_transaction()
            orders.insert_one({"_id": 102}, session=session)
            session.abort_transaction()
        assert orders.count_documents({}) == 12


def test_exhaust_cursors_have_a_connection_as_long_as_they_last(ports: Ports) -> None:
    from pymongo import CursorType

    with user(ports.alone) as found:
        fill(found.shop.exhausted, 300)
        cursor = found.shop.exhausted.find({}, batch_size=50, cursor_type=CursorType.EXHAUST)
        assert next(cursor)
        assert found.shop.exhausted.count_documents({}) == 300
        assert len(list(cursor)) == 299


def test_reads_with_a_preference_for_secondaries_go_to_replicas(ports: Ports) -> None:
    from pymongo import ReadPreference, WriteConcern

    with user(ports.mongos) as found:
        reads = found.shop.get_collection("reads", write_concern=WriteConcern(3))
        fill(reads, 10)
        before = _requests(ports)
        secondary = reads.with_options(read_preference=ReadPreference.SECONDARY)
        for _ in range(20):
            assert secondary.count_documents({}) == 10
        more = {address: count - before[address] for address, count in _requests(ports).items()}
    assert more[f"127.0.0.1:{ports.members.primary()}"] < 10
    assert sum(more.values()) >= 20


def _requests(ports: Ports) -> dict[str, int]:
    (found,) = (one for one in ports.proxy.admin("/clusters")["clusters"] if one["name"] == "set")
    return {endpoint["address"]: endpoint["counts"]["requests"] for endpoint in found["endpoints"]}


def test_1000_clients_share_20_connections(ports: Ports) -> None:
    with user(ports.alone) as found:
        fill(found.shop.many, 100)
    assert asyncio.run(raw_mongodb.finds(ports.alone, clients=1000, each=3)) == 3000
    with closing(client(ports.server, username="root", password="secret")) as admin:
        operations = admin.admin.aggregate([{"$currentOp": {"allUsers": True, "idleConnections": True}}])
        assert sum(one.get("appName") == "metaproxy" for one in operations) <= 20


def test_writes_go_on_at_the_new_primary(ports: Ports) -> None:
    from pymongo.errors import PyMongoError

    with user(ports.set, replicaSet="rs0") as found:
        events = found.shop.failover
        fill(events, 1)
        before = ports.members.primary()
        with closing(client(before, directConnection=True)) as admin:
            admin.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=5)
        acknowledged: list[Any] = []

        def write() -> bool:
            try:
                acknowledged.append(events.insert_one({"n": len(acknowledged)}).inserted_id)
            except PyMongoError:
                return False
            return True

        assert eventually(write, 20, 0.1)
        assert ports.members.primary() not in (0, before)
        assert {one["_id"] for one in events.find({"n": {"$exists": True}})} >= set(acknowledged)


def test_cursors_stay_at_the_replica_that_has_them(ports: Ports) -> None:
    """A getMore has no read preference: by its route alone it would go to the primary."""
    from pymongo import ReadPreference, WriteConcern

    with user(ports.mongos) as found:
        cursors = found.shop.get_collection("cursors", write_concern=WriteConcern(3))
        fill(cursors, 300)
        replicas = cursors.with_options(read_preference=ReadPreference.SECONDARY)
        open_ones = [replicas.find({}, batch_size=20) for _ in range(6)]
        assert all(next(cursor) for cursor in open_ones)
        assert [len(list(cursor)) for cursor in open_ones] == [299] * 6
        assert len(list(replicas.aggregate([{"$match": {}}], batchSize=20))) == 300
        cursors.insert_many([{"_id": 1000 + number, "data": b"x" * 700_000} for number in range(6)])
        assert len(list(replicas.find({"_id": {"$gte": 1000}}, batch_size=3))) == 6  # in answers of 2 MB
