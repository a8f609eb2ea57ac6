"""
What rules know of a client of MongoDB is true of it at the server, whatever it sends: who has logged in.

Lives here: clients that are no driver, before a real mongod with users, which the proxy's rules hold for. Does not:
what rules do with commands of drivers (test_mongodb_traffic.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from catalogue import Start
from mongodb_peers import client, server
from proxied import Proxy, cluster, listener
from raw_mongodb import Raw, message, start
from running import free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
SECRETS = {"find": "secrets", "$db": "shop"}


@pytest.fixture(scope="module")
def port(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> int:
    """Logins pass, and ann may do at the server what the proxy denies her."""
    mongod, port = server(start, tmp_path_factory.mktemp("mongod"), "--auth"), free_port()
    with closing(client(mongod)) as first:
        first.admin.command("createUser", "root", pwd="toor", roles=["root"])
    with closing(client(mongod, username="root", password="toor")) as admin:
        admin.admin.command("createUser", "ann", pwd="pencil", roles=["root"])
        admin.shop.secrets.insert_one({"_id": 1})
        admin.shop.orders.insert_one({"_id": 1})
    deny = {"action": "deny", "permissions": [{"collection": "secrets"}], "principals": [{"user": "ann"}]}
    filters = [{"rbac": {"policies": {"kept": deny}}}]
    shared_proxy(
        {
            "listeners": [listener("mongodb", port, "mongodb", [{"cluster": "mongod"}], filters=filters)],
            "clusters": [cluster("mongod", mongod)],
        }
    )
    return port


@pytest.fixture
def raw(port: int) -> Iterator[Raw]:
    with Raw(port) as found:
        yield found


def denied(answer: dict[str, Any]) -> bool:
    return "rbac" in answer.get("errmsg", "")


def test_another_login_under_the_same_id_names_no_other_user(raw: Raw) -> None:
    raw.send(message(7, raw.begin("ann", "pencil")), message(7, start(b"n,,n=root,r=abcdefgh")))
    assert (raw.receive()["done"], raw.receive()["done"]) == (True, False)
    assert denied(raw.ask(SECRETS))


def test_a_command_right_behind_the_end_of_a_login_is_the_users(raw: Raw) -> None:
    raw.send(message(7, raw.begin("ann", "pencil")), message(8, SECRETS))
    assert raw.receive()["done"]
    assert denied(raw.receive())


def test_a_login_that_wants_no_answer_ends_the_connection(raw: Raw) -> None:
    raw.send(message(7, raw.begin("ann", "pencil"), flags=2))
    with pytest.raises((EOFError, ConnectionResetError)):
        raw.ask(SECRETS)


@pytest.mark.parametrize("database", ["other", "admin"])
def test_a_user_who_has_not_left_is_still_there(raw: Raw, database: str) -> None:
    assert raw.ask(raw.begin("ann", "pencil"))["done"]
    assert raw.ask({"logout": 1, "$db": database})["ok"]
    refused = raw.ask(SECRETS)
    assert denied(refused) if database == "other" else refused["codeName"] == "Unauthorized"
