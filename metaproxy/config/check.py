"""
From a configuration's text to a `Config`, or to everything that is wrong with it.

Lives here: `check`, and the rules that look at several keys at once. Does not: what a single key may hold (`model`);
making anything that runs (`build`).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar, cast

from twisted.internet.task import Clock

from metaproxy.cluster.endpoint import Endpoint
from metaproxy.config import model, references
from metaproxy.config.known_keys import check_balancer_keys, check_keys
from metaproxy.config.named_files import Confinement, NamedFile, named_files, place
from metaproxy.config.permissions import who_else_writes
from metaproxy.config.plugin_problems import file_problems
from metaproxy.config.schema.load import ConfigErrors, Node, Problem, Scalar, load
from metaproxy.config.schema.reading import BROKEN, Enough, Plugins, Reading, near
from metaproxy.config.schema.shape import Nested, options
from metaproxy.config.tls import CertificateError, admin_options, client_tls, server_tls
from metaproxy.interfaces import ICodec
from metaproxy.message import Affinity
from metaproxy.proxy import certificates
from metaproxy.proxy.service_clusters import ServiceClusters
from metaproxy.support import addresses as address
from metaproxy.support.extras import install
from metaproxy.units import Secret

__all__ = ["ConfigErrors", "Problem", "check", "plugin_folders"]

MAX_SECRET = 65536
"""Bytes of a secret's file."""

_ROOT = Nested(model.Config)


def check(
    text: str | bytes,
    filename: str,
    registry: Plugins,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    injected: Mapping[str, object] | None = None,
    runtime: Mapping[str, Scalar] | None = None,
    confined: Confinement | None = None,
) -> tuple[model.Config | None, list[Problem]]:
    """
    The configuration, or None and all that is wrong with the text, in the order of the file. Raises nothing.

    filename: as errors and `Config.source` have it; folder: what relative paths start from, the file's by default;
    environ: the variables, the process's by default; injected: what plugins' constructors get besides their options,
    here and when they are built in earnest; a clock that stands still by default; runtime: values that were changed
    live, in the place of those of `runtime:`; confined: refuses files. Codecs, filters and balancers are built and
    forgotten again.
    """
    environ = os.environ if environ is None else environ
    root, problems = load(text, filename, environ, runtime)
    if root is None:
        return None, problems
    reading = Reading(
        filename,
        _folder(filename, folder),
        registry,
        environ,
        injected or {"clock": Clock(), "node": model.Node(), "clusters": ServiceClusters(Clock())},
        _RULES,
    )
    config = BROKEN
    try:
        _plugins_are_allowed(root, reading, confined)
        config = reading.read(_ROOT, root)
        reading.check_references()
        _files_are_allowed(config, root, reading, registry, confined)
    except Enough:
        pass
    problems = sorted({*problems, *reading.problems}, key=lambda problem: (problem.line, problem.column, problem.path))
    if problems or config is BROKEN:
        # What a file that can't be loaded was to bring is missing for that reason: it comes first.
        causes = file_problems(getattr(registry, "errors", {})) if reading.unknown_plugins else []
        return None, [*causes, *problems]
    warnings = sorted(reading.warnings, key=lambda problem: (problem.line, problem.column, problem.path))
    return replace(config, source=filename, warnings=tuple(warnings)), []


def _plugins_are_allowed(root: Node, reading: Reading, confined: Confinement | None) -> None:
    """Before anything else is looked at: what follows would miss the plugins. Raises Enough."""
    node = root.value.get("plugins") if isinstance(root.value, dict) else None
    if confined is None or node is None:
        return
    folders = reading.read(options(model.Config)["plugins"].kind, node)
    named = [NamedFile(("plugins", i), "plugins", str(one)) for i, one in enumerate(folders or ())]
    refused = list(confined.refused(named))
    for one, text in refused:
        reading.problem(place(root, one.keys), text)
    if refused:
        raise Enough


def _files_are_allowed(
    config: object, root: Node, reading: Reading, registry: Plugins, confined: Confinement | None
) -> None:
    if confined is not None and config is not BROKEN and not reading.problems:
        for one, text in confined.refused(named_files(config, registry.load)):
            reading.problem(place(root, one.keys), text)


