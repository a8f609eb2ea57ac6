"""
What a translator gives for one resource.

Lives here: `Translated`, and `translated`, which runs a translator. Does not: translators (`listeners`, `clusters`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.report import Report, Unusable
from metaproxy.envoy.tables import Context, Need, Plain

OWN = "metaproxy"
"""The namespace of `metadata.filter_metadata` whose values are keys of our own form."""


@dataclass(slots=True)
class Translated:
    """
    sections: of our configuration, as plain data; several where a listener has several chains; [] when metaproxy can't
    use the resource, and `skipped` says why. needs: the resources that it refers to; hurried: those that it is used
    without; servers: where they come from, each an item of `xds:` by its name; runtime: values that it refers to;
    tracing: where its spans go. report: what is wrong with it.
    """

    report: Report
    sections: list[Plain] = field(default_factory=list)
    skipped: str = ""
    needs: list[Need] = field(default_factory=list)
    hurried: set[Need] = field(default_factory=set)
    servers: dict[str, Plain] = field(default_factory=dict)
    runtime: Plain = field(default_factory=dict)
    tracing: Plain | None = None


def translated(fields: Fields, context: Context, translate: Callable[[Fields, Context], list[Plain]]) -> Translated:
    """Run a translator, and put what the context found with its sections."""
    outcome = Translated(context.report)
    try:
        outcome.sections = translate(fields, context)
        fields.close()
    except Unusable as error:
        outcome.skipped = str(error)
    outcome.needs, outcome.hurried, outcome.servers = context.needs, context.hurried, context.servers
    outcome.runtime, outcome.tracing = context.runtime_found, context.tracing
    return outcome


def own_keys(fields: Fields, section: Plain) -> None:
    """
    Add what `metadata.filter_metadata.metaproxy` says in our own form, for what Envoy's has no field. Metadata of other
    namespaces is for others.
    """
    metadata = fields.message_at("metadata")
    if metadata is None:
        return
    metadata.ignore("typed_filter_metadata")
    section.update(metadata.structs("filter_metadata").get(OWN, {}))
