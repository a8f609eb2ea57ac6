"""
Records golden bytes of real peers: `python tests/interop/record.py [dubbo|thrift|redis|brpc|trpc|mongodb|kafka|...]`,
after tests/interop/install.

Lives here: which calls of which peers are recorded. Run by hand when a peer's version changes; the files are committed.
Does not: the relay and the files' form (capture.py).
"""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import catalogue
import rpc_peers
from capture import Frames, brpc_frames, dubbo_frames, exchange, redis_frames, save, thrift_frames, trpc_frames
from record_kafka import kafka
from record_mongodb import mongodb
from record_rabbitmq import rabbitmq
from running import PEERS, Jobs, Program, answers, free_port

PERSON = {
    "name": "Ann",
    "age": 30,
    "ratio": 0.5,
    "active": True,
    "address": {"city": "K\u00f6ln"},
    "tags": ["a", "b"],
    "sums": {"x": 5000000000, "y": -1},
}
ITEM = {
    "name": "thing \u00e9\u20ac",
    "count": -70000,
    "on": True,
    "small": -5,
    "medium": -300,
    "large": 1 << 40,
    "ratio": -0.1,
    "raw": "\x00\xff",
    "flags": [True, False, True],
    "numbers": [1, 300000],
    "sums": {"a": [1, -1], "b": []},
    "inner": {"name": "in", "counts": [5]},
}


@contextmanager
def client_of(command: catalogue.Command) -> Iterator[Jobs]:
    jobs = Jobs(command.argv, Path(tempfile.mkstemp()[1]), command.env, command.encode)
    try:
        yield jobs
    finally:
        jobs.stop()


@contextmanager
def server_of(command: catalogue.Command, port: int | None = None) -> Iterator[Program]:
    ready = None if port is None else lambda: answers(port)
    program = Program(command.argv, Path(tempfile.mkstemp()[1]), command.env, ready)
    try:
        yield program
    finally:
        program.stop()


def job(port: int, frames: Frames, what: str, jobs: Jobs, **options: Any) -> dict[str, Any]:
    """The exchange that one job makes, which is given the relay's port."""
    return exchange(port, frames, what, lambda relay: jobs.run(port=relay, **options))


DUBBO_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("sayHello('bob'), attachment tenant=t1", {"method": "sayHello", "args": ["bob"], "attachments": {"tenant": "t1"}}),
    ("sayHello of 40 characters beyond ASCII", {"method": "sayHello", "args": ["\u00e9\u20ac\U0001f600x" * 10]}),
    ("add(3, 400000)", {"method": "add", "args": [3, 400000]}),
    ("promote(Person): an object with an object, a list and a map in it", {"method": "promote", "args": [PERSON]}),
    ("attachments(): a map", {"method": "attachments", "attachments": {"tenant": "t1", "n": "7"}}),
    ("fail('why'): the declared exception", {"method": "fail", "args": ["why"]}),
    ("crash('why'): an exception or an error status", {"method": "crash", "args": ["why"]}),
    ("note('n'): one-way where the client can", {"method": "note", "args": ["n"], "oneway": True}),
    ("$echo('x')", {"method": "$echo", "args": ["x"]}),
    ("sayHello('bob') by generic invocation", {"method": "sayHello", "args": ["bob"], "generic": True}),
    ("nothing(): a null result of the npm provider, no such method for Java", {"method": "nothing", "timeout": 500}),
]
ONLY_JAVA = ("$echo('x')", "sayHello('bob') by generic invocation")


def dubbo_job(client: str, server: str, what: str) -> bool:
    """Whether a pair of peers can make the call at all."""
    if what in ONLY_JAVA:
        return client == "java"
    if what.startswith("nothing"):
        return client == "npm" and server != "dubbo-py"  # which does not answer
    if what.startswith("promote"):
        return client in ("java", "npm", "apache") and server in ("java", "npm")
    if what.startswith("attachments"):
        return server != "dubbo-py" and client != "python3-dubbo"
    return not (client == "dubbo-py" and server == "java" and "add" not in what)


