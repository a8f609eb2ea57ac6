"""
What a translator gives for one resource.

Lives here: `Translated`. Does not: making it (`listeners`, `clusters`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from metaproxy.envoy.report import Report
from metaproxy.envoy.tables import Need, Plain


@dataclass(slots=True)
class Translated:
    """
    sections: of our configuration, as plain data; several where a listener has several chains; [] when metaproxy can't
    use the resource, and `skipped` says why. needs: the resources that it refers to; servers: where they come from,
    each an item of `xds:` by its name; runtime: values that it refers to; tracing: where its spans go. report: what is
    wrong with it.
    """

    report: Report
    sections: list[Plain] = field(default_factory=list)
    skipped: str = ""
    needs: list[Need] = field(default_factory=list)
    servers: dict[str, Plain] = field(default_factory=dict)
    runtime: Plain = field(default_factory=dict)
    tracing: Plain | None = None
