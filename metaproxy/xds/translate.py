"""
From the bytes of a resource to sections of the configuration, with what it needs besides.

Lives here: `Translator`, for one server. Does not: what Envoy's messages mean (`envoy`), when a section is put in force
(`warming`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TypeVar

from google.protobuf.message import Message

from metaproxy.config import model
from metaproxy.config.schema.nodes import Problem
from metaproxy.config.schema.shape import Section
from metaproxy.config.slices import checkpoint
from metaproxy.config.values import Context as ReadingContext
from metaproxy.config.values import read_section
from metaproxy.envoy.clusters import translate_cluster
from metaproxy.envoy.endpoints import endpoints_of
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.listeners import translate_listener
from metaproxy.envoy.memory_files import FILES
from metaproxy.envoy.report import Report
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.routes import routes_of
from metaproxy.envoy.tables import ADS, Context, Plain
from metaproxy.envoy.translated import Translated
from metaproxy.xds.resource_types import BY_NAME

S = TypeVar("S", bound=Section)

PARTS = ("secrets", "extensions")
"""Kinds of resources of which others are made: one that refers to these is made again when they are others."""
MAX_TEXTS = 20
"""Findings about one resource that are reported."""


@dataclass(frozen=True, slots=True)
class Need:
    """A resource that another one refers to. server: the name of an item of `xds:`."""

    server: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class ListenerForm:
    """
    A listener that may wait for routes. section: with no routes while it does; rds: which it waits for; plain: what the
    section was read from.
    """

    section: model.Listener
    plain: Mapping[str, object]
    rds: Need | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """
    What a resource becomes. error: why it is refused; skipped: why it is beyond this proxy; warnings: what is odd or
    not done of it; needs: what must be there before it is used, but for the `hurried` ones; missing: those without
    which it can't even be read, see `PARTS`; servers: items of `xds:` that it describes, by name.
    """

    clusters: tuple[model.Cluster, ...] = ()
    listeners: tuple[ListenerForm, ...] = ()
    endpoints: tuple[Mapping[str, object], ...] = ()
    needs: tuple[Need, ...] = ()
    hurried: frozenset[Need] = frozenset()
    missing: tuple[Need, ...] = ()
    error: str = ""
    skipped: str = ""
    warnings: tuple[str, ...] = ()
    servers: Mapping[str, Plain] = field(default_factory=dict)


Resolve = Callable[[str], str]
"""The name of a server, as a resource refers to it -> that of an item of `xds:`."""


class Translator:
    """
    reading: gives what sections are read with; lenient: what can't be done of a resource is a warning; resolve: see
    `Resolve`; parts: the resources of these kinds that are there, by name; runtime: the values of `runtime:`; tracer:
    `tracing:` of the process.
    """

    def __init__(
        self,
        reading: Callable[[], ReadingContext],
        lenient: bool,
        resolve: Resolve,
        parts: Mapping[str, Mapping[str, Message]],
        runtime: Mapping[str, object] | None = None,
        tracer: Plain | None = None,
    ) -> None:
        self._reading = reading
        self._known: ReadingContext | None = None
        self._lenient = lenient
        self._resolve = resolve
        self._resources = Resources(**parts)
        self._runtime = runtime or {}
        self._tracer = tracer

    def with_extension(self, name: str, message: Message) -> Translator:
        """Return a translator for which the configuration of a filter is this one."""
        other = copy(self)
        other._resources = replace(self._resources, extensions={**self._resources.extensions, name: message})
        return other

    def build(self, kind: str, value: bytes) -> Built:
        """Return what a resource becomes; of routes, secrets and extensions only what is wrong with them."""
        checkpoint()
        message = BY_NAME[kind].message.FromString(value)
        if kind == "clusters":
            return self._cluster(message)
        if kind == "endpoints":
            return self._endpoints(message)
        if kind == "listeners":
            return self._listener(message)
        return Built()

    def with_routes(self, form: ListenerForm, value: bytes) -> tuple[model.Listener | None, Built]:
        """Return a listener with the routes of a RouteConfiguration, None where `Built.error` says why it has none."""
        checkpoint()
        context = self._context()
        message = BY_NAME["routes"].message.FromString(value)
        routes = routes_of(message, context, form.section.protocol.name, listener=form.plain)
        if context.report.errors:
            return None, Built(error=_texts(context.report.errors))
        section, problems = self._read(model.Listener, {**form.plain, "routes": routes})
        if section is None:
            return None, Built(error=_texts(problems))
        made = replace(form.section, routes=section.routes)
        return made, Built(warnings=tuple(map(str, context.report.warnings[:MAX_TEXTS])))

    def form_of(self, listener: model.Listener, server: str) -> ListenerForm:
        """Return the form of a listener of the file that waits for routes of `server`."""
        plain: Plain = {
            "name": listener.name,
            "listen": list(listener.listen),
            "protocol": {"name": listener.protocol.name, **listener.protocol.options},
            "filters": [{use.name: dict(use.options)} for use in listener.filters],
        }
        rds = listener.routes
        assert isinstance(rds, model.Rds)
        return ListenerForm(replace(listener, routes=()), plain, Need(server, "routes", rds.name))

    # -- kinds

    def _cluster(self, message: Message) -> Built:
        outcome = translate_cluster(message, self._context())
        built, sections = self._read_all(model.Cluster, outcome, self._found_at)
        return replace(built, clusters=tuple(sections))

    def _found_at(self, plain: Plain) -> Plain:
        """Say which server has the endpoints of a cluster."""
        discovery = plain.get("discovery")
        if isinstance(discovery, dict) and "eds" in discovery:
            server = self._resolve(str(discovery.get("server", ADS)))
            return {**plain, "discovery": {**discovery, "server": server}}
        return plain

    def _endpoints(self, message: Message) -> Built:
        report = Report(self._lenient)
        name = getattr(message, "cluster_name", "")
        fields = Fields(message, f"endpoints {name!r}", report)
        found = endpoints_of(fields)
        fields.close()
        error = _texts(report.errors) if report.errors else ""
        return Built(endpoints=tuple(found), error=error, warnings=tuple(map(str, report.warnings[:MAX_TEXTS])))

    def _listener(self, message: Message) -> Built:
        outcome = translate_listener(message, self._context())
        rds = [self._take_routes(plain) for plain in outcome.sections]
        built, sections = self._read_all(model.Listener, outcome, lambda plain: plain)
        if built.error or built.skipped or built.missing:
            return built
        forms = tuple(
            ListenerForm(section, plain, need)
            for section, plain, need in zip(sections, outcome.sections, rds, strict=True)
        )
        return replace(built, listeners=forms)

    def _take_routes(self, plain: Plain) -> Need | None:
        """Take `routes: {rds: ...}` out of a listener."""
        routes = plain.get("routes")
        rds = routes.get("rds") if isinstance(routes, dict) else None
        if not isinstance(rds, dict):
            return None
        plain["routes"] = []
        return Need(self._resolve(str(rds.get("server", ADS))), "routes", str(rds["name"]))

    # -- reading

    def _context(self) -> Context:
        return Context(Report(self._lenient, FILES), self._resources, self._runtime, tracer=self._tracer)

    def _read_all(self, kind: type[S], outcome: Translated, change: Callable[[Plain], Plain]) -> tuple[Built, list[S]]:
        """Return what is wrong with a resource, and its sections."""
        report = outcome.report
        warnings = tuple(map(str, report.warnings[:MAX_TEXTS]))
        needs = {one: Need(self._resolve(one.server), one.kind, one.name) for one in outcome.needs}
        hurried = frozenset(needs[one] for one in outcome.hurried)
        built = Built(needs=tuple(needs.values()), hurried=hurried, warnings=warnings, servers=dict(outcome.servers))
        missing = tuple(
            needs[one] for one in needs if one.kind in PARTS and one.name not in self._resources.of(one.kind)
        )
        if missing and (outcome.skipped or not outcome.sections):
            waits = tuple(
                f"waits for {kind}: {', '.join(repr(one.name) for one in missing if one.kind == kind)}"
                for kind in dict.fromkeys(one.kind for one in missing)
            )
            return replace(built, missing=missing, warnings=waits), []
        if report.errors:
            return replace(built, error=_texts(report.errors)), []
        if outcome.skipped:
            return replace(built, skipped=outcome.skipped), []
        sections: list[S] = []
        for plain in outcome.sections:
            section, problems = self._read(kind, change(plain))
            if section is None:
                text = _texts(problems)
                return replace(built, skipped=text) if self._lenient else replace(built, error=text), []
            sections.append(section)
        return built, sections

    def _read(self, kind: type[S], plain: Mapping[str, object]) -> tuple[S | None, Sequence[Problem]]:
        if self._known is None:
            self._known = self._reading()
        return read_section(kind, plain, self._known)


def _texts(findings: Iterable[object]) -> str:
    """Return findings in one line, the first ones of many."""
    found = list(findings)
    texts = [f"{one.path}: {one.text}" if isinstance(one, Problem) else str(one) for one in found[:MAX_TEXTS]]
    more = f"; and {len(found) - MAX_TEXTS} more" if len(found) > MAX_TEXTS else ""
    return "; ".join(texts) + more
