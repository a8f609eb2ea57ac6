"""
What else acts on MongoDB's commands, with pymongo and real servers: mirrors, recordings, the tap, limits, faults, kept
answers, retries, statements.

Lives here: that each of these does with commands what it does with requests of any protocol. Does not: logins, replica
sets (test_mongodb_users.py).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from catalogue import Start
from mongodb_peers import client, server
from proxied import Proxy, cluster, listener
from running import eventually, free_port

pytestmark = pytest.mark.peer("mongod", "pymongo")
SECRET = "hunter2"
"""A value that commands have, and that statements may not show."""
FAULTS: list[dict[str, Any]] = [
    {"match": {"comment": "denied"}, "error": {"kind": "denied", "message": "not today"}},
    {"match": {"comment": "late"}, "delay": "300ms"},
    {"match": {"comment": "gone"}, "reset": True},
]
LIMIT = {"limit": 5, "per": "1h", "match": {"collection": "limited"}, "key": ["application"]}


class Shop(NamedTuple):
    """passing: logins pass; shared: clients share connections, reads are mirrored; main, shadow: the servers."""

    proxy: Proxy
    passing: int
    shared: int
    main: int
    shadow: int
    log: Path


def _filters() -> list[dict[str, Any]]:
    deny = {"action": "deny", "permissions": [{"command": "dropDatabase"}]}
    return [
        {"rbac": {"policies": {"kept": deny}}},
        {"local_rate_limit": {"conditions": [LIMIT]}},
        {"fault": {"faults": [{"percentage": 100, **one} for one in FAULTS]}},
    ]


@pytest.fixture(scope="module")
def shop(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("mongod")
    main, shadow = server(start, folder), server(start, folder)
    passing, shared = free_port(), free_port()
    mirror = {"mirror": {"cluster": "shadow", "compare": True}}
    routes = [
        {"match": {"collection": "kept"}, "cluster": "main", "cache": "1h"},
        {"match": {"collection": "retried"}, "cluster": "both", "retry": {"attempts": 3, "on": ["connect"]}},
        {"cluster": "main", **mirror},
    ]
    log = folder / "access.log"
    options = {"filters": _filters(), "statements": True}
    proxy = shared_proxy(
        {
            "record": {"folder": str(folder / "recordings")},
            "listeners": [
                listener("passing", passing, "mongodb", [{"cluster": "passing"}], **options),
                listener(
                    "shared",
                    shared,
                    {"name": "mongodb", "mode": "shared"},
                    routes,
                    access_log=[{"file": str(log), "format": "json"}],
                    **options,
                ),
            ],
            "clusters": [
                cluster("passing", main),
                cluster("main", main),
                cluster("shadow", shadow),
                cluster("both", main, free_port()),
            ],
        }
    )
    return Shop(proxy, passing, shared, main, shadow, log)


@pytest.fixture(params=["passing", "shared"])
def app(shop: Shop, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client of either listener."""
    with closing(client(getattr(shop, request.param), appname="shop", retryReads=False)) as found:
        yield found


@pytest.fixture
def shared(shop: Shop) -> Iterator[Any]:
    with closing(client(shop.shared, appname="shop", retryReads=False)) as found:
        yield found


def test_faults_are_errors_delays_and_lost_connections(app: Any) -> None:
    from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

    orders = app.shop.orders
    with pytest.raises(OperationFailure) as caught:
        orders.find_one({}, comment="denied")
    assert (caught.value.code, "not today" in str(caught.value)) == (13, True)
    before = time.monotonic()
    orders.find_one({}, comment="late")
    assert time.monotonic() - before > 0.28
    with pytest.raises(PyMongoError) as lost:
        orders.find_one({}, comment="gone")
    error: Any = lost.value
    assert isinstance(error, AutoReconnect) or error.code == 9001
    orders.find_one({})


