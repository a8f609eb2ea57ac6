"""
MongoDB with logins that pass: drivers through the proxy, to a mongod alone and to a replica set of three.

Lives here: commands, cursors, transactions, change streams, large messages, errors of ours, a primary that changes.
Does not: the codec's bytes (tests/unit/codecs/test_mongodb*.py); logins at the proxy (test_mongodb_users.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import MONGODB_DRIVERS, Start
from mongodb_peers import ReplicaSet, client, server
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")


class Ports(NamedTuple):
    """alone: a listener before a server alone; one: before the primary of a set; members: one for each member."""

    proxy: Proxy
    alone: int
    one: int
    members: list[int]
    set: ReplicaSet


def _filters() -> list[dict[str, Any]]:
    deny = {"action": "deny", "permissions": [{"command": "drop", "collection": "kept"}]}
    fault = {"match": {"comment": "slow"}, "percentage": 100, "error": {"name": "WriteConflict"}}
    return [{"rbac": {"policies": {"kept": deny}}}, {"fault": {"faults": [fault]}}]


@pytest.fixture(scope="module")
def ports(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Ports:
    folder = tmp_path_factory.mktemp("mongod")
    alone = server(start, folder)
    members = ReplicaSet(start, folder)
    own = [free_port() for _ in members.ports]
    through, one = free_port(), free_port()
    hosts = {f"127.0.0.1:{theirs}": f"127.0.0.1:{ours}" for theirs, ours in zip(members.ports, own, strict=True)}
    each = {"name": "mongodb", "hosts": hosts}
    primary = {"cluster": "set", "subset": {"role": "primary"}}
    members_of_set = cluster(
        "set",
        *members.ports,
        topology="replica_set",
        topology_interval="200ms",
    )
    proxy = shared_proxy(
        {
            "listeners": [
                listener("alone", through, "mongodb", [{"cluster": "alone"}], filters=_filters()),
                listener("one", one, "mongodb", [primary], filters=_filters()),
                *(listener(f"m{port}", port, each, [{"cluster": f"m{port}"}], filters=_filters()) for port in own),
            ],
            "clusters": [
                cluster("alone", alone),
                members_of_set,
                *(cluster(f"m{ours}", theirs) for theirs, ours in zip(members.ports, own, strict=True)),
            ],
        }
    )
    return Ports(proxy, through, one, own, members)


@pytest.fixture
def alone(ports: Ports) -> Iterator[Any]:
    with closing(client(ports.alone, appname="shop")) as found:
        yield found


@pytest.fixture
def one(ports: Ports) -> Iterator[Any]:
    with closing(client(ports.one, replicaSet="rs0")) as found:
        yield found


def fill(collection: Any, count: int) -> None:
    collection.drop()
    collection.insert_many([{"_id": number, "item": "x" * 100} for number in range(count)])


def test_commands_cursors_and_exhaust_cursors_work(alone: Any) -> None:
    from pymongo import CursorType

    orders = alone.shop.orders
    fill(orders, 500)
    assert len(list(orders.find({}, batch_size=50))) == 500
    assert len(list(orders.find({}, batch_size=50, cursor_type=CursorType.EXHAUST))) == 500
    assert orders.update_many({"_id": {"$lt": 10}}, {"$set": {"item": "y"}}).modified_count == 10
    (group,) = orders.aggregate([{"$match": {"item": "y"}}, {"$group": {"_id": "$item", "n": {"$sum": 1}}}])
    assert group["n"] == 10


def test_a_write_without_an_answer_is_counted_as_one_way(ports: Ports, alone: Any) -> None:
    from pymongo import WriteConcern

    alone.shop.quiet.drop()
    alone.shop.get_collection("quiet", write_concern=WriteConcern(0)).insert_one({"_id": 1})
    assert eventually(lambda: alone.shop.quiet.find_one({"_id": 1}))
    assert ports.proxy.outcomes()["oneway"] >= 1


def test_messages_of_48_mb_pass_both_ways_in_little_memory(ports: Ports, alone: Any) -> None:
    large = alone.shop.large
    large.drop()
    before = ports.proxy.memory()
    ports.proxy.forget_peak()
    large.insert_many([{"_id": number, "data": b"x" * 15_900_000} for number in range(3)])  # one OP_MSG
    assert sum(len(found["data"]) for found in large.find()) == 3 * 15_900_000
    assert ports.proxy.peak() - before < 32 << 20
    large.drop()


def test_a_policys_refusal_is_an_error_of_a_server_and_the_connection_goes_on(alone: Any) -> None:
    from pymongo.errors import OperationFailure

    alone.shop.kept.insert_one({})
    with pytest.raises(OperationFailure) as caught:
        alone.shop.kept.drop()
    assert (caught.value.code, (caught.value.details or {})["codeName"]) == (13, "Unauthorized")
    assert alone.shop.kept.find_one() is not None


def test_a_fault_is_an_error_by_name(alone: Any) -> None:
    from pymongo.errors import OperationFailure

    with pytest.raises(OperationFailure) as caught:
        alone.shop.orders.find_one({}, comment="slow")
    assert caught.value.code == 112


def test_a_replica_set_is_one_address(ports: Ports, one: Any) -> None:
    one.admin.command("ping")
    assert one.nodes == {("127.0.0.1", ports.one)}
    assert one.primary == ("127.0.0.1", ports.one)


def test_transactions_and_change_streams_work(one: Any) -> None:
    orders = one.shop.orders
    fill(orders, 10)
    with orders.watch() as changes:
        with one.start_session() as session, session.start_transaction():
            orders.insert_one({"_id": 100}, session=session)
        assert next(changes)["documentKey"] == {"_id": 100}
    with one.start_session() as session:
        session.start_transaction()
        orders.insert_one({"_id": 101}, session=session)
        session.abort_transaction()
    assert orders.count_documents({}) == 11


def test_a_driver_may_take_the_proxy_for_a_load_balancer(ports: Ports) -> None:
    with closing(client(ports.one, loadBalanced=True)) as balanced:
        fill(balanced.shop.balanced, 300)
        assert len(list(balanced.shop.balanced.find({}, batch_size=50))) == 300
        with balanced.start_session() as session, session.start_transaction():
            balanced.shop.balanced.insert_one({"_id": 1000}, session=session)


def test_each_member_has_an_address_of_its_own(ports: Ports) -> None:
    from pymongo import ReadPreference, WriteConcern

    with closing(client(ports.members[0], replicaSet="rs0")) as found:
        every = found.shop.get_collection("every", write_concern=WriteConcern(3))
        fill(every, 10)
        assert found.nodes == {("127.0.0.1", port) for port in ports.members}
        assert every.with_options(read_preference=ReadPreference.SECONDARY).count_documents({}) == 10
        assert len(found.secondaries) == 2


@pytest.mark.parametrize("where", ["alone", "one", "members"])
@pytest.mark.parametrize("driver", [pytest.param(name, marks=pytest.mark.peer(name)) for name in MONGODB_DRIVERS])
def test_other_drivers_do_what_they_do_with_a_server(ports: Ports, driver: str, where: str) -> None:
    port = {"alone": ports.alone, "one": ports.one, "members": ports.members[0]}[where]
    uri = f"mongodb://127.0.0.1:{port}/" + ("" if where == "alone" else "?replicaSet=rs0")
    command = catalogue.mongodb_driver(driver, uri, replica_set=where != "alone")
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "found": 300, "updated": 10, "unknown": "CommandNotFound", "denied": "Unauthorized", "large": 1000,
        "read": 3_000_000, "committed": where != "alone",
    }  # fmt: skip


def test_a_new_primary_is_found_behind_the_one_address(ports: Ports, one: Any) -> None:
    from pymongo.errors import PyMongoError

    events = one.shop.events
    events.delete_many({})
    events.insert_one({"_id": 0})
    before = ports.set.primary()
    with closing(client(before, directConnection=True)) as admin:
        admin.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=5)
    written: list[int] = []

    def write() -> bool:
        try:
            events.insert_one({"_id": len(written) + 1})
        except PyMongoError:
            return False
        written.append(1)
        return True

    assert eventually(write, 20, 0.2)
    assert ports.set.primary() not in (0, before)
    assert events.count_documents({}) == 2
