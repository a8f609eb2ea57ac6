"""
What drivers of MongoDB do without saying so, message by message: the hello of old, a login within a hello, answers that
go on by themselves.

Lives here: a client that is no driver, before a real mongod with users: where logins pass, and where they end at the
proxy. Does not: what drivers make of it (test_mongodb.py, test_mongodb_users.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from catalogue import Start
from mongodb_peers import client, server
from proxied import Proxy, cluster, listener
from raw_mongodb import Raw, message, old_query, start
from running import eventually, free_port

from metaproxy.codecs.scram import ScramClient

pytestmark = pytest.mark.peer("mongod", "pymongo")
HELLO = {"hello": 1, "$db": "admin"}
EXHAUST = 1 << 16
PASSWORD = {"user": "app", "password": {"secret": "app"}}


class Ports(NamedTuple):
    """passing: logins pass; users: they end at the proxy. log: what was asked where they pass."""

    passing: int
    users: int
    log: Path


@pytest.fixture(scope="module")
def ports(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Ports:
    folder = tmp_path_factory.mktemp("mongod")
    mongod, passing, users = server(start, folder, "--auth"), free_port(), free_port()
    with closing(client(mongod)) as admin:
        admin.admin.command("createUser", "app", pwd="pencil", roles=["root"])
    with closing(client(mongod, username="app", password="pencil")) as admin:
        admin.shop.orders.insert_many([{"_id": number} for number in range(100)])
    log = folder / "access.log"
    own = {"name": "mongodb", "users": {"app": {"secret": "app"}}}
    logs = [{"file": str(log), "fields": {"command": "%REQ(command)%", "application": "%REQ(application)%"}}]
    shared_proxy(
        {
            "secrets": {"app": {"value": "pencil"}},
            "listeners": [
                listener("passing", passing, "mongodb", [{"cluster": "passing"}], access_log=logs),
                listener("users", users, own, [{"cluster": "users"}]),
            ],
            "clusters": [cluster("passing", mongod), cluster("users", mongod, credentials=PASSWORD)],
        }
    )
    return Ports(passing, users, log)


@pytest.fixture(params=["passing", "users"])
def raw(ports: Ports, request: pytest.FixtureRequest) -> Iterator[Raw]:
    with Raw(getattr(ports, request.param)) as found:
        yield found


@pytest.mark.parametrize("name", ["isMaster", "ismaster"])
def test_a_hello_of_old_has_an_answer_of_old(raw: Raw, name: str) -> None:
    """And what follows is OP_MSG."""
    raw.send(old_query(5, {name: 1, "helloOk": True}))
    said = raw.receive()
    assert (raw.code, raw.to, said["ismaster"], said["helloOk"], said["ok"]) == (1, 5, True, True, 1.0)
    assert said["maxWireVersion"] >= 13
    assert (raw.ask(HELLO)["isWritablePrimary"], raw.code) == (True, 2013)


def test_no_other_command_comes_in_the_old_way(raw: Raw) -> None:
    raw.send(old_query(5, {"ping": 1}))
    assert (raw.receive()["codeName"], raw.code, raw.to) == ("UnsupportedOpQueryCommand", 1, 5)
    assert raw.ask(HELLO)["ok"]


def within_hello(raw: Raw, password: str, mechanism: str = "SCRAM-SHA-256") -> dict[str, Any]:
    """The last answer of a login that begins in a hello."""
    scram = ScramClient(mechanism, "app", password)
    begun = {**start(scram.first()), "mechanism": mechanism, "options": {"skipEmptyExchange": True}}
    begun["db"] = begun.pop("$db")
    said = raw.ask({**HELLO, "saslSupportedMechs": "admin.app", "speculativeAuthenticate": begun})
    assert "SCRAM-SHA-256" in said["saslSupportedMechs"]
    answered = said["speculativeAuthenticate"]
    assert (answered["done"], answered["conversationId"]) == (False, 1)
    final = scram.final(answered["payload"])
    return raw.ask({"saslContinue": 1, "conversationId": 1, "payload": final, "$db": "admin"})


def test_a_login_within_a_hello_needs_one_step_more(raw: Raw) -> None:
    assert within_hello(raw, "pencil")["done"]
    assert raw.ask({"count": "orders", "$db": "shop"})["n"] == 100


def test_a_login_within_a_hello_needs_the_password(raw: Raw) -> None:
    assert within_hello(raw, "pen")["codeName"] == "AuthenticationFailed"
    assert raw.ask({"count": "orders", "$db": "shop"})["codeName"] == "Unauthorized"


def test_a_driver_logs_in_within_its_hello(ports: Ports) -> None:
    with closing(client(ports.passing, username="app", password="pencil", appname="within")) as found:
        found.shop.orders.find_one()

    def commands() -> list[str]:
        lines = [json.loads(line) for line in ports.log.read_text().splitlines()] if ports.log.exists() else []
        return [line["command"] for line in lines if line["application"] == "within"]

    assert eventually(lambda: "find" in commands())
    assert "saslContinue" in commands() and "saslStart" not in commands()


def test_the_answers_of_an_exhaust_cursor_come_by_themselves(raw: Raw) -> None:
    within_hello(raw, "pencil")
    first = raw.ask({"find": "orders", "batchSize": 10, "$db": "shop"})["cursor"]
    more = {"getMore": first["id"], "collection": "orders", "batchSize": 30, "$db": "shop"}
    raw.send(message(50, more, EXHAUST), message(51, {"ping": 1, "$db": "admin"}))
    found, before = [], 50
    while True:
        found.append(len(raw.receive()["cursor"]["nextBatch"]))
        assert raw.to == before, "each answers the one before it"
        before = raw.id
        if not raw.more:
            break
    assert sum(found) == 90 and len(found) >= 3
    assert (raw.receive()["ok"], raw.to) == (1.0, 51)


def test_a_hello_is_answered_over_and_over(ports: Ports) -> None:
    with Raw(ports.passing) as raw:
        version = raw.ask(HELLO)["topologyVersion"]
        raw.send(message(50, {**HELLO, "topologyVersion": version, "maxAwaitTimeMS": 100}, EXHAUST))
        before = 50
        for _ in range(3):
            assert raw.receive()["isWritablePrimary"]
            assert (raw.more, raw.to) == (True, before)
            before = raw.id
