"""
An Envoy bootstrap as a whole configuration of ours.

Lives here: `load_bootstrap`, `read_bootstrap`, `translate_bootstrap`. Does not: its listeners and clusters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from google.protobuf.message import Message

from metaproxy.config.schema.load import Loaded, fill_live, load_foreign
from metaproxy.config.schema.nodes import Node, Problem, Scalar
from metaproxy.config.values import node_of
from metaproxy.envoy.addresses import address_of, host_and_port
from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.fields import Fields, number, shown_seconds, without_empty
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.memory_files import FILES, MemoryFiles
from metaproxy.envoy.message_types import message_class
from metaproxy.envoy.reading import Places, is_bootstrap, plain_of
from metaproxy.envoy.report import Report, Unusable
from metaproxy.envoy.resources import Resources, by_name
from metaproxy.envoy.sources import server_of, server_of_api
from metaproxy.envoy.tables import TRACERS, Context, Plain

TYPE = "envoy.config.bootstrap.v3.Bootstrap"
NO_ADMIN = "127.0.0.1:0"
"""Where the admin API listens when a bootstrap has none: at a free port, which the log names."""
_LOOPBACK = re.compile(r"127\.|::1$|localhost$")
_ENVOYS_OWN = ("envoy.", "re2.", "overload.")
"""How the names of runtime values begin that switch Envoy's own machinery."""


@dataclass(slots=True)
class Whole:
    """A bootstrap in our own form. plain: as its YAML has it; context: where its parts come from, what is wrong."""

    plain: Plain
    context: Context


@dataclass(slots=True)
class Found:
    """What a text is as a bootstrap. whole: None where `problems` say why; places: of its parts."""

    whole: Whole | None
    problems: list[Problem]
    warnings: list[Problem]
    places: Places


def read_bootstrap(text: str | bytes, filename: str, lenient: bool, memory: MemoryFiles | None = None) -> Found | None:
    """
    A bootstrap in our own form; None when the text is none. lenient: what can't be honoured is a warning; memory: takes
    certificates and keys that stand in it.
    """
    root, problems, odd = load_foreign(text, filename)
    places = Places(filename, root)
    if not is_bootstrap(root):
        return None
    if root is None or problems:
        return Found(None, problems, [], places)
    report = Report(lenient, memory)
    for warning in odd:
        report.warn(warning.path, warning.text)
    whole = translate_bootstrap(_message(plain_of(root), report), report)
    errors, warnings = (_by_place(map(places.problem, found)) for found in (report.errors, report.warnings))
    return Found(None if errors else whole, errors, warnings, places)


def load_bootstrap(
    text: str | bytes, filename: str, lenient: bool, runtime: Mapping[str, Scalar] | None = None
) -> Loaded | None:
    """A bootstrap as a tree of our own form; None when the text is none. lenient: see above; runtime: see `load`."""
    found = read_bootstrap(text, filename, lenient, FILES)
    if found is None:
        return None
    if found.whole is None:
        return Loaded(None, found.problems)
    tree = node_of(found.whole.plain)
    tree.line, tree.column = 1, 1
    moved = _put_in_place(tree, found.whole, found.places)
    wrong = fill_live(tree, filename, runtime or {})
    return Loaded(tree, wrong, found.warnings, moved, frozenset(found.whole.context.used))


def _message(plain: object, report: Report) -> Message:
    kind = message_class(TYPE)
    assert kind is not None
    message = kind()
    fill(message, plain, "", report)
    return message


def _by_place(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path))


def _put_in_place(tree: Node, whole: Whole, places: Places) -> Callable[[Problem], Problem]:
    """Give the nodes of our tree the lines of what they come from. Return what says so of a problem's path."""
    origins: dict[str, str] = {}

    def visit(node: Node, value: object, line: int, column: int) -> None:
        placed = whole.context.placed.get(id(value))
        if placed is not None:
            origins[node.path] = placed[1]
            origin = places.node(placed[1])
            line, column = (origin.line, origin.column) if origin is not None else (line, column)
        node.line, node.column = line, column
        if isinstance(node.value, dict) and isinstance(value, Mapping):
            for key, child in node.value.items():
                visit(child, value[key], line, column)
        elif isinstance(node.value, list) and isinstance(value, (list, tuple)):
            for child, item in zip(node.value, value, strict=True):
                visit(child, item, line, column)

    visit(tree, whole.plain, tree.line, tree.column)

    def moved(problem: Problem) -> Problem:
        path = problem.path
        while path and path not in origins:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        if not path:
            return problem
        rest = problem.path[len(path) :].removeprefix(".")
        return replace(problem, path=origins[path], text=f"{rest}: {problem.text}" if rest else problem.text)

    return moved


