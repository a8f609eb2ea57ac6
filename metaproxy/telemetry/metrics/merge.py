"""
What filters count, measure and collect, put together: several may do so under one name, as one is built for each route
with options of its own, and for each listener.

Lives here: `entries` of their mappings, `merged` for families under names of their own. Does not: the proxy's own
metrics (`collector`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from metaproxy.telemetry.roles import FilterUse

Key = tuple[str, str, str]
"""Listener, filter, and the name of what it counts or measures."""


def entries(filters: Iterable[FilterUse], attribute: str) -> dict[Key, float]:
    """The entries of a mapping that filters may have; those of one name in one listener are added up."""
    found: dict[Key, float] = {}
    for one in filters:
        for key, value in getattr(one.plugin, attribute, {}).items():
            labels = (one.listener, one.name, key)
            found[labels] = found.get(labels, 0) + value
    return found


def merged(collectors: Iterable[Collector]) -> list[Metric]:
    """Each family once, each series of it once: what several collectors count under the same labels is added up."""
    families: dict[str, Metric] = {}
    places: dict[tuple[object, ...], int] = {}
    for collector in collectors:
        for metric in collector.collect():
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            for sample in metric.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                place = places.setdefault(key, len(family.samples))
                if place == len(family.samples):
                    family.samples.append(sample)
                else:
                    before = family.samples[place]
                    family.samples[place] = Sample(sample.name, sample.labels, before.value + sample.value)
    return list(families.values())


def cut(metric: Metric, size: int) -> Iterator[Metric]:
    """The same family as several, `size` samples each."""
    for start in range(0, len(metric.samples) or 1, size):
        piece = Metric(metric.name, metric.documentation, metric.type, metric.unit)
        piece.samples = metric.samples[start : start + size]
        yield piece
