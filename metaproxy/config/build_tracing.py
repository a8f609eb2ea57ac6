"""
From `tracing:` sections to what makes spans and sends them.

Lives here: `spans`, the exporter of a configuration; `tracing`, the object of a listener. Does not: any of what they do
(`telemetry.tracing`, `telemetry.spans`); keeping them from build to build (`build`).

OpenTelemetry is an extra: it is imported here when a configuration asks for tracing, and nowhere before.
"""

from __future__ import annotations

import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from metaproxy.config import model
from metaproxy.interfaces import ICodec
from metaproxy.telemetry.tracing.filter import CustomTag, Policy, Tracing

if TYPE_CHECKING:
    from metaproxy.telemetry.tracing.spans import Clock, Spans

SAME_CLOCK = 1.0
"""Seconds by which two clocks may differ and still be the same one, read twice."""


def spans(config: model.Config, clock: Clock) -> Spans:
    """Of a configuration with `tracing:`."""
    from metaproxy.telemetry.tracing.spans import DEFAULT_URLS, Spans, make_exporter

    spec, node = config.tracing, config.node
    assert spec is not None
    about = {"service.name": spec.service or node.cluster or "metaproxy"}
    if node.id:
        about["service.instance.id"] = node.id
    url = spec.url or DEFAULT_URLS[spec.exporter]
    headers = {name: str(value) for name, value in spec.headers.items()}
    make = partial(make_exporter, spec.exporter, url, headers, spec.timeout)
    return Spans(make, about, spec.interval, spec.max_queue, clock)


def tracing(
    spec: model.ListenerTracing,
    node: model.Node,
    codec: ICodec,
    spans: Spans,
    clock: IReactorTime,
    rng: random.Random | None,
) -> Tracing:
    """What gives a listener's exchanges their ids and spans."""
    from metaproxy.telemetry.tracing.propagation import Propagation

    offset = time.time() - clock.seconds()
    policy = Policy(
        sampling=spec.sampling,
        client=spec.client_sampling,
        overall=spec.overall_sampling,
        follow=spec.follow_context,
        trust=spec.trust,
        sparing=spec.request_ids == "traced",
        direction=spec.direction,
        max_tag_length=spec.max_tag_length,
        metadata=tuple(key if key == "*" else key.lower() for key in spec.metadata),
        tags=[_tag(name, tag) for name, tag in spec.tags.items()],
    )
    return Tracing(
        spans,
        Propagation(spec.propagation),
        policy,
        carries=not codec.mutable,
        names=bool(codec.mutable) and "traceparent" in codec.keys,
        literal=getattr(codec, "literal", False),
        node_id=node.id,
        zone=node.zone,
        offset=offset if abs(offset) > SAME_CLOCK else 0.0,
        rng=rng,
    )


def _tag(name: str, spec: model.CustomTag) -> CustomTag:
    if spec.metadata is not None:
        return CustomTag(name, key=spec.metadata.lower(), default=spec.default)
    if spec.literal is not None:
        return CustomTag(name, spec.literal)
    return CustomTag(name, os.environ.get(spec.env or "", spec.default))
