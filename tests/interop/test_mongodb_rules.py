"""
What rules know of a client of MongoDB is true of it at the server, whatever it sends: who has logged in, and which
collections a command is about.

Lives here: clients that are no driver, before a real mongod with users, which the proxy's rules hold for. Does not:
what rules do with commands of drivers (test_mongodb_traffic.py).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from catalogue import Start
from mongodb_peers import client, server
from proxied import Proxy, cluster, listener
from raw_mongodb import Raw, message, start
from running import free_port

from metaproxy.codecs.mongodb import MongoDB
from metaproxy.codecs.scram import ScramClient
from metaproxy.message import Side

pytestmark = pytest.mark.peer("mongod", "pymongo")
ABOUT_ANY = {
    "applyOps", "cloneCollectionAsCapped", "dropDatabase", "explain", "filemd5", "mapReduce", "validateDBMetadata",
    "abortShardSplit", "autoSplitVector", "commitShardSplit",
    "donorAbortMigration", "donorForgetMigration", "donorStartMigration", "forgetShardSplit",
    "internalRenameIfOptionsAndIndexesMatch", "recipientForgetMigration", "recipientSyncData",
    "recipientVoteImportedFiles", "setShardVersion", "voteCommitIndexBuild",
}  # fmt: skip
"""Of an explain it is what is explained; behind the first line: commands of servers among each other."""
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


def test_a_user_is_known_who_says_so_in_base64(raw: Raw) -> None:
    scram = ScramClient("SCRAM-SHA-256", "ann", "pencil")
    first = {**start(b""), "payload": base64.b64encode(scram.first()).decode()}
    said = raw.ask({**first, "options": {"skipEmptyExchange": True}})
    payload = said["payload"]
    answer = scram.final(base64.b64decode(payload) if isinstance(payload, str) else payload)
    final = {"saslContinue": 1, "conversationId": 1, "payload": base64.b64encode(answer).decode(), "$db": "admin"}
    assert raw.ask(final)["done"]
    assert denied(raw.ask(SECRETS))


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


@pytest.fixture
def ann(raw: Raw) -> Raw:
    assert raw.ask(raw.begin("ann", "pencil"))["done"]
    return raw


@pytest.mark.parametrize(
    "fields",
    [
        {"create": "view", "viewOn": "secrets", "pipeline": []},
        {"create": "view", "viewOn": "orders", "pipeline": [{"$unionWith": "secrets"}]},
        {"collMod": "orders", "viewOn": "secrets", "pipeline": []},
        {"aggregate": "orders", "pipeline": [{"$facet": {"x": [{"$lookup": {"from": "secrets", "as": "x"}}]}}]},
        {"aggregate": "orders", "pipeline": [{"$out": "secrets"}]},
        {"explain": {"aggregate": "orders", "pipeline": [{"$unionWith": {"coll": "secrets"}}], "cursor": {}}},
        {"aggregate": 1, "pipeline": [{"$changeStream": {}}]},
        {"renameCollection": "shop.secrets", "to": "shop.open", "$db": "admin"},
        {"dataSize": "shop.secrets", "$db": "admin"},
        {"mapReduce": "secrets", "out": {"inline": 1}},
        {"applyOps": [{"op": "n", "ns": "shop.secrets", "o": {}}]},
        {"dropDatabase": 1},
    ],
)
def test_a_collection_that_is_denied_is_reached_by_no_other_command(ann: Raw, fields: dict[str, Any]) -> None:
    assert denied(ann.ask({"cursor": {}, **fields, "$db": fields.get("$db", "shop")}))


def test_a_collection_that_is_denied_is_not_reached_by_its_uuid(ann: Raw) -> None:
    listed = ann.ask({"listCollections": 1, "filter": {"name": "secrets"}, "$db": "shop"})
    uuid = listed["cursor"]["firstBatch"][0]["info"]["uuid"]
    assert denied(ann.ask({"find": uuid, "$db": "shop"}))


def test_other_collections_are_reached(ann: Raw) -> None:
    """Also by commands that name several."""
    stages = [{"$lookup": {"from": "others", "localField": "_id", "foreignField": "_id", "as": "x"}}]
    found = ann.ask({"aggregate": "orders", "pipeline": stages, "cursor": {}, "$db": "shop"})
    assert found["cursor"]["firstBatch"] == [{"_id": 1, "x": []}]
    assert ann.ask({"dataSize": "shop.orders", "$db": "admin"})["ok"]


def test_the_commands_of_a_server_are_known(ann: Raw) -> None:
    """What is not known may be about any collection, so that rules on one deny it: of the server's own, only these."""
    session = MongoDB().session(Side.CLIENT, 1 << 22)

    def about_any(name: str) -> bool:
        (asked,) = session.receive(message(7, {name: "shop.a", "collection": "a", "$db": "shop"}))
        return asked.values("collection") == ()

    listed = ann.ask({"listCommands": 1, "$db": "admin"})["commands"]
    logins = ("authenticate", "logout", "saslContinue", "saslStart")
    own = [name for name in listed if name not in logins and not name.startswith("_")]
    assert len(own) > 150
    assert {name for name in own if about_any(name)} == ABOUT_ANY


def test_a_command_has_one_name_for_rules_whatever_a_server_calls_it_as_well(raw: Raw) -> None:
    """Each command that a server lists is tried in small letters; the server does not list what else it knows."""
    assert raw.ask(raw.begin("root", "toor"))["done"], "whom nothing is denied"
    listed = raw.ask({"listCommands": 1, "$db": "admin"})["commands"]
    others = {name.lower(): name for name in listed if name.lower() not in listed}
    answers = {name: raw.ask({name: "x", "$db": "other"}) for name in others}
    known = {name: others[name] for name in others if answers[name].get("codeName") != "CommandNotFound"}
    assert {"findandmodify", "mapreduce"} <= known.keys()
    session = MongoDB().session(Side.CLIENT, 1 << 22)
    for spelled, name in known.items():
        (asked,) = session.receive(message(7, {spelled: "x", "$db": "other"}))
        assert asked.get("command") == name
