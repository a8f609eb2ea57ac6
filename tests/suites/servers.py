"""
The servers that suites run on, and how the proxy stands before each.

Lives here: starting a server on a port (`Kind.start`), the ways through the proxy (`Way`). Does not: the suites
(`drivers`), starting the proxy, comparing (`run`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "interop"), str(TESTS / "shared")]

import catalogue  # noqa: E402
import kafka_broker  # noqa: E402
import mongodb_peers  # noqa: E402
import redis_clusters  # noqa: E402
from kafka_broker import Broker  # noqa: E402
from mysql_peers import MariaDB  # noqa: E402
from postgres_peers import PostgreSQL  # noqa: E402
from proxied import listener  # noqa: E402
from rabbitmq_peers import RabbitMQ  # noqa: E402
from running import Program, answers, eventually  # noqa: E402

USER, PASSWORD = "app", "secret"
_NODES = range(16379, 16385)
"""The ports of a Redis Cluster that redis-py's tests name."""
_BEHIND = "127.0.0.2"
_DEBUG = ("--enable-debug-command", "yes")


@dataclass(frozen=True)
class Way:
    """
    A way through the proxy: its protocol, and what its cluster has beside the endpoint, secrets of both. other: starts
    another proxy in its place, on the first port in front of the server on the second, and gives what ends it. config:
    what the proxy runs on, given these ports and the folder of reports, where one listener is not enough. asked: it is
    only taken when named.
    start: starts other servers than direct runs have, see `Kind`.
    """

    protocol: Mapping[str, Any] = field(default_factory=dict)
    cluster: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    other: Callable[[int, int, Path], Callable[[], object]] | None = None
    config: Callable[[int, int, Path], Mapping[str, Any]] | None = None
    asked: bool = False
    start: Callable[[int, Path], Callable[[], object]] | None = None


@dataclass(frozen=True)
class Kind:
    """
    start: starts a server on a port, with a folder of its own, is over when it is ready, and gives what ends it.
    ways: through the proxy, by name. port: where its suites look for it; 0: they are given one.
    """

    start: Callable[[int, Path], Callable[[], object]]
    ways: Mapping[str, Way]
    port: int = 0


def _redis(port: int, folder: Path) -> Callable[[], object]:
    options = ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes", "--dir", str(folder)]

    def answers() -> bool:
        asked = subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, check=False)
        return asked.stdout == b"PONG\n"

    argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), *options]
    return Program(argv, folder / "log", ready=answers).stop


def _redis_node(port: int, folder: Path) -> Callable[[], object]:
    """A Redis Cluster of one node."""
    options = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--enable-debug-command", "yes"]
    command = catalogue.redis_server(port, folder, *options)
    program = Program(command.argv, folder / "log", command.env, lambda: answers(port))
    redis_clusters.cli(port, "cluster", "addslotsrange", 0, 16383)
    eventually(lambda: "cluster_state:ok" in redis_clusters.cli(port, "cluster", "info"), 10)
    return program.stop


def _redis_nodes(port: int, folder: Path) -> Callable[[], object]:
    """One of six nodes, three of them replicas."""
    return redis_clusters.RedisCluster(folder, ports=[port]).stop


def _redis_named(port: int, folder: Path) -> Callable[[], object]:
    """The same at the ports that cluster tests name."""
    return redis_clusters.RedisCluster(folder, ports=_NODES, options=_DEBUG).stop


def _redis_behind(port: int, folder: Path) -> Callable[[], object]:
    """The same at another address, whose nodes give clients that of the proxy, and each other their own."""
    to_nodes = ("--cluster-announce-ip", _BEHIND)
    to_clients = ("--cluster-announce-hostname", "127.0.0.1", "--cluster-preferred-endpoint-type", "hostname")
    options = (*_DEBUG, *to_nodes, *to_clients)
    return redis_clusters.RedisCluster(folder, ports=_NODES, host=_BEHIND, options=options).stop


def _redis_doors(port: int, behind: int, reports: Path) -> Mapping[str, Any]:
    """A listener before each node, at the node's port: clients see six nodes."""
    protocol = {"name": "redis", "mode": "pinned"}
    many = {"breaker": dict.fromkeys(("max_connections", "max_pending", "max_requests"), 20000)}
    return {
        "listeners": [listener(f"node-{port}", port, protocol, [{"cluster": f"node-{port}"}]) for port in _NODES],
        "clusters": [{"name": f"node-{port}", "endpoints": [f"{_BEHIND}:{port}"], **many} for port in _NODES],
    }


def _postgres(port: int, folder: Path) -> Callable[[], object]:
    # Suites for two-phase commits and long queues of clients want more than a server has by default.
    options = ("max_connections=200", "max_prepared_transactions=10")
    server = PostgreSQL(port, *(part for each in options for part in ("-c", each)))
    (folder / "log").symlink_to(server.directory / "log")
    return server.stop


def _mariadb(port: int, folder: Path) -> Callable[[], object]:
    server = MariaDB(port, folder)
    for name in ("test1", "test2"):
        server.ask(f"create database {name} default charset utf8mb4")
    server.ask("create function ed25519_password returns string soname 'auth_ed25519.so'")
    return server.stop


def _mongod(port: int, folder: Path) -> Callable[[], object]:
    """A replica set of one, with a user: transactions and change streams want a set."""
    key = folder / "key"
    key.write_text("a" * 64)
    key.chmod(0o600)
    options = ("--replSet", "rs0", "--keyFile", str(key), "--setParameter", "enableTestCommands=1")
    command = catalogue.mongod(port, folder, *options)
    program = Program(command.argv, folder / "log", command.env, command.ready)
    with closing(mongodb_peers.client(port, directConnection=True)) as admin:
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        admin.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        eventually(lambda: admin.admin.command("hello").get("isWritablePrimary"), 30, 0.1)
        admin.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])
    return program.stop