def test_policies_refuse_commands(app: Any) -> None:
    from pymongo.errors import OperationFailure

    with pytest.raises(OperationFailure) as caught:
        app.drop_database("shop")
    assert caught.value.code == 13


def test_a_limit_is_an_error_on_which_newer_drivers_slow_down(shared: Any) -> None:
    from pymongo.errors import OperationFailure

    with pytest.raises(OperationFailure) as caught:
        for _ in range(20):
            shared.shop.limited.find_one({})
    assert caught.value.code == 462
    assert caught.value.has_error_label("SystemOverloadedError")


def test_reads_are_mirrored_and_their_answers_compared(shop: Shop, shared: Any) -> None:
    with closing(client(shop.shadow)) as shadow, closing(client(shop.main)) as main:
        for each in (main, shadow):  # not through the proxy, which would copy it to the other
            each.shop.mirrored.drop()
            each.shop.mirrored.insert_many([{"_id": number, "item": "x"} for number in range(200)])
        compared = shop.proxy.counted("metaproxy_mirror_compared_total")
        differed = shop.proxy.counted("metaproxy_mirror_differences_total")
        for number in range(10):
            assert shared.shop.mirrored.find_one({"_id": number})
        list(shared.shop.mirrored.find({}).batch_size(20).limit(20))
        assert eventually(lambda: shop.proxy.counted("metaproxy_mirror_compared_total") >= compared + 11)
        assert shop.proxy.counted("metaproxy_mirror_differences_total") == differed
        shadow.shop.mirrored.update_one({"_id": 3}, {"$set": {"item": "y"}})
        assert shared.shop.mirrored.find_one({"_id": 3})["item"] == "x"
        assert eventually(lambda: shop.proxy.counted("metaproxy_mirror_differences_total") == differed + 1)


def test_writes_are_mirrored_too(shop: Shop, shared: Any) -> None:
    shared.shop.written.drop()
    shared.shop.written.insert_one({"_id": 1})
    with closing(client(shop.shadow)) as shadow:
        assert eventually(lambda: shadow.shop.written.find_one({"_id": 1}))


def test_a_recording_is_answered_the_same_by_the_same_data_and_not_by_others(shop: Shop, app: Any) -> None:
    with closing(client(shop.main)) as main:
        main.shop.recorded.drop()
        main.shop.recorded.insert_many([{"_id": number} for number in range(50)])
    app.admin.command("ping")
    told = shop.proxy.command("record", "--detach", f"tape-{time.time_ns()}.jsonl", "--json")
    for number in range(20):
        app.shop.recorded.find_one({"_id": number})
    assert app.shop.recorded.count_documents({}) == 50
    app.shop.recorded.insert_one({"_id": 1000})
    file = Path(json.loads(shop.proxy.command("record", "--stop", "--json"))["file"])
    assert eventually(lambda: '{"end": ' in file.read_text()), told
    with closing(client(shop.main)) as main:
        main.shop.recorded.delete_one({"_id": 1000})
    to = ("--to", f"127.0.0.1:{shop.main}", "--compare", "--speed", "max", "--json")
    again = json.loads(shop.proxy.command("replay", file, *to))
    assert (again["differences"], again["failed"]) == ([], [])
    assert again["compared"] >= 22
    second = json.loads(shop.proxy.command("replay", file, *to, expect=1))  # the document is there now
    assert {one["operation"] for one in second["differences"]} >= {"insert shop.recorded"}


def test_the_tap_shows_commands_as_they_end(shop: Shop, app: Any) -> None:
    lines: list[str] = []

    def look() -> None:
        lines.extend(shop.proxy.command("tap", "--match", "collection=tapped", "--limit", "2", "--json").splitlines())

    looking = threading.Thread(target=look)
    looking.start()
    assert eventually(lambda: app.shop.tapped.find_one({}, comment="why") or not looking.is_alive(), 10, 0.2)
    looking.join(10)
    line = json.loads(lines[0])
    request = line["request"]["metadata"]
    assert (request["command"], request["database"], request["application"]) == ("find", "shop", "shop")
    assert request["comment"] == "why"