def dubbo_pairs() -> list[tuple[str, str, str, str]]:
    """Client, server, serialization and file name of what is recorded: each peer's own pair, and those with Java."""
    pairs = [("java", "java", "hessian2", "java-hessian2"), ("java", "java", "fastjson2", "java-fastjson2")]
    for client in catalogue.DUBBO_CLIENTS:
        for server in catalogue.DUBBO_SERVERS:
            if client != server and (server == "java" or client in ("java", "npm", "dubbo-py")):
                pairs.append((client, server, "hessian2", f"{client}-{server}"))
            elif client == server != "java":
                pairs.append((client, server, "hessian2", client))
    return pairs


def dubbo() -> None:
    port = {peer: free_port() for peer in catalogue.DUBBO_SERVERS}
    with ExitStack() as stack:
        for peer in catalogue.DUBBO_SERVERS:
            stack.enter_context(server_of(catalogue.dubbo_server(peer, "alpha", port[peer])))
        for client, server, serialization, name in dubbo_pairs():
            with client_of(catalogue.dubbo_client(client)) as jobs:
                exchanges = [
                    job(port[server], dubbo_frames, what, jobs, serialization=serialization, calls=[call])
                    for what, call in DUBBO_CALLS
                    if dubbo_job(client, server, what)
                ]
            source = f"{catalogue.version(client)}, {serialization} -> {catalogue.version(server)}"
            save(f"dubbo/{name}.json", source, exchanges)
    dubbo_events()


def dubbo_events() -> None:
    """Heartbeats both ways, and what a provider says before it goes."""
    exchanges = [each for serialization in ("hessian2", "fastjson2") for each in dubbo_event(serialization)]
    save("dubbo/java-events.json", f"{catalogue.version('java')} -> the same", exchanges)


def dubbo_event(serialization: str) -> Iterator[dict[str, Any]]:
    port = free_port()
    # Once it is asked to end it answers what it has begun.
    beating = catalogue.patient(catalogue.dubbo_server("java", "alpha", port, "heartbeat=1000"))
    with client_of(catalogue.dubbo_client("java")) as jobs, server_of(beating) as server:
        calls = [{"method": "sayHello", "args": ["bob"]}, {"method": "slow", "args": [2500]}]
        options = {"serialization": serialization, "parameters": {"heartbeat": "1000"}}
        what = f"{serialization}: sayHello('bob'), slow(2500) with a heartbeat after 1 s of silence"
        yield job(port, dubbo_frames, what, jobs, calls=calls, **options)

        def leave(relay: int) -> None:
            jobs.start(port=relay, calls=[{"method": "slow", "args": [1500]}], serialization=serialization)
            time.sleep(0.8)
            server.signal(signal.SIGTERM)
            jobs.finish()

        what = f"{serialization}: slow(1500); the provider is asked to end in the middle of it"
        yield exchange(port, dubbo_frames, what, leave)


THRIFT_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("sayHello('bob')", {"method": "sayHello", "args": ["bob"], "headers": {"tenant": "t1", "Trace-Id": "abc"}}),
    ("echo(Item): every type", {"method": "echo", "args": [ITEM]}),
    ("ping(): nothing", {"method": "ping"}),
    ("reject('no'): the declared exception", {"method": "reject", "args": ["no"]}),
    ("crash('boom'): an exception that is not declared", {"method": "crash", "args": ["boom"]}),
    ("note('n'): one-way", {"method": "note", "args": ["n"]}),
]


def thrift() -> None:
    for peer in catalogue.THRIFT_SERVERS:
        pairs = catalogue.thrift_pairs(peer)
        cells = [(*pair, mux) for pair in pairs for mux in (False, True)]
        cells = [cell for cell in cells if not cell[2] or (cell[0] != "header" and cell[1] in ("binary", "compact"))]
        ports = {cell: free_port() for cell in cells}
        specs = [
            f"{port}:{transport}:{protocol}" + (":mux" if mux and peer == "js" else "")
            for (transport, protocol, mux), port in ports.items()
        ]
        with (
            server_of(catalogue.thrift_server(peer, "alpha", *specs)),
            client_of(catalogue.thrift_client(peer)) as jobs,
        ):
            for cell in cells:
                thrift_cell(peer, cell, ports[cell], jobs)
            if peer == "py":
                thrift_zlib(ports["header", "binary", False], jobs)