def translate_bootstrap(bootstrap: Message, report: Report) -> Whole:
    """The whole configuration of an envoy.config.bootstrap.v3.Bootstrap."""
    fields = Fields(bootstrap, "", report)
    static = fields.message_at("static_resources")
    context = Context(report, _resources(static), live=True)
    plain: Plain = {"node": _node(fields), "admin": _admin(fields)}
    values = _runtime(fields)
    context.runtime = values
    context.tracer = _tracer(fields, context)
    ads = _dynamic(fields, context)
    listeners, clusters = _static(static, context)
    if ads is not None or context.servers:
        clusters += _expected(listeners, clusters, [*([ads] if ads is not None else []), *context.servers.values()])
    _beside(fields)
    fields.close()
    plain["runtime"] = {**values, **context.runtime_found}
    plain["tracing"] = context.tracing
    plain["xds"] = [*([ads] if ads is not None else []), *context.servers.values()]
    return Whole({**without_empty(plain), "listeners": listeners, "clusters": clusters}, context)


def _resources(static: Fields | None) -> Resources:
    if static is None:
        return Resources()
    return Resources(
        clusters=by_name("clusters", [one.message for one in static.each("clusters")]),
        secrets=by_name("secrets", [one.message for one in static.each("secrets")]),
    )


def _static(static: Fields | None, context: Context) -> tuple[list[Plain], list[Plain]]:
    listeners: list[Plain] = []
    clusters: list[Plain] = []
    if static is None:
        return listeners, clusters
    for one in static.each("listeners"):
        listeners += translate_listener(one.message, context, one.path).sections
    for one in static.each("clusters"):
        clusters += translate_cluster(one.message, context, one.path).sections
    for kind in ("listeners", "clusters", "secrets"):
        static.leave(kind)  # these reported what they don't honour, and secrets are read by who refers to them
    return listeners, clusters


def _expected(listeners: list[Plain], clusters: list[Plain], servers: list[Plain]) -> list[Plain]:
    """Clusters that listeners name and a server is to send: by their names alone, until they come."""
    if not any("clusters" in resources for one in servers if isinstance(resources := one["resources"], list)):
        return []
    known = {one["name"] for one in clusters}
    missing = dict.fromkeys(name for name in _named(listeners) if name not in known)
    return [{"name": name, "endpoints": []} for name in missing]


def _named(value: object) -> Iterator[str]:
    """The clusters that sections name: `cluster: NAME` and `clusters: {NAME: WEIGHT}`, wherever they stand."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "cluster" and isinstance(item, str):
                yield item
            elif key == "clusters" and isinstance(item, Mapping):
                yield from map(str, item)
            else:
                yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)


# -- node, admin


def _node(fields: Fields) -> Plain:
    node = fields.message_at("node")
    if node is None:
        return {}
    plain: Plain = {"id": node.text("id"), "cluster": node.text("cluster")}
    locality = node.message_at("locality")
    if locality is not None:
        plain["zone"] = locality.text("zone")
        for name in ("region", "sub_zone"):
            if locality.given(name):
                locality.report.warn(locality.at(name), "only the zone of a proxy is known")
        locality.ignore("region", "sub_zone")
    plain["metadata"] = _texts(node.struct("metadata"))
    node.ignore("user_agent_name", "user_agent_version", "user_agent_build_version", "client_features", "extensions")
    return without_empty(plain)


def _texts(value: object) -> object:
    """Metadata of a node, in which numbers and flags are texts."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_texts(item) for item in value if item is not None]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _admin(fields: Fields) -> Plain:
    admin = fields.message_at("admin")
    if admin is None:
        return {"listen": NO_ADMIN}
    listen = address_of(admin.message_at("address"))
    admin.refuse("access_log_path", "there is no log of the admin API: write /dev/null", "/dev/null")
    admin.refuse("profile_path", "there is no profile at exit", "/dev/null", "/var/log/envoy/envoy.prof")
    admin.ignore("ignore_global_conn_limit")
    if listen is None:
        admin.report.warn(admin.path, "no address; the admin API listens at a free port of 127.0.0.1")
        return {"listen": NO_ADMIN}
    plain: Plain = {"listen": listen}
    if not listen.startswith("unix:") and not _LOOPBACK.match(host_and_port(listen)[0]):
        admin.report.warn(admin.at("address"), f"everyone who reaches {listen} may ask the admin API everything")
        plain["insecure"] = True
    return plain


