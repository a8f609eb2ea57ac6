"""
Redis with `mode: pinned`: what a client sees through the proxy is what it sees of the server.

Lives here: conversations in bytes, said to a server and through the proxy, whose answers must be equal; logins with the
server's own users; two clients that act on each other; a replica; a refusal between answers; ends. Does not: the
drivers' own suites (tests/suites), the codec's bytes.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
from catalogue import Start
from proxied import Proxy, cluster, listener
from running import answers, eventually, free_port

pytestmark = pytest.mark.peer("redis-server", "redis-py")


class Ports(NamedTuple):
    """through: the listener; server: what it leads to; refusing: a listener whose filter refuses DEL."""

    proxy: Proxy
    through: int
    refusing: int
    server: int


class Talk:
    """One connection, on which words are said and bytes are heard."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.heard = b""

    def say(self, *texts: str) -> None:
        self.socket.sendall(b"".join(_command(text.split()) for text in texts))

    def until(self, last: bytes) -> bytes:
        """What is heard up to `last`."""
        while last not in self.heard:
            data = self.socket.recv(65536)
            if not data:
                break
            self.heard += data
        before, found, self.heard = self.heard.partition(last)
        assert found, f"{last!r} is missing in {before!r}"
        return before + found

    def ask(self, *texts: str) -> bytes:
        self.say(*texts, "ECHO the-end")
        return self.until(b"the-end\r\n")

    def rest(self) -> bytes:
        """What is heard until the other side closes."""
        while data := self.socket.recv(65536):
            self.heard += data
        return self.heard

    def close(self) -> None:
        self.socket.close()


def _command(words: list[str]) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(
        b"$%d\r\n%b\r\n" % (len(word), word) for word in map(str.encode, words)
    )


@pytest.fixture(scope="module")
def ports(start: Start, shared_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory) -> Ports:
    server, through, refusing = (free_port() for _ in range(3))
    start(catalogue.redis_server(server, tmp_path_factory.mktemp("redis")), lambda: answers(server))
    pinned = {"name": "redis", "mode": "pinned"}
    refuse = {"rbac": {"policies": {"no-del": {"action": "deny", "permissions": [{"command": "DEL"}]}}}}
    listeners = [
        listener("through", through, pinned, [{"cluster": "one"}]),
        listener("refusing", refusing, pinned, [{"cluster": "one"}], filters=[refuse]),
    ]
    config = {"listeners": listeners, "clusters": [cluster("one", server, request_timeout="2s")]}
    return Ports(shared_proxy(config), through, refusing, server)


@pytest.fixture
def talks(ports: Ports) -> Iterator[Callable[[int], Talk]]:
    opened: list[Talk] = []

    def talk(port: int) -> Talk:
        opened.append(Talk(port))
        return opened[-1]

    yield talk
    for one in opened:
        one.close()


CONVERSATIONS = {
    "values": ["SET a 1", "GET a", "MGET a b", "NOSUCH x", "LPUSH l 1 2", "LRANGE l 0 -1", "DEL a l"],
    "subscriptions in RESP2": [
        "SUBSCRIBE x y x", "PSUBSCRIBE p*", "SSUBSCRIBE s", "PING", "GET a", "UNSUBSCRIBE x", "UNSUBSCRIBE",
        "PUNSUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE", "PING",
    ],
    "subscriptions in RESP3": [
        "HELLO 3 SETNAME n", "SUBSCRIBE x y", "PUBLISH x hi", "GET a", "PSUBSCRIBE p*", "UNSUBSCRIBE", "PUNSUBSCRIBE",
        "HELLO 2", "GET a",
    ],
    "replies off": [
        "CLIENT REPLY OFF", "SET r 1", "GET r", "CLIENT REPLY ON", "GET r", "CLIENT REPLY SKIP", "GET r", "INCR r",
        "CLIENT REPLY SKIP", "CLIENT REPLY ON", "CLIENT REPLY MAYBE", "DEL r",
    ],
    "replies off until reset": ["CLIENT REPLY OFF", "SET r 1", "RESET", "GET r", "DEL r"],
    "transactions": [
        "WATCH t", "MULTI", "SET t 1", "SELECT 3", "INCR t", "EXEC", "SELECT 0", "MULTI", "NOSUCH", "EXEC", "EXEC",
        "MULTI", "DISCARD", "MULTI", "SUBSCRIBE x", "EXEC", "UNSUBSCRIBE", "GET t", "FLUSHALL",
    ],
    "state": [
        "CLIENT SETNAME me", "CLIENT GETNAME", "SELECT 5", "SET five 5", "RESET", "GET five", "CLIENT NO-EVICT on",
        "CLIENT KILL 1.2.3.4:5", "AUTH nobody nothing", "ACL WHOAMI", "FLUSHALL",
    ],
    "tracking": [
        "HELLO 3", "CLIENT TRACKING on", "SET k 1", "GET k", "SET k 2", "CLIENT TRACKING off", "CLIENT CACHING yes",
    ],
    "scripts and functions": [
        "EVAL return{1,ARGV[1]} 0 x", "SCRIPT LOAD return(1)", "SCRIPT FLUSH", "FUNCTION LIST", "WAIT 0 10",
        "CLUSTER INFO", "DEBUG SLEEP 0", "SYNC now",
    ],
}  # fmt: skip