def thrift_cell(peer: str, cell: tuple[str, str, bool], port: int, jobs: Jobs) -> None:
    transport, protocol, mux = cell
    options = {"transport": transport, "protocol": protocol, "mux": mux}
    frames = thrift_frames(transport)
    if peer == "cpp":  # its calls are built in
        what = "sayHello('bob'), add(3, 4), echo(Item), ping(), reject('no'), crash('boom'), note('PORT')"
        exchanges = [job(port, frames, what, jobs, **options)]
    else:
        calls = THRIFT_CALLS[:1] if mux else THRIFT_CALLS
        exchanges = [job(port, frames, what, jobs, calls=[call], **options) for what, call in calls]
        if not mux:
            twice = [THRIFT_CALLS[0][1]] * 2
            exchanges.append(job(port, frames, "sayHello('bob') twice", jobs, calls=twice, **options))
    source = f"{catalogue.version(peer)} -> the same, {transport} {protocol}" + (", multiplexed" if mux else "")
    save(f"thrift/{peer}-{transport}-{protocol}{'-mux' if mux else ''}.json", source, exchanges)


def thrift_zlib(port: int, jobs: Jobs) -> None:
    what, call = THRIFT_CALLS[0]
    options = {"transport": "header", "protocol": "binary", "zlib": True}
    exchanges = [job(port, thrift_frames("header"), what, jobs, calls=[call], **options)]
    source = f"{catalogue.version('py')} -> the same, header binary; requests with the transform zlib"
    save("thrift/py-header-binary-zlib.json", source, exchanges)


class RedisPyCall(Protocol):
    def __call__(self, port: int, resp: int) -> Any: ...


def redis_py_calls() -> list[tuple[str, RedisPyCall]]:
    """What each exchange is, and how redis-py makes it: (port, RESP version)."""
    import redis

    def ordinary(port: int, resp: int) -> None:
        with redis.Redis(port=port, protocol=resp) as r:
            r.flushall()
            r.set("a", "1")
            r.get("a")
            r.get("none")
            r.incr("a")
            r.rpush("l", "x", "y")
            r.lrange("l", 0, -1)
            r.hset("h", mapping={"f": "v", "g": "w"})
            r.hgetall("h")
            r.zadd("z", {"m": 1.5})
            r.zscore("z", "m")
            r.sadd("s", "one")
            r.smembers("s")
            r.exists("a", "none")
            r.mget("a", "none", "h")

    def quiet(port: int, resp: int, **options: Any) -> redis.Redis:
        """Without what the library says about itself on each connection, which the first exchange has."""
        off = redis.maint_notifications.MaintNotificationsConfig(enabled=False)
        about = {"lib_name": None, "lib_version": None, "maint_notifications_config": off}
        return redis.Redis(port=port, protocol=resp, **about, **options)

    def error(port: int, resp: int) -> None:
        with quiet(port, resp) as r:
            r.rpush("l", "x")
            with suppress(redis.ResponseError):
                r.incr("l")
            r.ping()

    def pipeline(port: int, resp: int) -> None:
        with quiet(port, resp) as r:
            p = r.pipeline(transaction=False)
            for i in range(5):
                p.set(f"k{i}", i)
                p.get(f"k{i}")
            p.execute()

    def transaction(port: int, resp: int) -> None:
        with quiet(port, resp) as r, r.pipeline() as p:
            p.watch("c")
            p.multi()
            p.incr("c")
            p.incr("c")
            p.execute()

    def discarded(port: int, resp: int) -> None:
        with quiet(port, resp, single_connection_client=True) as r:
            r.execute_command("MULTI")
            r.execute_command("GET", "a")
            r.execute_command("DISCARD")

    def subscription(port: int, resp: int) -> None:
        with quiet(port, resp) as r, r.pubsub() as sub:
            sub.subscribe("news")
            sub.psubscribe("n*")
            with quiet(_direct[0], 2) as other:
                for _ in range(2):
                    sub.get_message(timeout=1)
                other.publish("news", "hello")
                for _ in range(2):
                    sub.get_message(timeout=1)
            sub.unsubscribe()
            sub.punsubscribe()
            for _ in range(2):
                sub.get_message(timeout=1)

    def blocking(port: int, resp: int) -> None:
        with quiet(port, resp) as r:
            r.rpush("q", "x")
            r.blpop("q", timeout=1)
            r.blpop("q", timeout=0.05)

    def database(port: int, resp: int) -> None:
        with quiet(port, resp, db=3, client_name="me") as r:
            r.set("a", "three")
            r.get("a")

    return [
        ("what the library says about itself, then FLUSHALL and commands of every answer type", ordinary),
        ("an error answer (WRONGTYPE) between others", error),
        ("a pipeline of ten", pipeline),
        ("WATCH, MULTI, INCR, INCR, EXEC", transaction),
        ("MULTI, GET, DISCARD", discarded),
        ("SUBSCRIBE, PSUBSCRIBE, a message, UNSUBSCRIBE, PUNSUBSCRIBE", subscription),
        ("BLPOP with an element, BLPOP that times out", blocking),
        ("SELECT 3, CLIENT SETNAME", database),
    ]


