"""
The keys of what is written of exchanges: access logs and traces.

Lives here: sections of `model`. Does not: formats and operators (`telemetry.access_log`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metaproxy.config.schema.addresses import File, Url
from metaproxy.config.schema.names import Hidden
from metaproxy.config.schema.numbers import Duration, Flag, Share, Whole
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, option
from metaproxy.config.schema.texts import Choice, LogField, LogFormat, Text, Value
from metaproxy.units import Percent, Seconds, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLog(Section):
    """A file that gets a line for each exchange."""

    file: Path = option(File(), "Where the lines go, such as `/dev/stdout`.")
    format: str = option(LogFormat(), "What it shows of an exchange; an operator is `%DURATION%`, for example.", "text")
    fields: Mapping[str, str] | None = option(
        MapOf(LogField(), "FIELD", 1), "Lines of JSON with these fields, in the place of `format`.", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTag(Section):
    """A tag of one's own on each span."""

    ONE_OF: ClassVar = ("metadata", "literal", "env")

    metadata: str | None = option(Text(), "The metadata key of the request whose value it is.", None)
    literal: str | None = option(Value(), "Its value.", None)
    env: str | None = option(Text(), "The environment variable whose value it is.", None)
    default: str = option(Value(), "Its value where there is no such key or variable.", "", "no tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerTracing(Section):
    """Which of a listener's requests are traced, and what their spans tell."""

    sampling: Percent = option(Share(), "The share of the requests that come without a request id.", 100)
    client_sampling: Percent = option(Share(), "The share of those that have `x-client-trace-id`.", 100)
    overall_sampling: Percent = option(Share(), "No more than this share is traced, for whatever reason.", 100)
    follow_context: bool = option(
        Flag(), "One without a request id, but with a trace context, is traced as that context says.", False
    )
    trust: bool = option(
        Flag(), "Believe request ids, trace contexts and `x-envoy-force-trace` of clients; else they are removed.", True
    )
    request_ids: str = option(
        Choice("all", "traced"),
        "Which requests get a request id, where the client sent none; `traced` spares the others the decoding.",
        "all",
    )
    direction: str = option(
        Choice("inbound", "outbound", "unspecified"), "Whether clients or servers are this proxy's own.", "unspecified"
    )
    propagation: tuple[str, ...] = option(
        ListOf(Choice("w3c", "b3multi", "b3"), 1, alone=True),
        "How a request tells the next one which span it belongs to.",
        ["w3c", "b3multi"],
    )
    metadata: tuple[str, ...] = option(
        ListOf(Text()), "Metadata keys that become tags, `*`: all of them, credentials masked.", ["*"]
    )
    tags: Mapping[str, CustomTag] = option(MapOf(Nested(CustomTag), "TAG"), "Tags of one's own.", {})
    max_tag_length: int = option(Whole(16, 65536), "Characters of a tag's value.", 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing(Section):
    """Where spans go. Listeners with `tracing:` make them; extra `tracing` must be installed."""

    exporter: str = option(Choice("otlp", "zipkin"), "What the collector speaks: OTLP over HTTP, or Zipkin v2 JSON.")
    url: str = option(
        Url(), "Where it listens.", "",
        "`http://127.0.0.1:4318/v1/traces` or `http://127.0.0.1:9411/api/v2/spans`",
    )  # fmt: skip
    service: str = option(Text(empty=True), "Under which name it shows spans.", "", "`node.cluster`, or `metaproxy`")
    headers: Mapping[str, Secret] = option(MapOf(Hidden(), "NAME"), "Sent with each request to it.", {})
    timeout: Seconds = option(Duration("10ms"), "Time for one request to it.", "5s")
    interval: Seconds = option(Duration("10ms"), "How long a span waits for others at most.", "1s")
    max_queue: int = option(Whole(1, 1000000), "Spans that wait; more are dropped.", 4096)
