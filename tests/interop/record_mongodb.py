"""
What is recorded of MongoDB: pymongo and a mongod, each connection of a client an exchange of its own.

Lives here: the calls. Does not: the relay (capture.py), where the files go (record.py runs this).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import catalogue
from capture import Relay, mongodb_frames, save
from running import PEERS, Program, free_port


def mongodb() -> None:
    sys.path.append(str(PEERS / "python" / "main"))
    port = free_port()
    folder = Path(tempfile.mkdtemp())
    command = catalogue.mongod(port, folder)
    server = Program(command.argv, folder / "log", command.env, command.ready)
    try:
        exchanges = [one for what, run in CALLS for one in _connections(port, what, run)]
    finally:
        server.stop()
    save("mongodb/pymongo.json", f"{catalogue.version('pymongo')} -> {catalogue.version('mongod')}", exchanges)


def _connections(port: int, what: str, run: Callable[[Any], None]) -> list[dict[str, Any]]:
    import pymongo

    relay = Relay(port)
    client: Any = pymongo.MongoClient("127.0.0.1", relay.port, appname="shop", heartbeatFrequencyMS=500)
    with client:
        run(client)
        time.sleep(0.7)  # a hello that the server answers by itself after half a second
    relay.close()
    return [
        {"what": f"{what}: connection {number}", "frames": mongodb_frames(reads)}
        for number, reads in enumerate(relay.connections)
        if reads
    ]


def _commands(client: Any) -> None:
    import pymongo

    orders = client.shop.orders
    orders.drop()
    orders.insert_many([{"_id": number, "item": "\u00e9"} for number in range(30)], comment="filling")
    orders.update_one({"_id": 1}, {"$set": {"item": "b"}})
    with suppress(pymongo.errors.DuplicateKeyError):
        orders.insert_one({"_id": 1})
    with suppress(pymongo.errors.OperationFailure):
        client.shop.command("nope")
    list(orders.find({}, batch_size=10, comment="reading"))
    list(client.shop.get_collection("orders", read_preference=pymongo.ReadPreference.NEAREST).aggregate([]))
    client.shop.get_collection("orders", write_concern=pymongo.WriteConcern(0)).insert_one({"_id": 99})
    orders.find_one({"_id": 99})
    list(orders.find({}, batch_size=10, cursor_type=pymongo.CursorType.EXHAUST))


CALLS: list[tuple[str, Callable[[Any], None]]] = [("commands, a write without an answer, exhaust", _commands)]
