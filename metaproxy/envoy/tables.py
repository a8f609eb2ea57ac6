"""
Which extensions metaproxy knows, and what translates each: a table for each place in which one may stand.

Lives here: `Table`, the tables, `Chain`, `Context`, `Need`. Does not: translators (`extensions/`, whose modules add
themselves here and are loaded when a table is first asked).

An extension is found by the type of its message, or else by its name: control planes send names of their own choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, NamedTuple, TypeVar

from metaproxy.envoy.fields import Extension, Fields
from metaproxy.envoy.message_types import message_class
from metaproxy.envoy.report import Report, Unusable
from metaproxy.envoy.resources import Kind, Resources
from metaproxy.support.nearest_name import did_you_mean

T = TypeVar("T")
Plain = dict[str, object]
"""A section of our own configuration, exactly as its YAML has it."""

ADS = "ads"
"""The server of a `Need` that the aggregated stream brings."""


class Need(NamedTuple):
    """A resource that a message refers to. server: `ads`, the name of a server's cluster, or the path of a file."""

    kind: Kind
    name: str
    server: str


@dataclass(slots=True)
class Context:
    """
    What translators know besides the message. resources: the others that there are; runtime: values in force by their
    keys; live: whether a runtime key of a message becomes `{runtime: KEY}` (in a whole configuration, which has a
    place for its value) or the value itself; tracer: what traces where a listener does not say it.

    What translators find besides sections: runtime values, the process's `tracing:`, what is needed from servers, and
    these servers, each as an item of `xds:` by its name; where sections come from, by their identity; and the clusters
    that only messages refer to. hurried: needs without which the resource is used already.
    """

    report: Report
    resources: Resources = field(default_factory=Resources)
    runtime: Mapping[str, object] = field(default_factory=dict)
    live: bool = False
    tracer: Plain | None = None
    runtime_found: Plain = field(default_factory=dict)
    tracing: Plain | None = None
    needs: list[Need] = field(default_factory=list)
    hurried: set[Need] = field(default_factory=set)
    servers: dict[str, Plain] = field(default_factory=dict)
    placed: dict[int, tuple[Plain, str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def place(self, section: Plain, path: str) -> Plain:
        """Keep where a section, which is returned, comes from: what is wrong with it is reported there."""
        self.placed[id(section)] = (section, path)
        return section

    def need(self, kind: Kind, name: str, server: str, waits: bool = True) -> None:
        """waits: whether the resource is not used before it is there."""
        need = Need(kind, name, server)
        if need not in self.needs:
            self.needs.append(need)
        if not waits:
            self.hurried.add(need)

    def at_runtime(self, key: str, default: object, path: str) -> object:
        """What a runtime key stands for: a value, or the reference to one that can be changed live."""
        if not key:
            return default
        value = self.runtime.get(key, default)
        if not self.live:
            return value
        if self.runtime_found.setdefault(key, value) != value:
            self.report.warn(path, f"another default of the runtime key {key!r}; {value} is written here in its place")
            return value
        return {"runtime": key}


@dataclass(slots=True)
class Chain:
    """
    One filter chain, as it becomes a listener of ours. section: the keys of that listener, set by translators; filters:
    what requests pass; direction: inbound, outbound or unspecified.
    """

    context: Context
    direction: str = "unspecified"
    section: Plain = field(default_factory=dict)
    filters: list[object] = field(default_factory=list)
    terminal: str = ""

    @property
    def report(self) -> Report:
        return self.context.report


Adder = Callable[[T], T]
RouteTranslator = Callable[[Fields, Chain], "list[Plain]"]
ROUTES: dict[str, RouteTranslator] = {}
"""Codec of a listener -> what makes its routes of an envoy.config.route.v3.RouteConfiguration; see `routes`."""


class Table(Generic[T]):
    """Translators by the type of the message that they read. what: what the extensions are, for errors."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.types: dict[str, T] = {}
        self.names: dict[str, str] = {}

    def add(self, type: str, *names: str) -> Adder[T]:
        """Decorate the translator of a type, by its full name. names: under which the extension is known besides."""

        def added(translator: T) -> T:
            self.types[type] = translator
            self.names.update(dict.fromkeys(names, type))
            return translator

        return added

    def find(self, extension: Extension, report: Report) -> tuple[T, Fields] | None:
        """
        The translator of an extension, and the message that it reads: an empty one where nothing is packed. None when
        metaproxy has no such extension. Raises Unusable when the message could not be read, which is reported.
        """
        load_extensions()
        kind = extension.type or self.names.get(extension.name, "")
        translator = self.types.get(kind)
        if translator is None:
            if extension.config is not None:
                extension.config.give_up()
            return None
        config = extension.config
        if config is None:
            found = message_class(kind)
            if extension.type or found is None:
                raise Unusable(f"{extension.path}: not read")
            config = Fields(found(), extension.path, report)
        return translator, config

    def unknown(self, extension: Extension) -> str:
        """What to report of an extension that is not there."""
        if extension.type:
            known: Iterable[str] = self.types
            return f"metaproxy has no {self.what} of the type {extension.type}; {_listed(extension.type, known)}"
        return f"metaproxy has no {self.what} {extension.name!r}; {_listed(extension.name, self.names)}"


def _listed(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    return did_you_mean(name, names, f"there are {', '.join(names)}" if names else "there is none", cutoff=0.8)


@cache
def load_extensions() -> None:
    """Import every module of `extensions`, which adds its translators to the tables."""
    package = import_module("metaproxy.envoy.extensions")
    for module in iter_modules(package.__path__, "metaproxy.envoy.extensions."):
        import_module(module.name)


NetworkFilter = Callable[[Fields, Chain], None]
"""Puts what a network filter says into `chain.section` and `chain.filters`; a terminal one sets `chain.terminal`."""
L7Filter = Callable[[Fields, Chain], "list[object]"]
"""The filters that a filter of MetaProtocolProxy becomes; [] for one that has no counterpart and needs none."""
AccessLogger = Callable[[Fields, Fields, Chain], "Plain | None"]
"""(its message, the AccessLog around it, the chain) -> an item of `access_log:`; None for one that it reported."""
Tracer = Callable[[Fields, Context], "Plain | None"]
"""What a tracer's message becomes as `tracing:` of the process; None when it reported that it can't."""
TransportSocket = Callable[[Fields, Context], "Plain | None"]
"""What a transport socket's message becomes as `tls:`; None for none."""

ProtocolOptions = Callable[[Fields, "Plain", Context], None]
"""Puts what a cluster's typed_extension_protocol_options say into the cluster's section."""
ClusterType = Callable[[Fields, Fields, Context], "Plain"]
"""(its message, the Cluster around it, the context) -> keys of the cluster, `endpoints` or `discovery` among them."""

NETWORK_FILTERS: Table[NetworkFilter] = Table("network filter")
L7_FILTERS: Table[L7Filter] = Table("filter of MetaProtocolProxy")
ACCESS_LOGGERS: Table[AccessLogger] = Table("access logger")
TRACERS: Table[Tracer] = Table("tracer")
DOWNSTREAM_SOCKETS: Table[TransportSocket] = Table("transport socket of listeners")
UPSTREAM_SOCKETS: Table[TransportSocket] = Table("transport socket of clusters")
LISTENER_FILTERS: Table[NetworkFilter] = Table("listener filter")
PROTOCOL_OPTIONS: Table[ProtocolOptions] = Table("protocol options of clusters")
CLUSTER_TYPES: Table[ClusterType] = Table("cluster type")
