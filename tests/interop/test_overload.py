"""
A process with little memory between Redis and clients that want all of it.

Lives here: `overload` with real sockets and a real resident set. Does not: the decisions (tests/unit/proxy).
"""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import catalogue
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

if TYPE_CHECKING:
    import redis

pytestmark = pytest.mark.peer("redis-server")
MEBI = 1 << 20
LIMIT = 192 * MEBI
FRAME = 8 * MEBI
ATTACKERS = 60
WHOLE = {"name": "redis", "stream_over": "512MiB"}
"""Commands are read whole: what comes in pieces is not held."""
SEEN_LATE = 96 * MEBI
"""What may come before the next looks: one refuses connections, the second closes."""


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def ask(client: socket.socket, command: bytes) -> bytes:
    client.sendall(command + b"\r\n")
    return client.recv(4096)


@pytest.fixture
def front(start: Start, tmp_path: Path, proxy: Callable[[Any], Proxy]) -> Iterator[tuple[Proxy, int]]:
    server, port = free_port(), free_port()
    start(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    running = proxy(
        {
            "overload": {"max_memory": LIMIT},
            "listeners": [listener("front", port, WHOLE, [{"cluster": "one"}])],
            "clusters": [cluster("one", server)],
        }
    )
    yield running, port


def test_unfinished_frames_of_many_connections_cost_those_that_hold_the_most_and_nobody_else(
    front: tuple[Proxy, int],
) -> None:
    proxy, port = front
    peak = 0
    half = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (2 * FRAME - 1024) + bytes(FRAME)
    with contextlib.ExitStack() as stack:
        neighbour = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        neighbour.settimeout(10)
        assert ask(neighbour, b"SET kept 1") == b"+OK\r\n"
        for _ in range(ATTACKERS):
            attacker = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            with contextlib.suppress(OSError):  # refused, or closed for what it holds
                attacker.sendall(half)
            peak = max(peak, resident(proxy.pid))
            answer = ask(neighbour, b"GET kept")
            assert answer == b"$1\r\n1\r\n" or b"overload.max_memory" in answer
        assert peak < LIMIT + SEEN_LATE
        info = eventually(lambda: (found := proxy.admin("/server_info"))["overload"]["state"] == "ok" and found)
        overload = info["overload"]
        assert overload["closed_connections"] > 0 and overload["memory_bytes"] <= LIMIT
        assert overload["max_memory_bytes"] == LIMIT
        assert ask(neighbour, b"GET kept") == b"$1\r\n1\r\n"
        with socket.create_connection(("127.0.0.1", port), 10) as later:
            assert ask(later, b"GET kept") == b"$1\r\n1\r\n"
    stats = proxy.stats()
    assert stats["metaproxy_overload_closed_connections_total"] == overload["closed_connections"]
    assert proxy.log().count("overload.max_memory") <= 3, "three kinds of lines, one a minute of each"


def test_a_limit_below_what_the_process_needs_refuses_everything_and_says_so(
    proxy: Callable[[Any], Proxy],
) -> None:
    port = free_port()
    running = proxy(
        {
            "overload": {"max_memory": "8MiB"},
            "listeners": [listener("front", port, "redis", [{"cluster": "one"}])],
            "clusters": [cluster("one", free_port())],
        }
    )
    assert eventually(lambda: running.admin("/server_info")["overload"]["state"] == "shedding")
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        assert client.recv(1) == b""
    assert "the process alone takes about" in running.log()
    assert running.stats()["metaproxy_overload_refused_connections_total"] == 1


def answer_of(client: redis.Redis, key: str) -> str:
    """What the server has under the key, or the error as the client has it."""
    import redis

    try:
        return (client.get(key) or b"").decode()
    except redis.exceptions.RedisError as error:
        return str(error)


@pytest.mark.peer("redis-py")
def test_a_route_of_high_priority_is_answered_while_the_others_are_refused(
    start: Start, tmp_path: Path, proxy: Callable[[Any], Proxy]
) -> None:
    """The limit is first below what the process has, then just above it: it is left step by step, five seconds each."""
    import redis

    server, port = free_port(), free_port()
    start(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    routes = [
        {"match": {"key": {"prefix": "paid:"}}, "cluster": "one", "priority": "high"},
        {"match": {"key": {"prefix": "report:"}}, "cluster": "one", "priority": "low"},
        {"cluster": "one"},
    ]
    config = {"listeners": [listener("front", port, "redis", routes)], "clusters": [cluster("one", server)]}
    running = proxy(config)

    def limit(size: int) -> None:
        running.write({**config, "overload": {"max_memory": size}})
        running.admin("/reload", "POST")

    def shed(what: str) -> list[float]:
        """By priority, the lowest first."""
        found = running.admin("/server_info")["overload"]["by_priority"]
        return [found[word][what] for word in ("low", "normal", "high")]

    keys = ("report:1", "plain", "paid:1")  # the lowest first
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    with redis.Redis(port=port, retry=once, single_connection_client=True, socket_timeout=30) as client:
        for key in keys:
            client.set(key, "kept")
        assert [answer_of(client, key) for key in keys] == ["kept"] * 3
        limit(8 * MEBI)
        assert eventually(lambda: shed("share") == [1, 1, 1], 60)
        assert all("overload.max_memory" in answer_of(client, key) for key in keys)
        limit(running.memory() + 2 * MEBI)

        def first_answered() -> list[str]:
            """What came of the three, once the last is answered."""
            answers = [answer_of(client, key) for key in keys]
            return answers if answers[2] == "kept" else []

        low, _, high = eventually(first_answered, 60) or ["", "", ""]
        assert high == "kept" and "overload.max_memory" in low
        assert eventually(lambda: [answer_of(client, key) for key in keys] == ["kept"] * 3, 60)
        counts = shed("shed_requests")
        assert counts[0] > counts[2] > 0 and counts[1] >= counts[2]