# -- runtime, tracing


def _runtime(fields: Fields) -> Plain:
    layered = fields.message_at("layered_runtime")
    values: Plain = {}
    if layered is None:
        return values
    for layer in layered.each("layers"):
        layer.ignore("name")
        layer.ignore("admin_layer")  # PUT /runtime/NAME of our admin API
        if layer.given("static_layer"):
            values.update(_flat(layer.struct("static_layer"), ""))
    own = sorted(name for name in values if name.startswith(_ENVOYS_OWN))
    if own:
        fields.report.warn("layered_runtime", f"switches of Envoy's own, which change nothing here: {', '.join(own)}")
    return {name: value for name, value in values.items() if name not in own}


def _flat(values: Mapping[str, object], prefix: str) -> Plain:
    found: Plain = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and "numerator" in value:
            found[f"{prefix}{name}"] = _fraction(value)
        elif isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        elif isinstance(value, (str, int, float)):
            found[f"{prefix}{name}"] = value
    return found


def _fraction(value: Mapping[str, object]) -> float:
    numerator = value["numerator"]
    scale = {"TEN_THOUSAND": 100.0, "MILLION": 10000.0}.get(str(value.get("denominator", "HUNDRED")), 1.0)
    return number(float(numerator) / scale) if isinstance(numerator, (int, float)) else 0


def _tracer(fields: Fields, context: Context) -> Plain | None:
    tracing = fields.message_at("tracing")
    http = tracing.message_at("http") if tracing is not None else None
    if http is None:
        return None
    extension = http.extension()
    try:
        found = TRACERS.find(extension, context.report)
        if found is not None:
            return found[0](found[1], context)
        context.report.unhonoured(extension.path, TRACERS.unknown(extension))
    except Unusable:  # reported; all else is looked at, too
        pass
    return None


# -- servers


def _dynamic(fields: Fields, context: Context) -> Plain | None:
    """The item of `xds:` of the aggregated stream; other servers are kept in the context."""
    dynamic = fields.message_at("dynamic_resources")
    if dynamic is None:
        return None
    resources: list[str] = []
    timeout: float | None = None
    for name, kind in (("lds_config", "listeners"), ("cds_config", "clusters")):
        source = dynamic.message_at(name)
        if source is None:
            continue
        if source.which("config_source_specifier") == "ads":
            resources.append(kind)
            timeout = source.seconds("initial_fetch_timeout", timeout)
        server_of(source, "listeners" if kind == "listeners" else "clusters", context)
    config = dynamic.message_at("ads_config")
    if config is None:
        if resources:
            dynamic.report.invalid(dynamic.path, f"{' and '.join(resources)} by ads, and no ads_config")
        return None
    server, plain = server_of_api(config, context)
    if server is None:
        return None
    whole = {"name": server, **plain, "ads": True}
    whole["resources"] = [*resources, "routes", "endpoints", "secrets", "extensions"]
    if timeout is not None:
        whole["initial_fetch_timeout"] = shown_seconds(timeout)
    return context.place(whole, config.path)


def _beside(fields: Fields) -> None:
    """What changes nothing here."""
    fields.ignore("stats_flush_interval", "stats_flush_on_admin")  # metrics are asked for, and never pushed
    fields.ignore("enable_dispatcher_stats", "stats_server_version_override")
    manager = fields.message_at("cluster_manager")
    if manager is not None:
        manager.ignore("local_cluster_name")  # the own zone is the node's
