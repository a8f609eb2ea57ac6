"""
What stands before the databases: each proxy's configuration and command line.

Lives here: `Proxy`, the list of them. Does not: the databases (`servers`), what is asked (`loads`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.databases import kafka
from bench.databases.servers import PASSWORD, PEERS, USER, Missing, program
from bench.programs import own_program

EVERY = ("postgres", "mysql", "mongodb", "amqp", "kafka")
ENVOY = PEERS / "python" / "envoy" / "envoy" / "_bin" / "envoy"
FEW = 20
"""Connections to the server that a crowd of clients shares."""
ENOUGH = 64
"""Connections to the server otherwise: no client waits for one."""
_CROWD = 4000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy listens and what is behind it; shared: connections to the server at most; folder: for its files."""

    database: str
    listen: int
    admin: int
    backend: int
    shared: int
    folder: Path

    @property
    def tcp(self) -> tuple[list[int], int]:
        """For a proxy of bytes: where it listens, and what is behind that."""
        if self.database == "kafka":
            return [self.listen, self.backend + kafka.VIA], self.backend + kafka.TCP
        return [self.listen], self.backend


@dataclass(frozen=True, slots=True)
class Proxy:
    """pools: its clients share connections. base: the others' costs are set beside its."""

    name: str
    databases: tuple[str, ...]
    command: Callable[[Place], list[str]]
    pools: bool = False
    base: bool = False


def _metaproxy(mode: str = "") -> Callable[[Place], list[str]]:
    """mode: of connections to the server, where logins end at the proxy; without it they pass."""

    def command(place: Place) -> list[str]:
        limits = dict.fromkeys(("max_connections", "max_pending", "max_requests"), 100_000)
        cluster: dict[str, Any] = {
            "name": "backend",
            "endpoints": [f"127.0.0.1:{place.backend}"],
            "breaker": limits,
            "request_timeout": "60s",
        }
        protocol: dict[str, Any] = {"name": place.database}
        if mode:
            protocol["users"] = {USER: PASSWORD}
            cluster["credentials"] = {"user": USER, "password": PASSWORD}
            cluster["connections"] = {"per_endpoint": place.shared}
            if place.database not in ("mongodb", "amqp"):
                cluster["connections"] |= {"mode": mode, "queue_timeout": "60s"}
        listener = {
            "name": "bench",
            "listen": f"127.0.0.1:{place.listen}",
            "protocol": protocol,
            "max_connections": _CROWD,
            "drain_timeout": "1s",
            "routes": [{"cluster": "backend"}],
        }
        if place.database == "kafka":
            doors = place.backend + kafka.DOORS
            listener["nodes"] = {"ports": f"{doors}-{doors + 1}"}
            cluster["topology"] = "brokers"
        config = {"admin": {"listen": f"127.0.0.1:{place.admin}"}, "listeners": [listener], "clusters": [cluster]}
        path = place.folder / "metaproxy.yaml"
        path.write_text(yaml.safe_dump(config))
        return [own_program().path, "-n", "--pidfile=", "metaproxy", "--config", str(path)]

    return command


def _pgbouncer(mode: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        users, path = place.folder / "users.txt", place.folder / "pgbouncer.ini"
        users.write_text(f'"{USER}" "{PASSWORD}"\n')
        path.write_text(
            f"[databases]\n* = host=127.0.0.1 port={place.backend}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {place.listen}\nauth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\n"
            f"default_pool_size = {place.shared}\nmax_client_conn = {_CROWD}\nlog_connections = 0\n"
            "log_disconnections = 0\nunix_socket_dir =\nignore_startup_parameters = extra_float_digits\n"
        )
        as_user = ["-u", "postgres"] if os.geteuid() == 0 else []
        return [program("pgbouncer"), *as_user, str(path)]

    return command


def _haproxy(place: Place) -> list[str]:
    path, (ports, backend) = place.folder / "haproxy.cfg", place.tcp
    binds = "".join(f"  bind 127.0.0.1:{port}\n" for port in ports)
    path.write_text(
        f"global\n  nbthread 1\n  maxconn {_CROWD}\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n"
        f"  timeout server 1m\nlisten bench\n{binds}  server s 127.0.0.1:{backend}\n"
    )
    return [program("haproxy"), "-f", str(path), "-db"]


def _envoy(place: Place) -> list[str]:
    if not ENVOY.exists():
        raise Missing(f"{ENVOY} is missing; run tests/interop/install, which installs it")

    def at(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    ports, target = place.tcp
    proxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    tcp = {"name": "tcp", "typed_config": {"@type": proxy, "stat_prefix": "tcp", "cluster": "backend"}}
    backend = {
        "cluster_name": "backend",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(target)}}]}],
    }
    resources = {
        "listeners": [{"address": at(port), "filter_chains": [{"filters": [tcp]}]} for port in ports],
        "clusters": [{"name": "backend", "type": "STATIC", "load_assignment": backend}],
    }
    path = place.folder / "envoy.yaml"
    path.write_text(yaml.safe_dump({"static_resources": resources}))
    return [str(ENVOY), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


PROXIES = [
    Proxy("metaproxy, logins pass", EVERY, _metaproxy()),
    Proxy("metaproxy, session", ("postgres", "mysql"), _metaproxy("session"), pools=True),
    Proxy("metaproxy, transaction", ("postgres", "mysql", "mongodb"), _metaproxy("transaction"), pools=True),
    Proxy("metaproxy, logins end here", ("amqp",), _metaproxy("pool")),
    Proxy("pgbouncer, session", ("postgres",), _pgbouncer("session")),
    Proxy("pgbouncer, transaction", ("postgres",), _pgbouncer("transaction"), pools=True, base=True),
    Proxy("haproxy tcp", EVERY, _haproxy),
    Proxy("envoy tcp", ("amqp", "kafka"), _envoy),
]