def plugin_folders(
    text: str | bytes, filename: str, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> list[Path]:
    """The folders of `plugins:`, which a registry must know before it can serve `check`; [] where they are wrong."""
    root, _ = load(text, filename, environ)
    if root is None or not isinstance(root.value, dict) or "plugins" not in root.value:
        return []
    asks_for_none = cast(Plugins, None)
    reading = Reading(filename, _folder(filename, folder), asks_for_none, {}, {}, {})
    folders = reading.read(options(model.Config)["plugins"].kind, root.value["plugins"])
    return [] if folders is BROKEN else list(folders)


def _folder(filename: str, folder: Path | None) -> Path:
    return Path(filename).absolute().parent if folder is None else folder


# -- rules

T = TypeVar("T")
_RULES: dict[type, list[Callable[[Any, Reading], None]]] = {}


def _rule(section: type[T]) -> Callable[[Callable[[T, Reading], None]], Callable[[T, Reading], None]]:
    """Has the function called with each section of this type that was read."""

    def add(function: Callable[[T, Reading], None]) -> Callable[[T, Reading], None]:
        _RULES.setdefault(section, []).append(function)
        return function

    return add


@_rule(model.SecretSource)
def _read_secret(source: model.SecretSource, reading: Reading) -> None:
    if source.value is not None:
        text = str(source.value)
    elif source.env is not None:
        if source.env not in reading.environ:
            reading.problem(reading.at(source, "env"), f"no environment variable {source.env}")
            return
        text = reading.environ[source.env]
    else:
        try:
            text = _file_text(cast(Path, source.file))
        except (OSError, ValueError) as error:
            reading.problem(reading.at(source, "file"), f"{source.file}: {_reason(error)}")
            return
    reading.secrets[str(reading.at(source).key)] = Secret(text)


def _file_text(path: Path) -> str:
    """Raises OSError, or ValueError for what can't be a secret."""
    if not path.is_file():  # opening a pipe would wait for its other end
        raise ValueError("not a file" if path.exists() else "no such file")
    with path.open("rb") as file:
        data = file.read(MAX_SECRET + 1)
    if len(data) > MAX_SECRET:
        raise ValueError(f"more than {MAX_SECRET} bytes")
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("not a text in UTF-8") from None


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


@_rule(model.Admin)
def _admin_is_guarded(admin: model.Admin, reading: Reading) -> None:
    tokens = admin.tokens
    if admin.tls is not None:
        _reports(reading, admin.tls, lambda: admin_options(cast(model.AdminTls, admin.tls)))
        if admin.listen.startswith("unix:"):
            reading.problem(reading.at(admin, "tls"), "not over a Unix socket: only its user can reach it")
    if tokens is not None and tokens.read is None and tokens.write is None:
        reading.problem(reading.at(admin, "tokens"), "no token; write read: or write:, or both")
    if tokens is None and not reading.gives(admin, "tokens") and not admin.insecure and not _is_local(admin.listen):
        if reading.gives(admin, "tls"):
            if admin.tls is not None and admin.tls.client_ca is None:
                text = f"whoever reaches {admin.listen} may ask everything: give tokens:, or tls.client_ca"
                reading.warn(reading.at(admin, "tls"), text)
            return
        text = f"others can reach {admin.listen}; give tokens: or tls:, or say insecure: true"
        reading.problem(reading.at(admin, "listen"), text)


T_co = TypeVar("T_co")


def _reports(reading: Reading, section: object, make: Callable[[], T_co]) -> T_co | None:
    """What `make` gives, or None with its CertificateError reported at the option that is at fault."""
    try:
        return make()
    except CertificateError as error:
        reading.problem(reading.at(section, error.option), str(error))
        return None


@_rule(model.ServerTls)
def _server_can_use_its_certificates(tls: model.ServerTls, reading: Reading) -> None:
    if _reports(reading, tls, lambda: server_tls(tls)) is not None:
        own: list[model.ServerTls | model.Certificate] = [tls, *tls.certificates]
        for one in own:
            _tell_of_its_end(one.certificate, reading.at(one, "certificate"), reading)


@_rule(model.ClientTls)
def _client_can_use_its_certificates(tls: model.ClientTls, reading: Reading) -> None:
    if _reports(reading, tls, lambda: client_tls(tls, 1.0)) is not None and tls.certificate is not None:
        _tell_of_its_end(tls.certificate, reading.at(tls, "certificate"), reading)
    if not tls.verify:
        reading.warn(reading.at(tls, "verify"), "servers are not verified: anybody on the way can be one")


def _tell_of_its_end(path: Path, place: Node, reading: Reading) -> None:
    if certificates.read(path).not_after < time.time():
        reading.warn(place, f"{path}: the certificate has expired")


def _is_local(text: str) -> bool:
    where = address.parse(text)
    if where.family == socket.AF_UNIX or where.host == "localhost":
        return True
    return where.literal and ip_address(where.host).is_loopback


@_rule(model.Route)
def _some_weight(route: model.Route, reading: Reading) -> None:
    if route.clusters and not any(route.clusters.values()):
        reading.problem(reading.at(route, "clusters"), "all weights are 0; one at least must be above")


@_rule(model.AccessLog)
def _log_can_be_written(log: model.AccessLog, reading: Reading) -> None:
    if not os.path.isdir(log.file.parent):
        reading.problem(reading.at(log, "file"), f"{log.file}: there is no such folder")
    elif os.path.isdir(log.file):
        reading.problem(reading.at(log, "file"), f"{log.file} is a folder")


@_rule(model.AccessLog)
def _one_format(log: model.AccessLog, reading: Reading) -> None:
    if log.fields is not None and log.format not in ("text", "json"):
        reading.problem(reading.at(log, "fields"), "beside a `format` of its own; leave one of them out")


@_rule(model.Tracing)
def _opentelemetry_is_there(tracing: model.Tracing, reading: Reading) -> None:
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        reading.problem(reading.at(tracing), f"OpenTelemetry is not installed; {install('tracing')}")


@_rule(model.Config)
def _spans_go_somewhere(config: model.Config, reading: Reading) -> None:
    if config.tracing is not None or any(problem.path.startswith("tracing") for problem in reading.problems):
        return
    for listener in config.listeners:
        if listener.tracing is not None:
            text = "nothing says where spans go; write `tracing: {exporter: otlp, url: ...}` at the top"
            reading.problem(reading.at(listener, "tracing"), text)


@_rule(model.Listener)
def _routes_can_be_reached(listener: model.Listener, reading: Reading) -> None:
    if not listener.routes:
        reading.warn(reading.at(listener), "no routes; every request is answered with not_found")
    seen: dict[str, model.Route] = {}
    catch_all: model.Route | None = None
    for route in listener.routes:
        if route.name in seen:
            line = reading.at(seen[route.name], "name").line
            reading.problem(reading.at(route, "name"), f"a route {route.name!r} is there already, in line {line}")
        elif route.name:
            seen[route.name] = route
        if catch_all is not None:
            before = reading.at(catch_all)
            reading.warn(reading.at(route), f"never reached: {before.path}, in line {before.line}, takes every request")
        elif not route.match and route.percent == 100.0:
            catch_all = route


@_rule(model.Listener)
def _not_everybody_tells_who_clients_are(listener: model.Listener, reading: Reading) -> None:
    if listener.proxy_protocol is True and not all(map(_is_local, listener.listen)):
        text = "anyone who connects may claim any address; write {trusted: [NETWORK]}, of the proxies in front"
        reading.warn(reading.at(listener, "proxy_protocol"), text)


@_rule(model.Listener)
def _keys_are_known(listener: model.Listener, reading: Reading) -> None:
    codec = reading.built(listener.protocol)
    if codec is not None:
        check_keys(listener, codec, reading)


@_rule(model.Config)
def _keys_of_balancers_are_known(config: model.Config, reading: Reading) -> None:
    senders = references.senders(config)
    for cluster in config.clusters:
        uses = [cluster.protocol or listener.protocol for listener in senders.get(cluster.name, ())]
        codecs = {codec.name: codec for codec in map(reading.built, uses) if codec is not None}
        check_balancer_keys(cluster, list(codecs.values()), reading)


@_rule(model.Listener)
def _mutations_are_possible(listener: model.Listener, reading: Reading) -> None:
    codec = reading.built(listener.protocol)
    if codec is None or not codec.mutable:
        return
    text = f"messages of {listener.protocol.name} can't be changed: {codec.mutable}"
    for route in listener.routes:
        for key in ("request", "response"):
            if getattr(route, key) is not None:
                reading.problem(reading.at(route, key), text)


@_rule(model.Listener)
def _codecs_know_the_errors_of_filters(listener: model.Listener, reading: Reading) -> None:
    codec = reading.built(listener.protocol)
    if codec is None:
        return
    overrides = (use for route in listener.routes for use in route.filters.values() if use is not None)
    for use in (*listener.filters, *overrides):
        for name in getattr(reading.built(use), "error_names", ()):
            if not codec.knows(name):
                reading.problem(reading.at(use), f"{use.name}: {listener.protocol.name} has no error {name!r}")


@_rule(model.Listener)
def _overrides_override_something(listener: model.Listener, reading: Reading) -> None:
    filters = {use.name for use in listener.filters}
    written = reading.at(listener, "filters").value if reading.gives(listener, "filters") else []
    if not isinstance(written, list) or len(written) != len(listener.filters):
        return  # one of them is told of already, and may be the one that is meant
    for route in listener.routes:
        for name in route.filters:
            if name not in filters:
                at = cast("dict[str, Node]", reading.at(route, "filters").value)[name]
                text = f"the listener has no filter {name!r}; {near(name, filters, 'filter')}"
                reading.problem(at, text, key=True)


@_rule(model.Cluster)
def _endpoints_differ(cluster: model.Cluster, reading: Reading) -> None:
    if cluster.discovery is not None and reading.gives(cluster, "endpoints"):
        text = "endpoints and discovery exclude each other; write one of them"
        reading.problem(reading.at(cluster, "endpoints"), text)
    elif not reading.gives(cluster, "endpoints") and not reading.gives(cluster, "discovery"):
        reading.problem(reading.at(cluster), "endpoints is missing")
    elif not cluster.endpoints and not reading.gives(cluster, "discovery"):
        reading.warn(reading.at(cluster, "endpoints"), "no endpoints; every request is answered with no_endpoint")
    seen: dict[str, model.Endpoint] = {}
    for endpoint in cluster.endpoints:
        if endpoint.address in seen:
            line = reading.at(seen[endpoint.address]).line
            reading.problem(reading.at(endpoint, "address"), f"{endpoint.address} is there already, in line {line}")
        seen[endpoint.address] = endpoint


@_rule(model.Cluster)
def _balancer_can_be_built(cluster: model.Cluster, reading: Reading) -> None:
    endpoints = [Endpoint(one.address, one.weight, one.metadata) for one in cluster.endpoints]
    if cluster.discovery is not None:
        endpoints = [Endpoint("127.0.0.1:1")]  # any will do to see whether the options are right
    if endpoints:
        reading.build(cluster.balancer, endpoints)


@_rule(model.Config)
def _addresses_differ(config: model.Config, reading: Reading) -> None:
    taken: dict[tuple[int, int], dict[str, str]] = {}  # family and port -> host -> who listens there
    if not reading.gives(config.admin, "listen"):
        where = address.parse(config.admin.listen)
        taken[where.family, where.port] = {where.host: "admin, by default"}
    for where, node in reading.addresses:
        hosts = taken.setdefault((where.family, where.port), {})
        by = hosts.get(where.host)
        if where.family != socket.AF_UNIX:
            if not where.port:  # the system finds one that is free
                continue
            everywhere = "::" if where.family == socket.AF_INET6 else "0.0.0.0"
            by = by or hosts.get(everywhere) or (next(iter(hosts.values()), None) if where.host == everywhere else None)
        if by is not None:
            reading.problem(node, f"{node.text} is taken already, by {by}")
        hosts.setdefault(where.host, f"{node.path} in line {node.line}")


@_rule(model.Config)
def _clusters_fit_their_routes(config: model.Config, reading: Reading) -> None:
    clusters = {cluster.name: cluster for cluster in config.clusters}
    kinds = {one.name: {frozenset(end.metadata.items()) for end in one.endpoints} for one in config.clusters}
    for listener in config.listeners:
        for route in listener.routes:
            for name in references.clusters_of(route):
                if name in clusters:
                    _cluster_fits(listener, route, clusters[name], reading)
            for name in _targets(route):
                if name in clusters and clusters[name].discovery is None:
                    _subset_is_there(route, name, kinds[name], reading)
    used, asked = references.senders(config), references.asked(config)
    _services_are_there(config, clusters, reading)
    for cluster in config.clusters:
        _service_can_be_checked(cluster, cluster.name in asked and cluster.name not in used, reading)
        _fallback_fits(cluster, clusters, used, reading)
        _connections_fit(cluster, used.get(cluster.name, ()), reading)
        if cluster.name not in used and cluster.name not in asked:
            reading.warn(reading.at(cluster, "name"), f"no route leads to cluster {cluster.name!r}")


def _services_are_there(config: model.Config, clusters: Mapping[str, model.Cluster], reading: Reading) -> None:
    """Filters tell by `asks` which clusters they ask."""
    for listener in config.listeners:
        overrides = (use for route in listener.routes for use in route.filters.values() if use is not None)
        for use in (*listener.filters, *overrides):
            for name in getattr(reading.built(use), "asks", ()):
                if name not in clusters:
                    text = f"{use.name}: service.cluster: no cluster {name!r}; {near(name, clusters, 'cluster')}"
                    reading.problem(reading.at(use), text)
                elif clusters[name].has_original_destination:
                    text = f"{use.name}: service.cluster: {name!r} is where clients meant to go, and no service"
                    reading.problem(reading.at(use), text)


def _service_can_be_checked(cluster: model.Cluster, only_asked: bool, reading: Reading) -> None:
    check = cluster.health_check
    if only_asked and cluster.protocol is None and check is not None and "codec" in check.kind:
        text = "the cluster has no protocol, as only filters ask it; write tcp or http"
        reading.problem(reading.at(check, "kind"), text)


def _fallback_fits(
    cluster: model.Cluster,
    clusters: Mapping[str, model.Cluster],
    used: Mapping[str, list[model.Listener]],
    reading: Reading,
) -> None:
    for name in cluster.fallback:
        other = clusters.get(name)
        if name == cluster.name:
            reading.problem(reading.at(cluster, "fallback"), "a cluster can't fall back to itself")
        elif other is not None:
            for listener in used.get(cluster.name, ()):
                protocol = other.protocol or listener.protocol
                if protocol.name != listener.protocol.name:
                    text = f"cluster {name!r} speaks {protocol.name}, requests come from {listener.protocol.name}"
                    reading.problem(reading.at(cluster, "fallback"), text)
                    break


def _targets(route: model.Route) -> list[str]:
    return [route.cluster] if route.cluster is not None else list(route.clusters or ())


def _connections_fit(cluster: model.Cluster, senders: Sequence[model.Listener], reading: Reading) -> None:
    """Clients with connections of their own and clients that share them can't use the same cluster."""
    for listener in senders:
        ours = reading.built(cluster.protocol or senders[0].protocol)
        theirs = reading.built(listener.protocol)
        if ours is not None and theirs is not None and ours.affinity is not theirs.affinity:
            other = "the cluster's own protocol" if cluster.protocol else f"listener {senders[0].name!r}"
            text = f"clients of listener {listener.name!r} and {other} differ in whether connections are shared (mode)"
            reading.problem(reading.at(cluster, "name"), f"{text}; give each a cluster of its own")


def _cluster_fits(listener: model.Listener, route: model.Route, cluster: model.Cluster, reading: Reading) -> None:
    key = "mirror" if cluster.name not in _targets(route) else "cluster" if route.cluster is not None else "clusters"
    at = reading.at(route, key)
    protocol = cluster.protocol or listener.protocol
    if protocol.name != listener.protocol.name:
        speaks = f"cluster {cluster.name!r} speaks {protocol.name}, clients of the listener {listener.protocol.name}"
        reading.problem(at, f"{speaks}; metaproxy does not translate")
        return
    codec, mode = reading.built(protocol), cluster.connections.mode
    _probe_is_there(cluster, codec, reading)
    if codec is not None and codec.affinity is Affinity.CONNECTION and key == "mirror":
        reading.problem(at, f"clients of {protocol.name} have a state on their connection; a copy would miss it")
    if codec is not None and codec.affinity is Affinity.CONNECTION and route.retry is not None:
        text = f"has no effect behind a client's first request: clients of {protocol.name} have a state on a connection"
        reading.warn(reading.at(route, "retry"), text)
    if codec is not None and codec.affinity is Affinity.CONNECTION and mode not in (None, "pinned"):
        needs = f"each client of {protocol.name} needs a connection of its own to cluster {cluster.name!r}"
        reading.problem(at, f"{needs}; leave out its connections.mode ({mode}), or write pinned")
    balancer = reading.built(cluster.balancer)
    if route.hash and not getattr(balancer, "uses_hash", balancer is None and reading.gives(cluster, "balancer")):
        text = f"has no effect: the balancer of cluster {cluster.name!r}, {cluster.balancer.name}, looks at no hash"
        reading.warn(reading.at(route, "hash"), text)


@_rule(model.Cluster)
def _own_probe_is_there(cluster: model.Cluster, reading: Reading) -> None:
    _probe_is_there(cluster, reading.built(cluster.protocol), reading)


def _probe_is_there(cluster: model.Cluster, codec: ICodec | None, reading: Reading) -> None:
    check = cluster.health_check
    if check is not None and codec is not None and "codec" in check.kind and codec.probe() is None:
        text = f"{codec.name} has no probe, at least with these options; see its page, or write tcp"
        reading.problem(reading.at(check, "kind"), text)


def _subset_is_there(
    route: model.Route, cluster: str, kinds: set[frozenset[tuple[str, str]]], reading: Reading
) -> None:
    """kinds: the metadata that endpoints of the cluster have."""
    subset = (route.subset or {}).items()
    if subset and not any(subset <= kind for kind in kinds):
        text = f"no endpoint of cluster {cluster!r} has {', '.join(f'{key}: {value}' for key, value in subset)}"
        reading.warn(reading.at(route, "subset"), text)


@_rule(model.Config)
def _original_destinations_are_known(config: model.Config, reading: Reading) -> None:
    used = references.senders(config)
    for cluster in config.clusters:
        if not cluster.has_original_destination:
            continue
        if reading.gives(cluster, "balancer"):
            text = "has no effect: with discovery original_destination the client's connection decides"
            reading.warn(reading.at(cluster, "balancer"), text)
        for listener in used.get(cluster.name, ()):
            if not listener.original_destination:
                text = (
                    f"listener {listener.name!r} leads here and does not know it: original_destination: true is missing"
                )
                reading.problem(reading.at(cluster, "discovery"), text)


@_rule(model.Cluster)
def _slow_start_has_an_effect(cluster: model.Cluster, reading: Reading) -> None:
    if cluster.slow_start and getattr(reading.built(cluster.balancer), "uses_hash", False):
        text = f"has no effect: keys would move to and fro with the weights of {cluster.balancer.name}"
        reading.warn(reading.at(cluster, "slow_start"), text)


@_rule(model.Config)
def _zone_is_known(config: model.Config, reading: Reading) -> None:
    for cluster in config.clusters:
        if cluster.locality is not None and not config.node.zone:
            reading.warn(
                reading.at(cluster, "locality"), "has no effect: node.zone, the proxy's own zone, is not given"
            )


LITTLE = 64 << 20
"""Bytes that the process takes before it has done anything, about."""


@_rule(model.Overload)
def _there_is_room_for_the_process(overload: model.Overload, reading: Reading) -> None:
    if overload.max_memory and overload.max_memory < LITTLE:
        text = "the process alone takes about 64 MiB: it would refuse everything"
        reading.warn(reading.at(overload, "max_memory"), text)


@_rule(model.Config)
def _folders_exist(config: model.Config, reading: Reading) -> None:
    for folder in config.plugins:
        if not os.path.isdir(folder):
            reading.warn(reading.at(config, "plugins"), f"{folder} is no folder, or not yet")
    for folder in dict.fromkeys((*config.plugins, *reading.folders)):
        for text in who_else_writes(folder):
            reading.warn(reading.at(config, "plugins"), text)