def test_the_access_log_names_commands(shop: Shop, shared: Any) -> None:
    shared.shop.logged.insert_one({"_id": time.time()})

    def found() -> list[Any]:
        lines = [json.loads(line) for line in shop.log.read_text().splitlines()]
        return [line for line in lines if line.get("operation") == "insert shop.logged"]

    assert eventually(found)
    assert found()[0]["outcome"] == "ok"


def test_answers_are_kept_for_a_time(shop: Shop, shared: Any) -> None:
    shared.shop.kept.drop()
    shared.shop.kept.insert_one({"_id": 1, "price": 5})
    assert shared.shop.kept.find_one({"_id": 1})["price"] == 5
    with closing(client(shop.main)) as main:
        main.shop.kept.update_one({"_id": 1}, {"$set": {"price": 6}})
    assert shared.shop.kept.find_one({"_id": 1})["price"] == 5
    assert shared.shop.kept.find_one({"_id": 1, "price": {"$gt": 0}})["price"] == 6


def test_what_was_not_sent_is_tried_elsewhere(shop: Shop, shared: Any) -> None:
    for _ in range(10):
        shared.shop.retried.insert_one({})
    assert shop.proxy.counted("metaproxy_exchange_retries_total") > 0


def test_statements_are_counted_by_their_shape_without_a_value(shop: Shop, app: Any) -> None:
    from pymongo.errors import OperationFailure

    buys = app.shop.buys
    buys.drop()
    buys.insert_many([{"_id": number, "who": SECRET} for number in range(150)])
    for number in range(20):
        buys.find_one({"who": SECRET, "_id": {"$gt": number}})
    assert len(list(buys.find({"who": SECRET}, batch_size=50))) == 150
    with pytest.raises(OperationFailure):
        list(buys.aggregate([{"$nothing": {"who": SECRET}}]))
    name = "passing" if app.address[1] == shop.passing else "shared"
    found = shop.proxy.admin(f"/statements?count=false&listener={name}")["statements"]
    rows = {row["text"]: row for row in found}
    shape = "find shop.buys filter:{who:?,_id:{$gt:?}} limit:? singleBatch:?"
    assert shape in rows, sorted(rows)
    assert (rows[shape]["calls"], rows[shape]["rows"], rows[shape]["database"]) == (20, 20, "shop")
    assert rows["insert shop.buys"]["rows"] == 150
    (more,) = (row for text, row in rows.items() if text.startswith("getMore shop.buys"))
    assert more["rows"] == 100
    (failed,) = (row for row in found if "$nothing" in row["text"])
    assert failed["outcomes"] == {"error": 1}
    text = shop.proxy.command("top", "--statements", "--sort", "calls")
    assert "find shop.buys filter:{who:?,_id:{$gt:?}}" in text
    assert SECRET not in text


def test_rows_of_large_answers_and_of_exhaust_cursors_are_counted(shop: Shop, app: Any) -> None:
    from pymongo import CursorType

    wide = app.shop.wide
    wide.drop()
    wide.insert_many([{"_id": number, "data": "x" * 1000} for number in range(4000)])
    assert len(list(wide.find({}, batch_size=3000))) == 4000  # 3 MB, 1 MB
    assert len(list(wide.find({"_id": {"$gte": 0}}, batch_size=500, cursor_type=CursorType.EXHAUST))) == 4000
    name = "passing" if app.address[1] == shop.passing else "shared"
    found = shop.proxy.admin(f"/statements?count=false&listener={name}")["statements"]
    rows = {row["text"]: row["rows"] for row in found if " shop.wide" in row["text"]}
    first = {text: count for text, count in rows.items() if text.startswith("find")}
    assert sorted(first.values()) == [500, 3000], rows
    assert sum(count for text, count in rows.items() if not text.startswith(("insert", "drop"))) == 8000, rows