def _plain(data: bytes) -> bytes:
    """Without what differs between any two connections."""
    data = re.sub(rb"(\$2\r\nid\r\n):\d+", rb"\1:N", data)
    return re.sub(rb"\+\d+\.\d+ \[(\d+) [^\]]+\]", rb"+TIME [\1 ADDRESS]", data)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("size", [7, 10000], ids=["in pieces", "at once"])
def test_a_client_hears_what_it_would_hear_of_the_server(
    ports: Ports, talks: Callable[[int], Talk], name: str, size: int
) -> None:
    heard = []
    for port in (ports.server, ports.through):
        talk = talks(port)
        said = b"".join(_command(text.split()) for text in (*CONVERSATIONS[name], "QUIT"))
        for start in range(0, len(said), size):
            talk.socket.sendall(said[start : start + size])
        heard.append(_plain(talk.rest()))
    assert heard[1] == heard[0]


def test_logins_are_those_of_the_servers_own_users(ports: Ports, talks: Callable[[int], Talk]) -> None:
    admin = talks(ports.server)
    admin.ask("ACL SETUSER ann on >secret +@read +@connection +acl|whoami ~*")
    talk = talks(ports.through)
    assert b"WRONGPASS" in talk.ask("AUTH ann wrong")
    assert talk.ask("HELLO 3 AUTH ann secret").startswith(b"%7")
    assert b"NOPERM" in talk.ask("SET a 1")
    assert b"$3\r\nann\r\n" in talk.ask("ACL WHOAMI", "RESET", "AUTH ann secret", "ACL WHOAMI")
    admin.ask("ACL DELUSER ann")
    assert talk.rest() == b"", "who is deleted loses the connection"


def test_clients_list_kill_unblock_and_pause_each_other(ports: Ports, talks: Callable[[int], Talk]) -> None:
    one, two, three = (talks(ports.through) for _ in range(3))
    one.ask("CLIENT SETNAME one")
    number = re.search(rb":(\d+)", one.ask("CLIENT ID"))
    assert number is not None
    id = number[1].decode()
    assert b"name=one" in two.ask("CLIENT LIST")
    one.say("BLPOP nothing 0", "PING")
    assert eventually(lambda: b":1\r\n" in two.ask(f"CLIENT UNBLOCK {id} ERROR"))
    assert one.until(b"PONG\r\n").startswith(b"-UNBLOCKED")
    two.ask("CLIENT PAUSE 100 WRITE")
    assert b"+OK" in three.ask("SET paused 1")
    assert b":1\r\n" in two.ask(f"CLIENT KILL ID {id}")
    assert one.rest() == b""


