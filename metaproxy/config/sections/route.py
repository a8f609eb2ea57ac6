"""
The keys of a route: what it matches, where requests go, when they are tried again, and what is changed of them.

Lives here: sections of `model`. Does not: matching (`routing`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.cluster.retry import REASONS
from metaproxy.config.schema.names import Name, Reference
from metaproxy.config.schema.numbers import Duration, Flag, Share, Span, Whole
from metaproxy.config.schema.reading import Use
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, option
from metaproxy.config.schema.texts import Choice, Condition, Regex, Text, Value
from metaproxy.config.schema.uses import Override
from metaproxy.message import ErrorKind
from metaproxy.routing.table import PRIORITIES
from metaproxy.units import Percent, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutations(Section):
    """Changes of what a message carries besides its body, as the protocol understands it."""

    set: Mapping[str, str] = option(
        MapOf(Value(), "KEY"), "Replaced or added; `%upstream_address%` and the like are filled in.", {}
    )
    append: Mapping[str, str] = option(
        MapOf(Value(), "KEY"), "Put behind what there is, with a comma between; added where there is nothing.", {}
    )
    add: Mapping[str, str] = option(MapOf(Value(), "KEY"), "Added where there is nothing.", {})
    remove: tuple[str, ...] = option(ListOf(Text()), "Removed, before the others add.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRewrite(Section):
    """Another path instead of the one that was asked for; the query stays."""

    regex: str = option(Regex(), "What of the path is replaced, the first place where it matches.")
    to: str = option(Text(1024, empty=True), "By what; `\\1` is what the first group matched.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRewrite(Section):
    """Other SQL instead of what was asked, in each statement of a request."""

    regex: str = option(
        Regex(), "What of the text is replaced, the first place where it matches; `(?is)` may begin it."
    )
    to: str = option(Text(4096, empty=True), "By what; `\\1` is what the first group matched.")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRewrite(Section):
    """Other keys instead of those that were asked for, in each request; in answers they stay as the server has them."""

    regex: str = option(Regex(), "What of a key is replaced, the first place where it matches, such as `^user:`.")
    to: str = option(Text(1024, empty=True), "By what; `\\1` is what the first group matched.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite(Section):
    """
    What a request is for, changed on its way: where the protocol has paths and hosts (HTTP, gRPC), statements, or keys.
    """

    path: PathRewrite | None = option(Nested(PathRewrite), "The path. One that does not match stays as it is.", None)
    host: str | None = option(Value(), "The host; `%x-host%` and the like are filled in.", None)
    statement: StatementRewrite | None = option(
        Nested(StatementRewrite), "The SQL. What does not match stays as it is.", None
    )
    key: KeyRewrite | None = option(
        Nested(KeyRewrite),
        "Each key. A request none of whose keys matches stays as it is; one with some that match and others that do "
        "not is refused.",
        None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Section):
    """An answer by the proxy itself."""

    error: str | None = option(
        Choice(*(kind.value for kind in ErrorKind)), "Which error, in the protocol's own words.", None
    )
    name: str | None = option(
        Text(64),
        "The protocol's own name of the answer, which goes before `error`: a status of HTTP such as `301`, a word of"
        " Redis such as `READONLY`. One of both is needed.",
        None,
    )
    message: str = option(Text(1024, empty=True), "The text that the client gets, 1024 bytes at most.", "")
    set: Mapping[str, str] = option(
        MapOf(Value(), "KEY"),
        "Metadata of the answer, where the protocol's errors have any; `%host%` and the like are filled in.",
        {},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Section):
    """
    When a failed request is tried again, at another endpoint if there is one. What a server may have executed is
    repeated only if the protocol tells that this is safe (Redis commands that read, MongoDB's numbered writes), or
    with `unsafe`.
    """

    attempts: int = option(Whole(1, 100), "Further tries after the first.", 1)
    on: tuple[str, ...] = option(
        ListOf(Choice(*REASONS), 1), "What counts as failed; `error` is an answer that tells of failure.",
        ("connect", "overload"),
    )  # fmt: skip
    per_try_timeout: Seconds = option(Duration(), "Time for each try; 0: only the route's `timeout` ends it.", "0s")
    backoff: tuple[Seconds, Seconds] = option(
        Span(),
        "Waiting before a further try: doubled from the first to the second value, with full jitter.",
        "25ms..250ms",
    )
    hedge_after: Seconds = option(
        Duration(), "Time after which a second try is sent beside the first, if repeating is safe; 0: never.", "0s"
    )
    unsafe: bool = option(Flag(), "Repeat also what a server may have executed.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror(Section):
    """A cluster that gets copies of requests, beside the one that answers; no request waits for it."""

    SHORT: ClassVar = "cluster"

    cluster: str = option(Reference("cluster"), "Where copies go.")
    percent: Percent = option(Share(), "The share of the route's requests that is copied.", 100)
    compare: bool = option(Flag(), "Compare its answers with the original ones; differences are counted.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Section):
    """Which requests go where. The first route of a listener that matches a request takes it."""

    ONE_OF: ClassVar = ("cluster", "clusters", "reply")
    name: str = option(
        Name(), "Shown in metrics and logs; unique in its listener.", "", "its place, such as `routes[2]`"
    )
    match: Mapping[str, object] = option(
        MapOf(Condition(), "KEY"), "What the request's metadata must be, every entry of it.", {}, "every request"
    )
    percent: Percent = option(Share(), "The share of what matches that this route takes.", 100)
    cluster: str | None = option(Reference("cluster"), "Where requests go.", None)
    clusters: Mapping[str, int] | None = option(
        MapOf(Whole(), "CLUSTER", 1, refers="cluster"), "Where requests go, by weight.", None
    )
    reply: Reply | None = option(Nested(Reply), "Answer here instead of forwarding.", None)
    subset: Mapping[str, str] | None = option(
        MapOf(Value(), "KEY", 1), "Only endpoints whose metadata agree.", None, "every endpoint"
    )
    timeout: Seconds | None = option(
        Duration(), "Time until the answer must be there; 0 for no limit.", None, "the cluster's `request_timeout`"
    )
    priority: str = option(
        Choice(*PRIORITIES), "What is refused first while the process is overloaded; see `overload`.", "normal"
    )
    hash: tuple[str, ...] = option(
        ListOf(Text(), 1, alone=True),
        "Metadata keys, or facts such as `source.address`, that balancers such as `ring_hash` look at.",
        (),
        "the balancer's",
    )
    sticky: tuple[str, ...] = option(
        ListOf(Text(), 1, alone=True),
        "Metadata keys: callers with equal values stay on the same side of `clusters` and `percent`.",
        (),
        "chance",
    )
    mirror: tuple[Mirror, ...] = option(ListOf(Nested(Mirror), alone=True), "Clusters that get copies.", ())
    cache: Seconds = option(
        Duration(),
        "Answers to requests that only read are given again for so long, to all clients in the same state, whatever is "
        "written meanwhile; 0: never.",
        "0s",
    )
    retry: Retry | None = option(Nested(Retry), "When a failed request is tried again.", None, "never")
    rewrite: Rewrite | None = option(Nested(Rewrite), "Another path, host or SQL for the request.", None)
    request: Mutations | None = option(Nested(Mutations), "Changes of the request.", None)
    response: Mutations | None = option(Nested(Mutations), "Changes of the answer.", None)
    filters: Mapping[str, Use | None] = option(
        MapOf(Override(), "FILTER"),
        "Filters of the listener with other options, all of them given, or `off`.",
        {},
    )