def _rabbitmq(port: int, folder: Path) -> Callable[[], object]:
    """Its operators' program is beside the folder."""
    server = RabbitMQ(folder, port=port)
    server.control(folder.parent / "rabbitmqctl")
    return server.stop


def _kafka(port: int, folder: Path) -> Callable[[], object]:
    return Broker(port, folder).stop


def _kafka_doors(port: int, behind: int, reports: Path) -> Mapping[str, Any]:
    """The broker is reached by a port of the proxy's that stands for its number; logins pass."""
    return _kafka_config(port, behind, reports, "kafka", {})


def _kafka_users(port: int, behind: int, reports: Path) -> Mapping[str, Any]:
    """The same with logins that end at the proxy; for the broker all are one user."""
    protocol = {"name": "kafka", "users": {user: {"secret": user} for user in kafka_broker.USERS}}
    credentials = {"user": "admin", "password": {"secret": "admin"}, "mechanism": "PLAIN"}
    secrets = {user: {"value": user} for user in kafka_broker.USERS}
    return {"secrets": secrets, **_kafka_config(port, behind, reports, protocol, {"credentials": credentials})}


def _kafka_config(port: int, behind: int, reports: Path, protocol: Any, logged_in: Mapping[str, Any]) -> dict[str, Any]:
    """
    Those who log in and those who speak TLS come to ports of their own, and the proxy is given the broker's. TLS ends
    at the proxy, which speaks it with the broker.
    """
    kept = kafka_broker.certificates(reports)
    ca, shown = str(kept / "ca.crt"), {"certificate": str(kept / "server.pem"), "key": str(kept / "server.key")}
    logins = {"address": f"127.0.0.1:{behind + kafka_broker.LOGINS}", "metadata": {"node": str(kafka_broker.NODE)}}
    clusters = {
        "open": ("kafka", {"endpoints": [f"127.0.0.1:{behind}"], "topology": "brokers"}),
        "logins": (protocol, {"endpoints": [logins], **logged_in}),
        "tls": (
            "kafka",
            {"endpoints": [f"127.0.0.1:{behind + kafka_broker.TLS}"], "topology": "brokers", "tls": {"ca": ca}},
        ),
    }
    ports = {"open": port, "logins": port + kafka_broker.LOGINS, "tls": port + kafka_broker.TLS}
    terminated = {"tls": {"tls": {**shown, "client_ca": ca}}}
    return {
        "listeners": [
            listener(
                name,
                ports[name],
                spoken,
                [{"cluster": name}],
                nodes={"ports": f"{ports[name] + 1}-{ports[name] + 5}"},
                **terminated.get(name, {}),
            )
            for name, (spoken, _) in clusters.items()
        ],
        "clusters": [
            {"name": name, "request_timeout": "120s", **options} for name, (_, options) in clusters.items()
        ],
    }  # fmt: skip


def _pgbouncer(port: int, behind: int, folder: Path) -> Callable[[], object]:
    """Transaction pooling, as others have it: what its clients can't do is what ours may not be able to."""
    users, settings = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"{USER}" "{PASSWORD}"\n')
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\nunix_socket_dir =\n"
        f"max_client_conn = 1000\ndefault_pool_size = {_POOL}\nignore_startup_parameters = extra_float_digits,options\n"
    )
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    for place in (folder, users, settings):
        place.chmod(0o755)
    program = Program([*as_user, "pgbouncer", "-q", str(settings)], folder / "log", ready=lambda: answers(port))
    return program.stop


def _at_the_proxy(name: str, mode: str, asked: bool = False) -> Way:
    """Clients log in at the proxy, and share connections."""
    return Way(
        {"name": name, "users": {USER: {"secret": "password"}}},
        {
            "credentials": {"user": USER, "password": {"secret": "password"}},
            "connections": {"mode": mode, "per_endpoint": _POOL},
        },
        {"password": {"value": PASSWORD}},
        asked=asked,
    )


_POOL = 150
"""Connections to a server: suites leave some open, and a server has 200 at most."""
SERVERS: dict[str, Kind] = {
    "redis": Kind(_redis, {"pinned": Way({"name": "redis", "mode": "pinned"})}, port=6379),
    "redis-cluster": Kind(
        _redis_node,
        {
            "one-node": Way(
                {"name": "redis", "databases": 1, "present": "cluster"}, {"topology": "cluster"}, start=_redis_nodes
            )
        },
    ),
    "redis-nodes": Kind(_redis_named, {"pinned": Way(config=_redis_doors, start=_redis_behind)}, port=_NODES[0]),
    "postgres": Kind(
        _postgres,
        {
            "pinned": Way({"name": "postgres"}),
            "session": _at_the_proxy("postgres", "session"),
            "transaction": _at_the_proxy("postgres", "transaction", asked=True),
            "pgbouncer": Way(other=_pgbouncer, asked=True),
        },
    ),
    "mariadb": Kind(_mariadb, {"pinned": Way({"name": "mysql"})}),
    "mongod": Kind(_mongod, {"pinned": Way({"name": "mongodb"})}),
    "kafka": Kind(_kafka, {"pinned": Way(config=_kafka_doors), "users": Way(config=_kafka_users)}, port=9092),
    "rabbitmq": Kind(
        _rabbitmq,
        {
            "pinned": Way({"name": "amqp"}),
            "users": Way(
                {"name": "amqp", "users": {"guest": {"secret": "clients"}}},
                {"credentials": {"user": "back", "password": {"secret": "servers"}}},
                {"clients": {"value": "guest"}, "servers": {"value": "back-secret"}},
            ),
        },
        port=5672,
    ),
}
