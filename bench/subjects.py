"""
What is measured: each proxy with its configuration and its command line.

Lives here: `Subject`, the list of them. Does not: Envoy's configurations (`envoy`), where programs are (`programs`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench import envoy
from bench.loads import METHOD, method, service
from bench.programs import COMPILED, ROOT

RPC = ("dubbo", "thrift", "theader")
ALL = (*RPC, "redis")
_MANY = 100_000_000
_WIDE = 16 * 1024 * 1024
"""What generic_proxy may buffer: it takes 1 MiB in flight on one connection (4x64 of 16 KiB) for a decoding error."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a subject is started for. folder: its own, for its files. listen, admin, backend: ports on loopback."""

    program: str
    protocol: str
    routes: int
    listen: int
    admin: int
    backend: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Subject:
    """
    program: its name in `programs`, empty when there is no proxy. routed: it has a route table. is_base: the filter of
    Envoy that ratios are to. folder: where it is started, None for anywhere. feature: one thing more than "metaproxy,
    bare" has: measured with small requests and one route, and shown as what it costs.
    """

    name: str
    program: str
    protocols: tuple[str, ...]
    command: Callable[[Setting], list[str]]
    routed: bool = True
    is_base: bool = False
    folder: Path | None = None
    feature: bool = False


def _no_command(setting: Setting) -> list[str]:
    raise AssertionError("nothing is started when there is no proxy")


LIMIT = {"local_rate_limit": {"limit": _MANY, "per": "1s", "burst": _MANY}}


def _metaproxy(
    connections: dict[str, Any] | None = None,
    filters: Sequence[dict[str, Any]] = (LIMIT,),
    listener_keys: dict[str, Any] | None = None,
    keys: dict[str, Any] | None = None,
) -> Callable[[Setting], list[str]]:
    """listener_keys, keys: more of the listener and of the whole configuration."""

    def command(setting: Setting) -> list[str]:
        limits = dict.fromkeys(("max_connections", "max_pending", "max_requests"), 100_000)
        cluster = {"name": "backend", "endpoints": [f"127.0.0.1:{setting.backend}"], "breaker": limits}
        listener = {
            "name": "bench",
            "listen": f"127.0.0.1:{setting.listen}",
            "protocol": "thrift" if setting.protocol == "theader" else setting.protocol,
            "drain_timeout": "1s",
            "filters": list(filters),
            "routes": _metaproxy_routes(setting),
            **(listener_keys or {}),
        }
        config = {
            **(keys or {}),
            "admin": {"listen": f"127.0.0.1:{setting.admin}"},
            "listeners": [listener],
            "clusters": [cluster | ({"connections": connections} if connections else {})],
        }
        path = setting.folder / "metaproxy.yaml"
        path.write_text(yaml.safe_dump(config))
        return [setting.program, "-n", "--pidfile=", "metaproxy", "--config", str(path)]

    return command


def _compiled(
    connections: dict[str, Any] | None = None, keys: dict[str, Any] | None = None
) -> Callable[[Setting], list[str]]:
    """metaproxy from the tree whose data path is compiled."""
    plain = _metaproxy(connections, keys=keys)
    variables = ["-u", "METAPROXY_PURE", f"PYTHONPATH={COMPILED}"]
    return lambda setting: ["env", *variables, *plain(setting)]


def _metaproxy_routes(setting: Setting) -> list[dict[str, Any]]:
    if setting.protocol == "redis":
        return [{"cluster": "backend"}]
    if setting.protocol == "dubbo":
        matches = [{"interface": service(index), "method": METHOD} for index in range(setting.routes)]
    else:
        matches = [{"method": method(index)} for index in range(setting.routes)]
    return [{"match": match, "cluster": "backend"} for match in matches]


def _envoy(
    network_filter: Callable[[Setting], envoy.Json], buffer: int | None = None, threads: int = 1
) -> Callable[[Setting], list[str]]:
    def command(setting: Setting) -> list[str]:
        config = envoy.bootstrap(network_filter(setting), setting.listen, setting.admin, setting.backend, buffer)
        path = setting.folder / "envoy.json"
        path.write_text(json.dumps(config))
        options = ["--concurrency", str(threads), "--disable-hot-restart", "--log-level", "warning"]
        return [setting.program, "-c", str(path), *options]

    return command


def _services(setting: Setting) -> list[str]:
    return [service(index) for index in range(setting.routes)]


def _thrift_proxy(setting: Setting) -> envoy.Json:
    transport = "HEADER" if setting.protocol == "theader" else "FRAMED"
    return envoy.thrift_proxy([method(index) for index in range(setting.routes)], transport)


def _haproxy(setting: Setting) -> list[str]:
    lines = [
        "global",
        "  nbthread 1",
        "  maxconn 4096",
        "defaults",
        "  mode tcp",
        "  timeout connect 1s",
        "  timeout client 1m",
        "  timeout server 1m",
        "listen bench",
        f"  bind 127.0.0.1:{setting.listen}",
        f"  server backend 127.0.0.1:{setting.backend}",
    ]
    path = setting.folder / "haproxy.cfg"
    path.write_text("\n".join(lines) + "\n")
    return [setting.program, "-f", str(path), "-db"]


