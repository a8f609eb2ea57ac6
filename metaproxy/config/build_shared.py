"""
What one build of a configuration has in common for all its listeners and clusters.

Lives here: `Shared`. Does not: building any of them (`build_listener`, `build_cluster`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from metaproxy.cluster.cluster import Cluster
from metaproxy.config import model, references
from metaproxy.config.kept import Drafts
from metaproxy.config.plugin_builder import PluginBuilder
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.telemetry.inspect.statements import Statements


@dataclass(slots=True)
class Shared:
    """
    fresh: whether something has changed on which all sections depend, so that nothing is taken over as it stands;
    clusters: those built so far, by name; fallbacks: of each cluster that has some; stamps: of the files of
    certificates, None where they are not known, so that they are read again each time.
    """

    config: model.Config
    plugins: PluginBuilder
    drafts: Drafts
    clock: IReactorTime
    logs: LogFiles
    statements: Statements
    fresh: bool
    fallbacks: Mapping[str, Sequence[str]]
    stamps: Mapping[Path, object] | None
    clusters: dict[str, Cluster] = field(default_factory=dict)

    def stamps_of(self, section: model.Listener | model.Cluster) -> Mapping[Path, object] | None:
        """The stamps of a section's files, None where they are not known."""
        if section.tls is None:
            return {}
        if self.stamps is None:
            return None
        return {path: self.stamps.get(path) for path in references.tls_files(section)}

    def has_files_of(self, section: model.Listener | model.Cluster, before: Mapping[Path, object] | None) -> bool:
        """Whether the files of a section are as they were when it was built."""
        return section.tls is None or (before is not None and before == self.stamps_of(section))


def keepalive(spec: model.KeepAlive | None) -> tuple[float, float, int] | None:
    return (spec.idle, spec.interval, spec.count) if spec is not None else None
