"""
Envoy resources of a mesh as sections of our own configuration, kept while the messages are the same.

Lives here: `Sections`. Does not: making the messages (`generator`), putting sections in force (`metaproxy.app.mesh`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.message import Message

from metaproxy.config import model
from metaproxy.config.references import asked, clusters_of
from metaproxy.config.slices import checkpoint
from metaproxy.config.values import Context, read_section
from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.routes import routes_of
from metaproxy.envoy.tables import Context as Translation
from metaproxy.envoy.tables import Plain
from metaproxy.mesh.generator.generator import Update

S = TypeVar("S", model.Listener, model.Cluster)


@dataclass(slots=True)
class Outcome:
    """listeners, clusters: by name. refused: lines of what is wrong with others; warnings: of what is not honoured."""

    listeners: dict[str, model.Listener] = field(default_factory=dict)
    clusters: dict[str, model.Cluster] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Kept:
    """
    What was made of messages. section: None when they are refused; routes: those that a listener refers to; named: the
    clusters that it names.
    """

    messages: tuple[Message | None, ...]
    section: model.Listener | model.Cluster | None
    refused: list[str]
    warnings: list[str]
    routes: str = ""
    named: tuple[str, ...] = ()


class Sections:
    """
    Translates, and remembers what it translated: only what has changed is looked at. traced: whether the process has a
    tracer, without which spans would go nowhere.
    """

    def __init__(self, traced: bool = False) -> None:
        self._tracer: Plain | None = {} if traced else None
        self._listeners: dict[str, _Kept] = {}
        self._clusters: dict[str, _Kept] = {}
        self._sections = Outcome()
        self._lines: dict[tuple[str, str], _Kept] = {}
        self._named: Counter[str] = Counter()

    def of(self, resources: Resources, context: Context) -> Outcome:
        """As `updated`, whatever has changed."""
        listeners, clusters = {*self._listeners, *resources.listeners}, {*self._clusters, *resources.clusters}
        return self.updated(Update(resources, listeners, clusters), context)

    def updated(self, update: Update, context: Context) -> Outcome:
        """Return the sections of all resources. A resource that is wrong is left out, and costs no other."""
        resources = update.resources
        looked: set[str] = set(update.clusters)
        for name in sorted(update.listeners):
            listener, kept = resources.listeners.get(name), self._listeners.get(name)
            if listener is not None:
                kept = _kept_listener(kept, listener, resources) or _listener(
                    listener, resources, context, self._tracer
                )
            looked.update(self._take("listener", name, kept if listener is not None else None))
        for name in sorted(update.clusters):
            cluster, endpoints = resources.clusters.get(name), resources.endpoints.get(name)
            if cluster is not None:
                before = _same(self._clusters.get(name), (cluster, endpoints))
                self._take("cluster", name, before or _cluster(cluster, endpoints, context))
            else:
                self._take("cluster", name, None)
        for name in sorted(looked):
            self._fill(name, context)
        return self._outcome()

    def _take(self, kind: str, name: str, kept: _Kept | None) -> set[str]:
        """Keep what was made of a resource, None where it is gone. Return the clusters that it named or names."""
        known = self._listeners if kind == "listener" else self._clusters
        before = known.pop(name, None)
        self._lines.pop((kind, name), None)
        self._named.subtract(before.named if before is not None else ())
        into = self._sections.listeners if kind == "listener" else self._sections.clusters
        into.pop(name, None)
        if kept is None:
            return {*(before.named if before is not None else ())}
        if kept.section is None and before is not None:  # refused: the version before stays
            kept.section, kept.named = before.section, before.named
        known[name] = kept
        self._named.update(kept.named)
        if kept.refused or kept.warnings:
            self._lines[kind, name] = kept
        if isinstance(kept.section, model.Listener):
            self._sections.listeners[name] = kept.section
        elif kept.section is not None:
            self._sections.clusters[name] = kept.section
        return {*kept.named, *(before.named if before is not None else ())}

    def _fill(self, name: str, context: Context) -> None:
        """
        Have a cluster without endpoints where listeners name one that is not there, or is refused: requests to it get
        an error, no others do.
        """
        known = self._clusters.get(name)
        if known is not None and known.section is not None:
            return
        if self._named[name] <= 0:
            del self._named[name]
            self._sections.clusters.pop(name, None)
        elif name not in self._sections.clusters:
            section = _read(model.Cluster, {"name": name, "endpoints": []}, Report(), context).section
            if isinstance(section, model.Cluster):
                self._sections.clusters[name] = section

    def _outcome(self) -> Outcome:
        refused = [text for kept in self._lines.values() for text in kept.refused]
        warnings = [text for kept in self._lines.values() for text in kept.warnings]
        return Outcome(dict(self._sections.listeners), dict(self._sections.clusters), refused, warnings)


def _same(kept: _Kept | None, messages: tuple[Message | None, ...]) -> _Kept | None:
    """Return what is kept if it was made of the same messages."""
    if kept is None or len(kept.messages) != len(messages):
        return None
    same = all(one is other or one == other for one, other in zip(kept.messages, messages, strict=True))
    return kept if same else None


# -- listeners


def _kept_listener(kept: _Kept | None, listener: Message, resources: Resources) -> _Kept | None:
    """Return what is kept if neither the listener nor its routes have changed."""
    routes = resources.routes.get(kept.routes) if kept is not None else None
    return _same(kept, (listener, routes))


def _listener(listener: Message, resources: Resources, context: Context, tracer: Plain | None) -> _Kept:
    translation = Translation(Report(lenient=True), resources, tracer=tracer)
    translated = translate_listener(listener, translation)
    name = str(getattr(listener, "name", ""))
    if translated.skipped or not translated.sections:
        text = translated.skipped or f"listener {name!r}: nothing is made of it"
        return _Kept((listener, None), None, [text], [])
    plain = {**translated.sections[0], "name": name}
    given = plain.get("routes")
    rds = given.get("rds") if isinstance(given, dict) else None
    routes_name = str(rds["name"]) if isinstance(rds, dict) else ""
    routes = resources.routes.get(routes_name)
    if rds is not None:
        plain["routes"] = [] if routes is None else routes_of(routes, translation)
    kept = _read(model.Listener, plain, translation.report, context)
    kept.messages, kept.routes = (listener, routes), routes_name
    if isinstance(kept.section, model.Listener):
        kept.named = _named_by(kept.section)
    return kept


def _named_by(listener: model.Listener) -> tuple[str, ...]:
    """Return the clusters that a listener sends to or asks, each once."""
    named = {name: None for route in listener.routes for name in clusters_of(route)}
    return tuple(named | dict.fromkeys(asked(model.Config(listeners=(listener,)))))


# -- clusters


def _cluster(cluster: Message, endpoints: Message | None, context: Context) -> _Kept:
    report = Report(lenient=True)
    translated = translate_cluster(_with_endpoints(cluster, endpoints), Translation(report))
    if translated.skipped or not translated.sections:
        text = translated.skipped or f"cluster {getattr(cluster, 'name', '')!r}: nothing is made of it"
        return _Kept((cluster, endpoints), None, [text], [])
    kept = _read(model.Cluster, translated.sections[0], report, context)
    kept.messages = (cluster, endpoints)
    return kept


def _with_endpoints(cluster: Message, endpoints: Message | None) -> Message:
    """Return a cluster that has its endpoints itself."""
    if endpoints is None:
        return cluster
    whole = Cluster()
    whole.CopyFrom(cluster)
    whole.type = Cluster.STATIC
    whole.ClearField("eds_cluster_config")
    whole.load_assignment.CopyFrom(endpoints)
    made: Message = whole
    return made


# -- both


def _read(kind: type[S], plain: Mapping[str, object], report: Report, context: Context) -> _Kept:
    checkpoint()
    refused = [str(one) for one in report.errors]
    section, problems = read_section(kind, plain, context)
    refused += [f"{problem.path}: {problem.text}" for problem in problems]
    warnings = [str(one) for one in report.warnings]
    return _Kept((), None if refused else section, refused, warnings)
