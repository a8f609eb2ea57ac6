"""
Drivers that compress what they send: the proxy unpacks it, and compresses answers.

Lives here: Go's driver with each compressor, the others with zlib; large messages; checksums, which no driver sends.
Does not: the bytes (tests/unit/codecs/test_mongodb_compressed.py).
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

import catalogue
import pytest
from bson import decode, encode
from catalogue import Start
from mongodb_peers import client, server
from proxied import Proxy, cluster, listener
from running import free_port

from metaproxy.codecs.mongodb.wire import crc32c

pytestmark = pytest.mark.peer("mongod", "pymongo")
DRIVERS = [("mongodb-go", "zstd"), ("mongodb-go", "snappy"), ("mongodb-go", "zlib")]
DRIVERS += [("mongodb-node", "zlib"), ("mongodb-java", "zlib")]


class Shop(NamedTuple):
    """passing: logins pass; ending: they end at the proxy; plain: nothing is offered."""

    proxy: Proxy
    passing: int
    ending: int
    plain: int


@pytest.fixture(scope="module")
def shop(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    port = server(start, tmp_path_factory.mktemp("mongod"))
    ports = [free_port() for _ in range(3)]
    offers = {"name": "mongodb", "compressors": ["zstd", "snappy", "zlib"]}
    deny = {"action": "deny", "permissions": [{"command": "drop", "collection": "kept"}]}
    filters = [{"rbac": {"policies": {"kept": deny}}}]
    ending = {**offers, "users": {"app": "pencil"}}
    proxy = shared_proxy(
        {
            "listeners": [
                listener("passing", ports[0], offers, [{"cluster": "passing"}], filters=filters),
                listener("ending", ports[1], ending, [{"cluster": "ending"}], filters=filters),
                listener("plain", ports[2], "mongodb", [{"cluster": "passing"}], filters=filters),
            ],
            "clusters": [cluster("passing", port), cluster("ending", port)],
        }
    )
    return Shop(proxy, *ports)


def carried(shop: Shop, where: str) -> tuple[int, int]:
    """Bytes that a listener has received and sent."""
    stats = [(name, value) for name, value in shop.proxy.stats().items() if f'listener="{where}"' in name]
    received, sent = (
        int(sum(value for name, value in stats if name.startswith(f"metaproxy_listener_{way}_bytes_total{{")))
        for way in ("received", "sent")
    )
    return received, sent


@pytest.mark.parametrize("where", ["passing", "ending", "plain"])
@pytest.mark.parametrize(
    ("driver", "compressor"), [pytest.param(*one, marks=pytest.mark.peer(one[0])) for one in DRIVERS]
)
def test_drivers_compress_where_it_is_offered(shop: Shop, driver: str, compressor: str, where: str) -> None:
    """What they do holds a value of 3 MB, which they write and read."""
    login = "app:pencil@" if where == "ending" else ""
    uri = f"mongodb://{login}127.0.0.1:{getattr(shop, where)}/?compressors={compressor}"
    before = carried(shop, where)
    command = catalogue.mongodb_driver(driver, uri, replica_set=False)
    ran = subprocess.run(command.argv, env={**os.environ, **command.env}, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "found": 300, "updated": 10, "unknown": "CommandNotFound", "denied": "Unauthorized", "large": 1000,
        "read": 3_000_000, "committed": False,
    }  # fmt: skip
    received = carried(shop, where)[0] - before[0]
    assert (received < 500_000) == (where != "plain")


@pytest.mark.parametrize("compressor", ["zlib", "zstd"])
def test_48_mb_pass_in_little_memory(shop: Shop, compressor: str) -> None:
    with closing(client(shop.passing, compressors=compressor)) as found:
        large = found.shop.large
        large.drop()
        texts = [os.urandom(7_900_000).hex() for _ in range(3)]  # half of it is compressed away
        before, memory = carried(shop, "passing")[0], shop.proxy.memory()
        shop.proxy.forget_peak()
        large.insert_many([{"_id": number, "data": text} for number, text in enumerate(texts)])
        received = carried(shop, "passing")[0] - before
        assert [one["data"] for one in large.find().sort("_id")] == texts
        assert shop.proxy.peak() - memory < 40 << 20
        assert 22_000_000 < received < 32_000_000
        large.drop()


def test_answers_are_compressed_up_to_what_is_kept_whole(shop: Shop) -> None:
    with closing(client(shop.passing, compressors="zlib")) as found:
        found.shop.answers.drop()
        found.shop.answers.insert_one({"_id": 1, "data": "x" * 900_000})
        before = carried(shop, "passing")[1]
        assert len(found.shop.answers.find_one({"_id": 1})["data"]) == 900_000
        assert carried(shop, "passing")[1] - before < 50_000


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


@pytest.mark.parametrize("where", ["plain", "ending"])
def test_checksums_are_verified_by_the_server_and_hold_for_the_client(shop: Shop, where: str) -> None:
    port = shop.plain if where == "plain" else shop.ending

    def ask(connection: socket.socket, id: int, document: dict[str, Any], broken: int = 0) -> dict[str, Any]:
        """The answer's document. The answer to a command with a checksum has one as well."""
        body = struct.pack("<I", 1) + b"\0" + encode(document)
        frame = struct.pack("<iiii", 20 + len(body), id, 0, 2013) + body
        connection.sendall(frame + struct.pack("<I", crc32c(frame) ^ broken))
        head = _exactly(connection, 16)
        rest = _exactly(connection, struct.unpack_from("<i", head)[0] - 16)
        assert struct.unpack_from("<iii", head, 4)[1:] == (id, 2013)
        if rest[0] & 1:
            assert crc32c(head + rest[:-4]) == struct.unpack("<I", rest[-4:])[0]
            rest = rest[:-4]
        found: dict[str, Any] = decode(rest[5:])
        return {**found, "checked": bool(struct.unpack_from("<I", rest)[0] & 1)}

    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        if where == "plain":
            for id in (7, 4_000, 70_000):
                answer = ask(connection, id, {"buildInfo": 1, "$db": "admin"})
                assert (answer["ok"], answer["checked"]) == (1.0, True)
            with pytest.raises((OSError, EOFError)):
                connection.settimeout(2)
                assert ask(connection, 70_001, {"buildInfo": 1, "$db": "admin"}, broken=1)["ok"] == 1.0
        else:
            assert ask(connection, 7, {"buildInfo": 1, "$db": "admin"})["code"] == 13