def test_what_is_tracked_is_invalidated_in_resp3_and_by_redirection(ports: Ports, talks: Callable[[int], Talk]) -> None:
    tracking, redirected, to, writer = (talks(ports.through) for _ in range(4))
    tracking.ask("HELLO 3", "CLIENT TRACKING on", "GET tracked")
    number = re.search(rb":(\d+)", to.ask("CLIENT ID"))
    assert number is not None
    to.say("SUBSCRIBE __redis__:invalidate")
    to.until(b":1\r\n")
    redirected.ask(f"CLIENT TRACKING on REDIRECT {number[1].decode()}", "GET tracked")
    writer.ask("SET tracked 1")
    assert tracking.until(b"tracked\r\n") == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\ntracked\r\n"
    assert to.until(b"tracked\r\n").startswith(b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n")


def test_monitor_shows_what_others_do(ports: Ports, talks: Callable[[int], Talk]) -> None:
    monitor, other = talks(ports.through), talks(ports.through)
    assert monitor.ask("MONITOR", "MONITOR").startswith(b"+OK\r\n")
    other.ask("SET seen 1")
    assert b'"SET" "seen" "1"' in monitor.until(b'"seen" "1"\r\n')
    monitor.say("RESET", "GET seen")
    assert monitor.until(b"$1\r\n1\r\n").endswith(b"+RESET\r\n$1\r\n1\r\n")


def test_a_replica_has_the_listener_as_its_master(ports: Ports, start_here: Start, tmp_path: Path) -> None:
    port = free_port()
    options = ["--replicaof", "127.0.0.1", str(ports.through)]
    start_here(catalogue.redis_server(port, tmp_path, *options), lambda: answers(port))
    replica, writer = Talk(port), Talk(ports.server)
    assert eventually(lambda: b"master_link_status:up" in replica.ask("INFO replication"), 20)
    writer.ask("SET replicated yes")
    assert eventually(lambda: b"yes" in replica.ask("GET replicated"))
    replica.close()
    writer.close()


def test_a_refusal_stands_between_the_answers_and_keeps_the_connection(
    ports: Ports, talks: Callable[[int], Talk]
) -> None:
    talk = talks(ports.refusing)
    before = ports.proxy.outcomes().get("denied", 0)
    heard = talk.ask("SET kept 1", "DEL kept", "SUBSCRIBE x", "UNSUBSCRIBE", "DEL kept", "GET kept")
    kinds = re.sub(rb"-NOPERM[^\r]*", b"-NOPERM", heard)
    refused = b"-NOPERM\r\n"
    assert kinds == (
        b"+OK\r\n" + refused + b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"
        b"*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n" + refused + b"$1\r\n1\r\n$7\r\nthe-end\r\n"
    )
    assert ports.proxy.outcomes()["denied"] == before + 2
    transaction = talk.ask("MULTI", "SET kept 2", "DEL kept", "EXEC", "GET kept")
    assert b"-EXECABORT" in transaction and transaction.endswith(b"$1\r\n1\r\n$7\r\nthe-end\r\n")


def test_blocking_commands_outlast_the_request_timeout(ports: Ports, talks: Callable[[int], Talk]) -> None:
    talk = talks(ports.through)
    talk.say("BLPOP nothing 3", "PING")
    assert talk.until(b"PONG\r\n") == b"*-1\r\n+PONG\r\n"


def test_what_was_sent_before_the_client_stopped_sending_is_answered(
    ports: Ports, talks: Callable[[int], Talk]
) -> None:
    heard = []
    for port in (ports.server, ports.through):
        talk = talks(port)
        talk.say("SET half 1", "GET half", "DEL half")
        talk.socket.shutdown(socket.SHUT_WR)
        heard.append(talk.rest())
    assert heard[0] == heard[1] == b"+OK\r\n$1\r\n1\r\n:1\r\n"


def test_a_server_that_shuts_down_closes_its_clients_without_a_word(
    start_here: Start, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    server, through = free_port(), free_port()
    start_here(catalogue.redis_server(server, tmp_path), lambda: answers(server))
    listeners = [listener("through", through, {"name": "redis", "mode": "pinned"}, [{"cluster": "one"}])]
    proxy({"listeners": listeners, "clusters": [cluster("one", server)]})
    waiting, talk = Talk(through), Talk(through)
    waiting.ask("PING")
    waiting.say("BLPOP nothing 0")
    talk.ask("SET a 1")
    talk.say("SHUTDOWN NOSAVE")
    assert talk.rest() == waiting.rest() == b""
    talk.close()
    waiting.close()


def test_redis_pys_pipelines_locks_and_subscriptions_work(ports: Ports) -> None:
    import redis

    for protocol in (2, 3):
        client: Any = redis.Redis(port=ports.through, protocol=protocol, decode_responses=True, db=4)
        with client.pipeline() as pipe:
            assert pipe.set("p", 1).incr("p").get("p").execute() == [True, 2, "2"]
        with client.lock("lock", timeout=5):
            assert client.exists("lock")
        heard = client.pubsub()
        heard.subscribe("news")
        assert heard.get_message(timeout=5)["type"] == "subscribe"
        client.publish("news", "hi")
        assert eventually(partial(heard.get_message, timeout=1))["data"] == "hi"
        heard.close()
        client.close()
