"""
What the supervisor and its workers say to each other.

Lives here: the messages, values that are pickled. Does not: how they travel (`channel`), what is done about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metaproxy.config import model
from metaproxy.workers.packed import Packed
from metaproxy.workers.sums import Report

# -- from the supervisor


@dataclass(frozen=True, slots=True)
class Prepare:
    """
    Build a configuration that was checked. Answered with the lines of what is wrong, [] when it can be in force.
    changed: the sections that the worker does not have, Packed where it is sent, `config` has these lists empty;
    listeners, clusters: the names of all, in order; folders: of plugins; stamps: of the files of certificates.
    """

    config: model.Config
    changed_listeners: Sequence[model.Listener] | Packed[model.Listener]
    changed_clusters: Sequence[model.Cluster] | Packed[model.Cluster]
    listeners: Sequence[str]
    clusters: Sequence[str]
    folders: Sequence[Path]
    stamps: Mapping[Path, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Commit:
    """What was prepared is in force."""


@dataclass(frozen=True, slots=True)
class Discard:
    """What was prepared does not come into force."""


@dataclass(frozen=True, slots=True)
class HandedConnection:
    """A connection that a listener accepted; its descriptor comes along. host, peer: 'address:port' of its ends."""

    listener: str
    host: str
    peer: str


@dataclass(frozen=True, slots=True)
class AdminConnection:
    """A connection to the worker's own admin API; its descriptor comes along."""


@dataclass(frozen=True, slots=True)
class Drain:
    """
    Let the clients of a listener finish; None: of all. patient: see Listener.drain. Answered when the last one is gone.
    """

    listener: str | None
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """
    Say what was counted since the last time. Answered with a Report. filters: also what filters measure and collect,
    which may take long, so only where it is shown.
    """

    filters: bool = False


@dataclass(frozen=True, slots=True)
class EndpointState:
    """
    An endpoint as the supervisor knows it: its discovery found it, its health checks decide about it. ejected: by an
    operator.
    """

    address: str
    weight: int
    metadata: Mapping[str, str]
    priority: int
    zone: str
    checked: bool
    healthy: bool
    drained: bool
    ejected: bool


@dataclass(frozen=True, slots=True)
class EndpointsAre:
    """The endpoints of a cluster. found: whether a discovery gave them, so that others take their places."""

    cluster: str
    found: bool
    endpoints: Sequence[EndpointState]


@dataclass(frozen=True, slots=True)
class PauseCluster:
    """Hold what is sent to a cluster; see ProxyService.pause. Answered with how many exchanges are under way."""

    cluster: str
    most: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ResumeCluster:
    """Let go on what is held. Answered with what there was; see admin.pause.resumed."""

    cluster: str


@dataclass(frozen=True, slots=True)
class LogLevelsAre:
    """The levels of the log that were set; see telemetry.log_levels.LogLevels.chosen."""

    levels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReopenLogs:
    """The files of access logs were moved away."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process."""


# -- from a worker


@dataclass(frozen=True, slots=True)
class Ready:
    """It has started. pid: of its process; data_path: which one it runs."""

    pid: int
    data_path: str


@dataclass(frozen=True, slots=True)
class Took:
    """A worker has a connection that it was handed, and has read nothing of it yet. One for each, in their order."""


@dataclass(frozen=True, slots=True)
class Left:
    """Connections that ended, by listener."""

    connections: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A line for the log."""

    level: str
    namespace: str
    text: str


__all__ = [
    "AdminConnection", "Commit", "Count", "Discard", "Drain", "EndpointState", "EndpointsAre",
    "HandedConnection", "Left", "Line", "LogLevelsAre", "PauseCluster", "Prepare", "Ready", "ReopenLogs",
    "Report", "ResumeCluster", "Stop",
]  # fmt: skip