_direct: list[int] = []


def redis() -> None:
    sys.path.append(str(PEERS / "python" / "main"))
    port = free_port()
    _direct[:] = [port]
    server = catalogue.redis_server(port, Path(tempfile.mkdtemp()))
    with server_of(server, port), client_of(catalogue.ioredis_client()) as jobs:
        for resp in (2, 3):
            exchanges = [
                exchange(port, redis_frames, what, partial(call, resp=resp)) for what, call in redis_py_calls()
            ]
            if resp == 3:
                exchanges.append(exchange(port, redis_frames, "CLIENT TRACKING: an invalidation push", tracking))
            source = f"{catalogue.version('redis-py')}, RESP{resp} -> {catalogue.version('redis-server')}"
            save(f"redis/redis-py-resp{resp}.json", source, exchanges)
        exchanges = [job(port, redis_frames, what, jobs, **each) for what, each in IOREDIS_JOBS]
        source = f"{catalogue.version('ioredis')} -> {catalogue.version('redis-server')}"
        save("redis/ioredis.json", source, exchanges)
        exchanges = [exchange(port, redis_frames, "inline commands, one of them empty, one quoted", inline)]
        save("redis/inline.json", f"bytes typed by hand -> {catalogue.version('redis-server')}", exchanges)
    port = free_port()
    with server_of(catalogue.redis_server(port, Path(tempfile.mkdtemp()), "--requirepass", "secret"), port):
        exchanges = [exchange(port, redis_frames, what, run) for what, run in redis_logins()]
        source = f"{catalogue.version('redis-py')} -> {catalogue.version('redis-server')} with requirepass"
        save("redis/login.json", source, exchanges)


IOREDIS_JOBS: list[tuple[str, dict[str, Any]]] = [
    ("SET, GET, an error", {"calls": [["set", "i", "1"], ["get", "i"], ["lpush", "i", "x"]]}),
    ("a pipeline of three", {"mode": "pipeline", "calls": [["set", "i", "1"], ["incr", "i"], ["get", "i"]]}),
    ("MULTI, three, EXEC", {"mode": "multi", "calls": [["set", "i", "1"], ["incr", "i"], ["get", "i"]]}),
]


def tracking(port: int) -> None:
    """A client that hears of a change: the push comes between answers."""
    with (
        socket.create_connection(("127.0.0.1", port)) as client,
        socket.create_connection(("127.0.0.1", _direct[0])) as other,
    ):
        for line in (b"HELLO 3\r\n", b"CLIENT TRACKING ON\r\n", b"SET t 1\r\n", b"GET t\r\n"):
            client.sendall(line)
            client.recv(65536)
        other.sendall(b"SET t 2\r\n")
        other.recv(65536)
        client.recv(65536)  # the push
        client.sendall(b"GET t\r\n")
        client.recv(65536)


def inline(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        for line in (
            b"PING\r\n",
            b'SET in "a b"\r\n',
            b"\r\nGET in\n",
            b"set in 'x\"y'\r\nget in\r\n",
            b"*1\r\n$4\r\nPING\r\n",
        ):
            client.sendall(line)
            client.recv(65536)


def redis_logins() -> list[tuple[str, Callable[[int], Any]]]:
    import redis

    def login(port: int, **options: Any) -> None:
        once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        with redis.Redis(port=port, retry=once, **options) as r, suppress(redis.RedisError):
            r.ping()

    return [
        ("RESP2: AUTH password, PING", lambda p: login(p, protocol=2, password="secret")),
        ("RESP3: HELLO 3 AUTH default password, PING", lambda p: login(p, protocol=3, password="secret")),
        ("RESP2: a wrong password", lambda p: login(p, protocol=2, password="wrong")),
        ("RESP2: no password", lambda p: login(p, protocol=2)),
        ("RESP3: no password", lambda p: login(p, protocol=3)),
    ]


BRPC_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("Echo('hi'), key-value attachment tenant=t1", {"message": "hi", "kv": {"tenant": "t1"}}),
    ("Fail('why'): an exception", {"method": "fail", "message": "why"}),
]
BRPC_JAVA_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("Echo('hi') with an attachment, log_id 7", {"message": "hi", "attachment": "raw \x00\xff", "log_id": 7}),
    ("Nope: a method that the server does not know", {"method": "nope"}),
    ("a service that the server does not know", {"method": "nowhere"}),
]


