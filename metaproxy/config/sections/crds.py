"""
The keys of a mesh that is written as objects of Kubernetes: MetaRouter, ServiceEntry and their like.

Lives here: sections of `model`. Does not: the objects (`mesh`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metaproxy.config.schema.addresses import File, HostAddress
from metaproxy.config.schema.numbers import Flag
from metaproxy.config.schema.shape import Nested, Section, option
from metaproxy.config.schema.texts import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesApi(Section):
    """An API server that is listed and watched. `{}` is enough within a pod."""

    kubeconfig: Path | None = option(File(), "The path of a kubeconfig.", None, "the pod's service account")
    context: str = option(Text(256, empty=True), "A context of the kubeconfig.", "", "its `current-context`")
    namespace: str = option(Text(63, empty=True), "Whose objects are read.", "", "all")
    status: bool = option(Flag(), "Whether what became of Aeraki's objects is written into their status.", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crds(Section):
    """Objects of Aeraki, Istio and Kubernetes, of which listeners and clusters are made."""

    ONE_OF: ClassVar = ("folder", "kubernetes")

    folder: Path | None = option(File(), "A folder with the objects as YAML, and those within it; watched.", None)
    kubernetes: KubernetesApi | None = option(Nested(KubernetesApi), "The API server that has the objects.", None)
    bind: str = option(
        HostAddress(), "Where listeners for services listen whose own address is none of this machine's.", "127.0.0.1"
    )
    outbound: bool = option(Flag(), "Whether it listens for calls of services, and not before servers alone.", True)
    application: str = option(
        HostAddress(),
        "Where the servers of this proxy's own workload listen, behind its inbound listeners.",
        "127.0.0.1",
    )
