"""
Gateway of Istio: ports at which proxies at the edge of the mesh listen.

Lives here: its keys. Does not: the listeners (`generator.gateways`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.schema.shape import ListOf, option
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.values import NAME, PORT, TEXT, TextMap


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPort(Spec):
    """A port of a gateway."""

    UNUSED: ClassVar = ("targetPort",)

    number: int = option(PORT, "Where clients reach it.")
    name: str = option(NAME, "Picks the protocol, as that of a ServiceEntry's port.")
    protocol: str = option(TEXT, "Not read: the name picks the protocol.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Spec):
    """A port at which a gateway listens."""

    UNUSED: ClassVar = ("tls", "defaultEndpoint", "name")

    port: GatewayPort = option(Struct(GatewayPort), "Which port.")
    hosts: tuple[str, ...] = option(ListOf(NAME), "Not read: the MetaRouter picks the service.", ())
    bind: str = option(TEXT, "The address to listen at.", "", "all, `0.0.0.0`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway(Spec):
    """Where proxies at the edge listen."""

    selector: Mapping[str, str] = option(TextMap(), "Proxies whose labels have all of these.", {}, "all")
    servers: tuple[Server, ...] = option(ListOf(Struct(Server), 1), "Their ports.")
