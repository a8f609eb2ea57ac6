"""
Envoy resources of a mesh as sections of our own configuration, kept while the messages are the same.

Lives here: `Sections`. Does not: making the messages (`generator`), putting sections in force (`metaproxy.app.mesh`).
"""

from __future__ import annotations

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
    """What was made of messages. section: None when they are refused; routes: those that a listener refers to."""

    messages: tuple[Message | None, ...]
    section: model.Listener | model.Cluster | None
    refused: list[str]
    warnings: list[str]
    routes: str = ""


class Sections:
    """Translates, and remembers what it translated."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}

    def of(self, resources: Resources, context: Context) -> Outcome:
        """Return the sections of resources. A resource that is wrong is left out, and costs no other."""
        outcome = Outcome()
        before, self._kept = self._kept, {}
        for name, listener in resources.listeners.items():
            key = ("listener", name)
            kept = self._kept[key] = _kept_listener(before.get(key), listener, resources) or _listener(
                listener, resources, context
            )
            _add(kept, outcome, outcome.listeners, model.Listener)
        for name, cluster in resources.clusters.items():
            key, messages = ("cluster", name), (cluster, resources.endpoints.get(name))
            kept = self._kept[key] = _same(before.get(key), messages) or _cluster(*messages, context)
            _add(kept, outcome, outcome.clusters, model.Cluster)
        for name in _missing(outcome):
            _add(_empty(name, context), outcome, outcome.clusters, model.Cluster)
        return outcome


def _same(kept: _Kept | None, messages: tuple[Message | None, ...]) -> _Kept | None:
    """Return what is kept if it was made of the same messages."""
    if kept is None or len(kept.messages) != len(messages):
        return None
    same = all(one is other or one == other for one, other in zip(kept.messages, messages, strict=True))
    return kept if same else None


def _add(kept: _Kept, outcome: Outcome, into: dict[str, S], kind: type[S]) -> None:
    outcome.refused += kept.refused
    outcome.warnings += kept.warnings
    if isinstance(kept.section, kind):
        into[kept.section.name] = kept.section


# -- listeners


def _kept_listener(kept: _Kept | None, listener: Message, resources: Resources) -> _Kept | None:
    """Return what is kept if neither the listener nor its routes have changed."""
    routes = resources.routes.get(kept.routes) if kept is not None else None
    return _same(kept, (listener, routes))


def _listener(listener: Message, resources: Resources, context: Context) -> _Kept:
    translation = Translation(Report(lenient=True), resources)
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
    return kept


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


def _missing(outcome: Outcome) -> list[str]:
    """Return the clusters that listeners name and that are not there: requests to them get an error, no others do."""
    listeners = tuple(outcome.listeners.values())
    named = {name: None for one in listeners for route in one.routes for name in clusters_of(route)}
    named |= dict.fromkeys(asked(model.Config(listeners=listeners)))
    return [name for name in named if name not in outcome.clusters]


def _empty(name: str, context: Context) -> _Kept:
    return _read(model.Cluster, {"name": name, "endpoints": []}, Report(), context)


# -- both


def _read(kind: type[S], plain: Mapping[str, object], report: Report, context: Context) -> _Kept:
    checkpoint()
    refused = [str(one) for one in report.errors]
    section, problems = read_section(kind, plain, context)
    refused += [f"{problem.path}: {problem.text}" for problem in problems]
    warnings = [str(one) for one in report.warnings]
    return _Kept((), None if refused else section, refused, warnings)
