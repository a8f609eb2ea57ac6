"""
VirtualService of Istio, as Aeraki reads it: the routes of native Dubbo and Thrift services.

Lives here: its keys. Does not: the routes that are made of it (`generator.native`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.reading import Reading
from metaproxy.config.schema.shape import ListOf, MapOf, option
from metaproxy.mesh.objects.meta_router import RouteDestination
from metaproxy.mesh.objects.struct import Anything, Spec, Struct
from metaproxy.mesh.objects.values import NAME, TEXT, Host, StringMatch

RULES = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpMatch(Spec):
    """Which calls; Dubbo only."""

    UNUSED: ClassVar = (
        "name", "uri", "scheme", "authority", "port", "sourceLabels", "queryParams", "ignoreUriCase",
        "withoutHeaders", "sourceNamespace", "statPrefix", "gateways",
    )  # fmt: skip

    method: StringMatch | None = option(Struct(StringMatch), "The method that is called.", None, "any")
    headers: Mapping[str, StringMatch] = option(
        MapOf(Struct(StringMatch), "ATTACHMENT"), "Attachments of the call; all must hold.", {}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRoute(Spec):
    """A route. The first that matches takes a call."""

    UNUSED: ClassVar = (
        "redirect", "directResponse", "delegate", "rewrite", "timeout", "retries", "fault", "mirror", "mirrors",
        "mirrorPercent", "mirrorPercentage", "corsPolicy", "headers",
    )  # fmt: skip

    name: str = option(TEXT, "For logs and metrics.", "")
    match: tuple[HttpMatch, ...] = option(ListOf(Struct(HttpMatch)), "The first alone is read.", (), "all calls")
    route: tuple[RouteDestination, ...] = option(ListOf(Struct(RouteDestination), 1), "Where they go.")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualService(Spec):
    """Routes of a native Dubbo or Thrift service."""

    hosts: tuple[str, ...] = option(ListOf(Host(), 1), "The service.")
    gateways: tuple[str, ...] = option(ListOf(NAME), "Not read.", ())
    http: tuple[HttpRoute, ...] = option(ListOf(Struct(HttpRoute)), "Its routes.", ())
    tcp: tuple[object, ...] = option(ListOf(Anything()), "Not read.", ())
    tls: tuple[object, ...] = option(ListOf(Anything()), "Not read.", ())
    export_to: tuple[str, ...] = option(ListOf(NAME), "Namespaces whose clients it holds for.", (), "all")


@RULES.of(HttpRoute)
def _route(route: HttpRoute, reading: Reading) -> None:
    if len(route.match) > 1:
        reading.warn(reading.at(route, "match"), "the first match alone is read; write a route for each")
    total = sum(one.weight for one in route.route)
    if len(route.route) > 1 and total != 100:
        reading.problem(reading.at(route, "route"), f"the weights have the sum {total}; it must be 100")