def brpc() -> None:
    for server in rpc_peers.BRPC_PEERS:
        port = free_port()
        with server_of(rpc_peers.brpc_server(server, "alpha", port)):
            for client in rpc_peers.BRPC_PEERS:
                with client_of(rpc_peers.brpc_client(client)) as jobs:
                    exchanges = brpc_jobs(port, client, server, jobs)
                source = f"{rpc_peers.version(client)} -> {rpc_peers.version(server)}"
                save(f"brpc/{client}-{server}.json", source, exchanges)


def brpc_jobs(port: int, client: str, server: str, jobs: Jobs) -> list[dict[str, Any]]:
    calls = BRPC_CALLS + (BRPC_JAVA_CALLS if client == "brpc" else [])
    exchanges = [job(port, brpc_frames, what, jobs, calls=[call], timeout=500) for what, call in calls]
    if client == "brpc" and server == "starlight":  # which reads no compression of it
        return exchanges
    for compress in ("snappy", "gzip", "zlib"):
        what = f"Echo('hi'), {compress}"
        exchanges.append(job(port, brpc_frames, what, jobs, calls=[{"message": "hi"}], compress=compress))
    return exchanges


TRPC_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("Say('hi'), trans_info tenant=t1", {"message": "hi", "trans_info": {"tenant": "t1"}}),
    ("Say('hi') with an attachment", {"message": "hi", "attachment": "raw \x00\xff"}),
    ("Fail('business'): an error of the function's own", {"method": "fail", "message": "business"}),
    ("Fail('why'): an exception", {"method": "fail", "message": "why"}),
    ("a function that the server does not know", {"method": "nope"}),
]
TRPC_STREAMS: list[tuple[str, dict[str, Any]]] = [
    ("Server: three messages", {"method": "server", "message": "m", "count": 3}),
    ("Server: two messages of 300 bytes", {"method": "server", "message": "m", "count": 2, "size": 300}),
    ("Client: two messages", {"method": "client", "messages": ["a", "b"]}),
    ("Both: two messages", {"method": "both", "messages": ["a", "b"]}),
    ("Both: an error at the second message", {"method": "both", "messages": ["a", "fail"]}),
]


def trpc() -> None:
    port, streams = free_port(), free_port()
    with server_of(rpc_peers.trpc_server("alpha", port, streams)), client_of(rpc_peers.trpc_client()) as jobs:
        exchanges = [job(port, trpc_frames, what, jobs, calls=[call]) for what, call in TRPC_CALLS]
        oneway = [{"message": "n", "oneway": True}, {"message": "hi"}]
        exchanges.append(job(port, trpc_frames, "Say('n'), one-way, and Say('hi')", jobs, calls=oneway))
        for compress in ("gzip", "snappy"):
            what = f"Say('hi'), {compress}"
            exchanges.append(job(port, trpc_frames, what, jobs, calls=[{"message": "hi"}], compress=compress))
        source = f"{rpc_peers.version('trpc')} -> the same"
        save("trpc/unary.json", source, exchanges)
        exchanges = [job(streams, trpc_frames, what, jobs, calls=[call]) for what, call in TRPC_STREAMS]
        what = "Say: an INIT that is refused, as the port has no streams"
        exchanges.append(job(port, trpc_frames, what, jobs, calls=[TRPC_STREAMS[0][1]]))
        save("trpc/streams.json", source, exchanges)


RECORDINGS = {
    "dubbo": dubbo,
    "thrift": thrift,
    "redis": redis,
    "brpc": brpc,
    "trpc": trpc,
    "mongodb": mongodb,
    "kafka": kafka,
    "rabbitmq": rabbitmq,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or RECORDINGS:
        RECORDINGS[name]()
