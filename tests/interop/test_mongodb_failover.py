"""
A primary that is killed under load, behind the one address of the proxy, where servers ask for logins.

Lives here: which writes are there then, how long there were none, what clients get. Does not: a primary that steps
down (test_mongodb.py, test_mongodb_users.py).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from catalogue import Start
from mongodb_peers import ReplicaSet, client
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
LOGIN = ("root", "secret")
USERS = {"passing": LOGIN, "ending": ("app", "pencil")}
RETRY = {"attempts": 40, "on": ["connect", "reset"], "backoff": "50ms..250ms"}
"""What was never sent may go to the next primary, whatever it is; so may numbered writes, which are executed once."""
BACK = 15.0
"""Seconds until writes work again at most; an election within the set takes two or three."""


class Mesh(NamedTuple):
    """passing: logins go to the set; ending: they end at the proxy, and clients share connections."""

    members: ReplicaSet
    passing: int
    ending: int

    def client(self, where: str, **options: Any) -> Any:
        user, password = USERS[where]
        options = {"replicaSet": "rs0", "serverSelectionTimeoutMS": 15000, "w": "majority", **options}
        return closing(client(getattr(self, where), username=user, password=password, **options))


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    members = ReplicaSet(start, tmp_path_factory.mktemp("mongod"), login=LOGIN)
    passing, ending = free_port(), free_port()
    set_of_three = {"topology": "replica_set", "topology_interval": "200ms"}
    credentials = {"user": LOGIN[0], "password": {"secret": "servers"}}
    users = {"name": "mongodb", "users": {"app": {"secret": "app"}}}
    shared_proxy(
        {
            "secrets": {"servers": {"value": LOGIN[1]}, "app": {"value": "pencil"}},
            "listeners": [
                listener("passing", passing, "mongodb", [{"cluster": "passing", "subset": {"role": "primary"}}]),
                listener(
                    "ending", ending, users, [{"cluster": "ending", "subset": {"role": "primary"}, "retry": RETRY}]
                ),
            ],
            "clusters": [
                cluster("passing", *members.ports, **set_of_three),
                cluster(
                    "ending", *members.ports, credentials=credentials, breaker={"max_retries": 100}, **set_of_three
                ),
            ],
        }
    )
    return Mesh(members, passing, ending)


@pytest.fixture
def whole(mesh: Mesh) -> Iterator[Mesh]:
    """A set of which all members are there; what a test kills is started again behind it."""
    yield mesh
    for port, program in mesh.members.programs.items():
        if not program.running:
            mesh.members.start_again(port)
    assert eventually(lambda: mesh.members.primary() and len(mesh.members.secondaries()) == 2, 30, 0.2)


class Load:
    """
    Threads that push numbers of their own, one after the other, and never one of them again. A number that is there
    twice was executed twice; one that was acknowledged and is not there is lost.
    """

    def __init__(self, collection: Any, threads: int = 8) -> None:
        self.acknowledged: list[tuple[int, int]] = []
        self.at: list[float] = []
        self.errors: list[Any] = []
        self._collection = collection
        self._over = threading.Event()
        collection.drop()
        collection.insert_many([{"_id": number, "seen": []} for number in range(threads)])
        self._threads = [threading.Thread(target=self._push, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _push(self, thread: int) -> None:
        from pymongo.errors import PyMongoError

        number = 0
        while not self._over.is_set():
            number += 1
            try:
                self._collection.update_one({"_id": thread}, {"$push": {"seen": number}})
            except PyMongoError as error:
                self.errors.append(error)
                continue
            self.acknowledged.append((thread, number))
            self.at.append(time.monotonic())

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def gap(self) -> float:
        """The longest time without an acknowledged write."""
        return max(later - before for before, later in zip(self.at, self.at[1:], strict=False))

    def check(self) -> None:
        found = Counter((one["_id"], number) for one in self._collection.find() for number in one["seen"])
        assert [one for one in self.acknowledged if one not in found] == []
        assert [one for one, times in found.items() if times > 1] == []


def _failures() -> tuple[list[str], Any]:
    """Commands whose failure a driver has seen, also where it tried again; and what hears of them."""
    from pymongo.monitoring import CommandListener

    found: list[str] = []

    def ignore(self: object, event: Any) -> None:
        """It is not looked at."""

    def failed(self: object, event: Any) -> None:
        found.append(f"{event.command_name}: {event.failure}")

    # Made so, as the driver is not there where types are checked, and a class made of nothing known is refused.
    listener = type("Failures", (CommandListener,), {"started": ignore, "succeeded": ignore, "failed": failed})
    return found, listener()


@pytest.mark.parametrize("where", ["passing", "ending"])
def test_no_acknowledged_write_is_lost_and_none_is_executed_twice(whole: Mesh, where: str) -> None:
    failures, listener = _failures()
    with whole.client(where, event_listeners=[listener]) as found:
        load = Load(found.shop.get_collection(f"killed_{where}"))
        time.sleep(1.0)
        killed = whole.members.primary()
        whole.members.kill(killed)
        at = time.monotonic()
        assert eventually(lambda: load.at and load.at[-1] > at + 0.5, BACK)
        time.sleep(1.0)
        load.stop()
        print(where, f"{load.gap():.2f} s without a write", len(load.acknowledged), load.errors, failures)
        load.check()
        assert load.gap() < BACK
        if where == "ending":  # the proxy has sent again what was under way, and what found no server
            assert (failures, load.errors) == ([], [])
        # Drivers try again by themselves, once: that may meet another connection whose end is not known yet.
        assert len(load.errors) <= 8
        assert all(error.has_error_label("RetryableWriteError") for error in load.errors)
        assert whole.members.primary() not in (0, killed)


@pytest.mark.parametrize("where", ["passing", "ending"])
def test_a_transaction_that_can_not_be_saved_ends_with_the_label_to_try_all_of_it_again(
    whole: Mesh, where: str
) -> None:
    from pymongo.errors import PyMongoError

    with whole.client(where) as found:
        rows = found.shop.get_collection(f"transaction_{where}")
        rows.drop()
        rows.insert_one({"_id": 0})
        with found.start_session() as session:
            session.start_transaction()
            rows.insert_one({"_id": 1}, session=session)
            whole.members.kill(whole.members.primary())
            with pytest.raises(PyMongoError) as caught:
                rows.insert_one({"_id": 2}, session=session)
            assert caught.value.has_error_label("TransientTransactionError")

            def again(session: Any) -> None:
                rows.insert_one({"_id": 3}, session=session)

            session.abort_transaction()
            session.with_transaction(again)
        assert sorted(one["_id"] for one in rows.find()) == [0, 3]