def _nutcracker(setting: Setting) -> list[str]:
    lines = [
        "bench:",
        f"  listen: 127.0.0.1:{setting.listen}",
        "  hash: fnv1a_64",
        "  distribution: ketama",
        "  redis: true",
        "  preconnect: true",
        "  servers:",
        f"   - 127.0.0.1:{setting.backend}:1",
    ]
    path = setting.folder / "nutcracker.yml"
    path.write_text("\n".join(lines) + "\n")
    return [setting.program, "-c", str(path), "-s", str(setting.admin), "-a", "127.0.0.1"]


BARE = "metaproxy, bare"


def _policies(count: int) -> dict[str, Any]:
    """As many policies; the last one lets the load's requests pass."""
    policies = {
        f"team-{number}": {
            "permissions": [{"interface": f"org.example.Service{number}", "method": {"in": ["get", "list"]}}],
            "principals": [{"source.address": {"cidr": f"10.{number}.0.0/16"}}],
        }
        for number in range(count - 1)
    }
    return {"policies": {**policies, "load": {"principals": [{"source.address": {"cidr": "127.0.0.0/8"}}]}}}


def _feature(name: str, **more: Any) -> Subject:
    """metaproxy with nothing but routes, and one thing more."""
    command = _metaproxy(**{"filters": (), **more})
    return Subject(name, "metaproxy", ("dubbo",), command, folder=ROOT, feature=True)


def overloaded(max_lag: str, compiled: bool) -> Subject:
    """metaproxy with this `overload.max_lag`."""
    keys = {"overload": {"max_lag": max_lag}}
    if compiled:
        return Subject(f"max_lag {max_lag}", "compiled", ALL, _compiled(keys=keys), folder=COMPILED)
    return Subject(f"max_lag {max_lag}", "metaproxy", ALL, _metaproxy(keys=keys), folder=ROOT)


NOWHERE = {"tracing": {"exporter": "otlp", "url": "http://127.0.0.1:9/v1/traces"}}
"""A collector that is away: spans are made, queued and lost."""

FEATURES = [
    _feature(BARE),
    _feature("+ local limit", filters=(LIMIT,)),
    _feature("+ RBAC, 100 policies", filters=({"rbac": _policies(100)},)),
    _feature("+ access log, text", listener_keys={"access_log": [{"file": "/dev/null"}]}),
    _feature("+ tracing, 1%", listener_keys={"tracing": {"sampling": 1}}, keys=NOWHERE),
    _feature(
        "+ tracing, 1%, no other ids",
        listener_keys={"tracing": {"sampling": 1, "request_ids": "traced"}},
        keys=NOWHERE,
    ),
    _feature("+ access log, JSON", listener_keys={"access_log": [{"file": "/dev/null", "format": "json"}]}),
]
"""What each costs is shown beside the first."""

SUBJECTS = [
    Subject("direct, no proxy", "", ALL, _no_command, routed=False),
    Subject("metaproxy", "metaproxy", ALL, _metaproxy(), folder=ROOT),
    Subject("compiled metaproxy", "compiled", ALL, _compiled(), folder=COMPILED),
    Subject("metaproxy, multiplex", "metaproxy", ("thrift", "theader"), _metaproxy({"mode": "multiplex"}), folder=ROOT),
    Subject(
        "compiled, multiplex",
        "compiled",
        ("thrift", "theader"),
        _compiled({"mode": "multiplex"}),
        folder=COMPILED,
    ),
    Subject(
        "envoy dubbo_proxy",
        "envoy",
        ("dubbo",),
        _envoy(lambda setting: envoy.dubbo_proxy(_services(setting), METHOD)),
        is_base=True,
    ),
    Subject(
        "envoy generic_proxy",
        "envoy",
        ("dubbo",),
        _envoy(lambda setting: envoy.generic_proxy(_services(setting), METHOD), buffer=_WIDE),
    ),
    Subject("envoy thrift_proxy", "envoy", ("thrift", "theader"), _envoy(_thrift_proxy), is_base=True),
    Subject("envoy redis_proxy", "envoy", ("redis",), _envoy(lambda _: envoy.redis_proxy()), is_base=True),
    Subject("nutcracker", "nutcracker", ("redis",), _nutcracker, routed=False),
    Subject("envoy tcp_proxy", "envoy", ALL, _envoy(lambda _: envoy.tcp_proxy()), routed=False),
    Subject("haproxy tcp", "haproxy", ALL, _haproxy, routed=False),
    *FEATURES,
]


def _threads(count: int) -> list[Subject]:
    """metaproxy and Envoy with so many workers, for Dubbo."""
    size = f"{count} worker{'s' * (count > 1)}"
    filter_ = envoy.dubbo_proxy
    return [
        Subject(f"metaproxy, {size}", "metaproxy", ("dubbo",), _metaproxy(keys={"workers": count}), folder=ROOT),
        Subject(f"compiled, {size}", "compiled", ("dubbo",), _compiled(keys={"workers": count}), folder=COMPILED),
        Subject(
            f"envoy, {size}",
            "envoy",
            ("dubbo",),
            _envoy(lambda setting: filter_(_services(setting), METHOD), threads=count),
        ),
    ]


WORKERS = {count: _threads(count) for count in (1, 2)}
"""What `bench.workers` compares, by how many workers."""
