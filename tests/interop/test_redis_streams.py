"""
Redis values that are larger than the proxy may get: they pass in pieces, both ways.

Lives here: a real server, redis-py and plain sockets, with the proxy's resident set; a neighbour on the same connection
to the server. Does not: which commands come in pieces (tests/unit/codecs).
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import catalogue
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

if TYPE_CHECKING:
    import redis

pytestmark = pytest.mark.peer("redis-server", "redis-py")
MEBI = 1 << 20
LARGEST = 512 * MEBI
"""The server's own limit, proto-max-bulk-len."""
MEMORY = 64 * MEBI
SLOW = 24 * MEBI


class Ports(NamedTuple):
    """shared, pinned: listeners; one: a shared connection for all clients; ring: two servers by key."""

    proxy: Proxy
    shared: int
    pinned: int
    ring: int


@pytest.fixture(scope="module")
def ports(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Ports:
    first, second, shared, pinned, ring = (free_port() for _ in range(5))
    for port in (first, second):
        start(catalogue.redis_server(port, tmp_path_factory.mktemp("redis")), lambda port=port: answers(port))
    listeners = [
        listener("shared", shared, "redis", [{"cluster": "one"}]),
        listener("pinned", pinned, {"name": "redis", "mode": "pinned"}, [{"cluster": "own"}]),
        listener("ring", ring, "redis", [{"cluster": "ring", "hash": ["key"]}]),
    ]
    clusters = [
        cluster("one", first, connections={"per_endpoint": 1}),
        cluster("own", first, connections={"mode": "pinned"}),
        cluster("ring", first, second, balancer="ring_hash"),
    ]
    return Ports(shared_proxy({"listeners": listeners, "clusters": clusters}), shared, pinned, ring)


@contextlib.contextmanager
def peak_of(pid: int) -> Iterator[Callable[[], int]]:
    """Gives by how many bytes the resident set of a process has grown at most."""
    statm = Path(f"/proc/{pid}/statm")
    page = resource.getpagesize()
    base = highest = int(statm.read_text().split()[1])
    ended = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not ended.wait(0.02):
            highest = max(highest, int(statm.read_text().split()[1]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: (highest - base) * page
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def neighbour(port: int) -> Iterator[Callable[[], int]]:
    """Somebody who asks one thing after another all the time; gives how often it was answered."""
    answered = 0
    wrong: list[object] = []
    ended = threading.Event()

    def ask() -> None:
        nonlocal answered
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"*3\r\n$3\r\nSET\r\n$9\r\nneighbour\r\n$5\r\nhello\r\n")
            assert client.recv(100) == b"+OK\r\n"
            while not ended.is_set():
                client.sendall(b"*2\r\n$3\r\nGET\r\n$9\r\nneighbour\r\n")
                answer = client.recv(100)
                if answer != b"$5\r\nhello\r\n":
                    wrong.append(answer)
                    return
                answered += 1
                ended.wait(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: answered)
    try:
        yield lambda: answered
    finally:
        ended.set()
        thread.join()
    assert not wrong


def client(port: int, **options: Any) -> redis.Redis:
    import redis

    return redis.Redis(port=port, socket_timeout=60, socket_read_size=MEBI, **options)


def value(size: int) -> bytes:
    """Bytes that repeat nowhere at a distance of a chunk, with line ends among them."""
    block = b"".join(hashlib.sha256(b"%d" % number).digest() + b"\r\n" for number in range(31000))
    return (block * (size // len(block) + 1))[:size]


def ask_for(port: int, key: bytes) -> socket.socket:
    asking = socket.create_connection(("127.0.0.1", port), 60)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    asking.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
    return asking


def read_answer(asking: socket.socket, size: int, rest: Callable[[int], None] = lambda heard: None) -> str:
    """The hash of the value that is answered. rest: called with the number of bytes read so far, after each read."""
    head = b"$%d\r\n" % size
    assert asking.recv(len(head), socket.MSG_WAITALL) == head
    hashed = hashlib.sha256()
    heard = 0
    while heard < size:
        data = asking.recv(min(1 << 16, size - heard))
        assert data, f"the connection ended behind {heard} bytes"
        heard += len(data)
        hashed.update(data)
        rest(heard)
    assert asking.recv(2, socket.MSG_WAITALL) == b"\r\n"
    return hashed.hexdigest()


def test_the_largest_value_passes_both_ways_in_little_memory_while_a_neighbour_is_answered(ports: Ports) -> None:
    sent = value(LARGEST)
    with neighbour(ports.shared) as answered, peak_of(ports.proxy.pid) as peak:
        with client(ports.shared) as one:
            assert one.set("largest", sent)
            between = answered()
            got = one.get("largest")
        assert got == sent
        assert one.ping()
        assert between > 0
        eventually(lambda: answered() > between + 20)
        assert peak() < MEMORY
    with client(ports.shared) as one:
        one.delete("largest")


def test_who_reads_slowly_gets_all_of_it_and_a_neighbour_on_the_same_connection_its_answers_meanwhile(
    ports: Ports,
) -> None:
    size = 4 * SLOW
    sent = value(size)
    with client(ports.shared) as one:
        one.set("slow", sent)
    with neighbour(ports.shared) as answered, peak_of(ports.proxy.pid) as peak:
        asking = ask_for(ports.shared, b"slow")
        seen: list[int] = []

        def wait_for_the_neighbour(heard: int) -> None:
            if heard // SLOW > len(seen):
                seen.append(answered())
                eventually(lambda: answered() > seen[-1] + 20)

        with asking:
            assert read_answer(asking, size, wait_for_the_neighbour) == hashlib.sha256(sent).hexdigest()
        assert len(seen) == 4
        assert peak() < MEMORY


@pytest.mark.parametrize("protocol", [2, 3])
def test_with_pinned_connections_large_values_pass_and_replies_stay_with_their_commands(
    ports: Ports, protocol: int
) -> None:
    sent = value(32 * MEBI)
    with (
        peak_of(ports.proxy.pid) as peak,
        client(ports.pinned, protocol=protocol, single_connection_client=True) as one,
    ):
        assert one.set("pinned", sent)
        assert one.get("pinned") == sent
        assert one.append("pinned", sent[: 3 * MEBI]) == 35 * MEBI
        with one.pipeline(transaction=True) as many:
            many.set("inside", sent).get("inside").strlen("pinned")
            assert many.execute() == [True, sent, 35 * MEBI]
        assert one.ping()
    assert peak() < MEMORY


def test_behind_client_reply_off_a_large_command_is_not_waited_for(ports: Ports) -> None:
    sent = value(3 * MEBI)
    with socket.create_connection(("127.0.0.1", ports.pinned), 10) as talk:
        silent = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n"
        large = b"*3\r\n$3\r\nSET\r\n$5\r\nquiet\r\n$%d\r\n%b\r\n" % (len(sent), sent)
        talk.sendall(silent + large + large + b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n")
        talk.sendall(b"*2\r\n$6\r\nSTRLEN\r\n$5\r\nquiet\r\n")
        expected = b"+OK\r\n:%d\r\n" % len(sent)
        assert talk.recv(len(expected), socket.MSG_WAITALL) == expected


@pytest.mark.parametrize("protocol", [2, 3])
def test_in_a_transaction_on_shared_connections_large_values_pass(ports: Ports, protocol: int) -> None:
    sent = value(5 * MEBI)
    with client(ports.shared, protocol=protocol) as one:
        with one.pipeline(transaction=True) as many:
            many.set("first", sent).set("n", 1).set("second", sent).mget("first", "second").incr("n")
            assert many.execute() == [True, True, True, [sent, sent], 2]
        with one.pipeline() as many:
            many.watch("first")
            assert many.get("first") == sent
            many.multi()
            many.append("first", sent)
            assert many.execute() == [2 * len(sent)]
        dumped = one.dump("second")
        assert dumped is not None
        assert one.restore("third", 0, dumped, replace=True) == b"OK"
        assert one.get("third") == sent


def test_between_servers_pieces_of_an_answer_are_put_together_and_large_commands_go_where_their_key_belongs(
    ports: Ports,
) -> None:
    import redis

    sent = value(5 * MEBI)
    with client(ports.ring) as one:
        names = [f"key{number}" for number in range(8)]
        for name in names:
            assert one.set(name, sent + name.encode())
        assert one.mget(names[:3]) == [sent + name.encode() for name in names[:3]]
        assert one.mset(dict.fromkeys(names[:2], sent))
        assert one.mset({"{a}": b"small", "{a}x": sent * 4})
        assert (one.get("{a}"), one.get("{a}x")) == (b"small", sent * 4)
        with pytest.raises(redis.ResponseError, match="endpoint"):
            one.mset(dict.fromkeys(names, b"") | {"last": sent * 4})
        assert one.ping()
