"""
A load of MongoDB, run as a program: `mongo_load.py FOLDER PORT fill DOCUMENTS`, or `... find|insert CLIENTS SECONDS`.

FOLDER has pymongo. It prints, as JSON, how many commands were answered well, and the errors. Lives here: that. Does
not: what starts it (`loads`).
"""

from __future__ import annotations

import json
import sys
import threading
import time


def main() -> None:
    folder, port, what, number, *more = sys.argv[1:]
    sys.path.append(folder)
    import pymongo

    def connect() -> pymongo.MongoClient:
        uri = f"mongodb://app:secret@127.0.0.1:{port}/?authSource=admin"
        return pymongo.MongoClient(uri, directConnection=True, maxPoolSize=1, serverSelectionTimeoutMS=10_000)

    if what == "fill":
        admin = pymongo.MongoClient("127.0.0.1", int(port), directConnection=True)
        admin.admin.command("createUser", "app", pwd="secret", roles=["root"])
        admin.bench.things.insert_many({"_id": each, "text": "x" * 64} for each in range(int(number)))
        return

    seconds = float(more[0])
    begin = threading.Barrier(int(number))
    counts: list[int] = []
    errors: list[str] = []

    def client(number: int) -> None:
        count = 0
        try:
            things = connect().bench.things
            things.find_one({"_id": 0})
            begin.wait()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if what == "find":
                    found = things.find_one({"_id": (number * 997 + count) % 10_000})
                    assert found is not None
                else:
                    things.insert_one({"_id": f"{time.monotonic_ns()}-{number}", "text": "x" * 64})
                count += 1
        except (pymongo.errors.PyMongoError, AssertionError, threading.BrokenBarrierError) as error:
            errors.append(repr(error)[:200])
            begin.abort()
        counts.append(count)

    threads = [threading.Thread(target=client, args=(each,)) for each in range(int(number))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print(json.dumps({"queries": sum(counts), "errors": errors}))


if __name__ == "__main__":
    main()
