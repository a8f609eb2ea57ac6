"""
What the admin API asks of the parts that lie above it, and the shapes that it is given.

Lives here: `Configuration`, the role that `app.application.Application` plays, with what it answers; `IReactor`. Does
not: behaviour. The parts below (proxy service, listeners, clusters) are named by their own types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypedDict

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads, IReactorTime

from metaproxy.config.model import Config
from metaproxy.config.schema.nodes import Problem, Scalar
from metaproxy.config.slices import Slices
from metaproxy.telemetry.roles import XdsCounts


class Refusal(TypedDict):
    """A configuration that was refused. time: Unix time; source: where it came from; errors: lines."""

    time: float
    source: str
    errors: list[str]


class Names(TypedDict):
    """Names that a configuration adds, changes and removes; each list is sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class Difference(TypedDict):
    """What a configuration would change. sections: the other top-level keys that differ, such as `admin`."""

    listeners: Names
    clusters: Names
    sections: list[str]
    warnings: list[str]


class Counted(TypedDict):
    """How often a configuration was applied and refused."""

    applied: int
    refused: int


class ObjectStatus(TypedDict):
    """
    What became of an object of `crds:`. state: accepted, refused, or kept, where the version before holds; reasons: why
    it is not accepted; warnings: what is odd in it; notes: what is odd in what is made of it.
    """

    kind: str
    namespace: str
    name: str
    place: str
    state: str
    reasons: list[str]
    warnings: list[str]
    notes: list[str]


class MeshStatus(TypedDict):
    """
    What became of the objects of `crds:`. looked: what was there at that time is in force; listeners: the names of
    those that are in force; clusters: how many are; refused: what could not be put in force; warnings: what is not
    honoured.
    """

    source: str
    looked: str | None
    objects: list[ObjectStatus]
    listeners: list[str]
    clusters: int
    refused: list[str]
    warnings: list[str]


Json = dict[str, object]


class UpgradeFailed(Exception):
    """No other process took the place of this one; the text says why. It goes on."""


class Upgrades(Protocol):
    """
    A new process in the place of this one. epoch: how many led to this one; parent: the pid of the one before, 0 for
    none.
    """

    epoch: int
    parent: int

    def begin(self, timeout: float) -> Deferred[Json]:
        """Fires with what it took, or fails with UpgradeFailed. Raises UpgradeFailed while one is under way."""

    def status(self) -> Json:
        """Return whether one is under way, and how the last one ended."""


class ControlPlanes(Protocol):
    """The control planes of `xds:`."""

    @property
    def counts(self) -> Mapping[str, XdsCounts]:
        """What is counted of each, by name."""

    def status(self) -> Json | None:
        """Return how they do; None when there is none."""

    def dump(self) -> Json:
        """Return what they gave in Envoy's form."""


class Configuration(Protocol):
    """
    The configuration in force and the ways to change it. All that checks or applies one is run in `slices`, so that a
    large one delays no exchange.
    """

    file: str
    config: Config
    applied: float
    reloads: Counted
    live: dict[str, Scalar]
    upgrades: Upgrades | None
    defaults: Mapping[str, object]
    slices: Slices

    @property
    def refused(self) -> Refusal | None:
        """The last configuration that was refused, unless one of its source was applied after it."""

    def reload(self) -> list[str]:
        """Read the file again. Return the lines of what is wrong with it; [] when it was applied."""

    def check_put(self, text: str | bytes, source: str = "") -> tuple[list[Problem], Difference | None]:
        """Return what is wrong with a text of the admin API, and what it would change; None when it is wrong."""

    def put_text(self, text: str | bytes, source: str = "") -> list[str]:
        """Put a text of the admin API in force. Return the lines of what is wrong; [] when it was applied."""

    def set_live(self, name: str, value: Scalar) -> list[str]:
        """Give a value of `runtime:` another one; None: the one that is written. Return the lines of what is wrong."""

    def xds_status(self) -> Json | None:
        """Return how the control planes of `xds:` do; None when there is none."""

    def envoy_dump(self) -> Json:
        """Return envoy.admin.v3.ConfigDump of what the control planes gave."""

    @property
    def xds_counts(self) -> Mapping[str, XdsCounts]:
        """What is counted of each control plane."""

    def mesh_status(self) -> MeshStatus | None:
        """Return what became of the objects of `crds:`; None when there is no such key."""

    def dump(self) -> dict[str, object]:
        """Return the configuration in force as JSON has it; secrets are masked."""


class Adopting(Protocol):
    """The reactor, as those see it who accept or connect by themselves. It takes a copy of the descriptor."""

    def adoptStreamConnection(self, fd: int, family: int, factory: object) -> object: ...


class IReactor(IReactorTime, IReactorCore, IReactorFromThreads):
    """The reactor, as far as the process uses it itself: timers, its start and end, calls from a signal."""
