"""
The keys of a mesh that is written as objects of Kubernetes: MetaRouter, ServiceEntry and their like.

Lives here: a section of `model`. Does not: the objects (`mesh`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metaproxy.config.schema.addresses import File, HostAddress
from metaproxy.config.schema.shape import Section, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Crds(Section):
    """Objects of Aeraki, Istio and Kubernetes, of which listeners and clusters are made."""

    ONE_OF: ClassVar = ("folder",)
    LATER: ClassVar = ("kubernetes",)

    folder: Path | None = option(File(), "A folder with the objects as YAML, and those within it; watched.", None)
    bind: str = option(
        HostAddress(), "Where listeners for services listen whose own address is none of this machine's.", "127.0.0.1"
    )
    application: str = option(
        HostAddress(),
        "Where the servers of this proxy's own workload listen, behind its inbound listeners.",
        "127.0.0.1",
    )
