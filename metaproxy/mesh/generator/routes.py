"""
The routes of a MetaRouter: as HTTP routes, in which Aeraki sends them, and as those of its own filter.

Lives here: `route_configuration`, `matchers`. Does not: routes of native protocols (`native`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from metaproxy.mesh.generator.clusters import cluster_name
from metaproxy.mesh.generator.index import View
from metaproxy.mesh.generator.messages import Json, without_nothing
from metaproxy.mesh.generator.policy import policy_of, rule_for
from metaproxy.mesh.generator.services import ServiceModel, service_at
from metaproxy.mesh.objects.destination_rule import DestinationRule
from metaproxy.mesh.objects.meta_router import Destination, Match, MetaRoute, MetaRouter, Mutation, RouteDestination
from metaproxy.mesh.objects.reading import Object
from metaproxy.mesh.objects.values import StringMatch
from metaproxy.support.nearest_name import did_you_mean

MILLION = 10000
"""Parts of a million in one percent."""


def route_name(host: str, port: int) -> str:
    """Return the name of a route configuration."""
    return f"{host}_{port}"


@dataclass(frozen=True, slots=True)
class Routing:
    """
    For what routes are made. router: what says them, None for a service without a MetaRouter; services, rules: what was
    found so far, by host, as many routes lead to few hosts.
    """

    view: View
    namespace: str
    service: ServiceModel
    port: int
    router: tuple[Object, MetaRouter] | None
    services: dict[str, ServiceModel | None] = field(default_factory=dict)
    rules: dict[str, DestinationRule | None] = field(default_factory=dict)

    def service_of(self, host: str) -> ServiceModel | None:
        """Return the service of a destination's host."""
        if host not in self.services:
            self.services[host] = service_at(self.view, host, self.namespace)
        return self.services[host]

    def rule_of(self, service: ServiceModel) -> DestinationRule | None:
        """Return the rule of a destination's service."""
        if service.host not in self.rules:
            rule = rule_for(self.view, service.host, service.namespace, self.namespace)
            self.rules[service.host] = rule[1] if rule is not None else None
        return self.rules[service.host]

    def note(self, text: str) -> None:
        """Say something of the MetaRouter."""
        if self.router is not None:
            self.view.note(self.router[0], text)


def route_configuration(routing: Routing) -> Message:
    """Return the routes of a port of a service."""
    given = routing.router[1].routes if routing.router is not None else ()
    routes = [_route(routing, place, route) for place, route in enumerate(given)]
    name = route_name(routing.service.host, routing.port)
    host = {"name": "dummy", "domains": ["*"], "routes": routes or [_default(routing)]}
    return routing.view.messages.of("routes", {"name": name, "virtualHosts": [host]})


def _default(routing: Routing) -> Json:
    """Return the one route of a service without routes."""
    host, port = routing.service.host, routing.port
    action: Json = {"cluster": cluster_name(port, "", host), **hash_policies(routing, [Destination(host=host)])}
    return {"name": "default", "match": {"prefix": "/"}, "route": action}


def _route(routing: Routing, place: int, route: MetaRoute) -> Json:
    action: Json = {**destinations(routing, f"routes[{place}].route", route.route)}
    action.update(hash_policies(routing, [one.destination for one in route.route]))
    if route.mirror is not None:
        percent = route.mirror_percentage.value if route.mirror_percentage is not None else 100
        share = {"numerator": round(percent * MILLION), "denominator": "MILLION"}
        cluster = cluster_of(routing, f"routes[{place}].mirror", route.mirror)
        action["requestMirrorPolicies"] = [{"cluster": cluster, "runtimeFraction": {"defaultValue": share}}]
    return {
        **({"name": route.name} if route.name else {}),
        "match": {"prefix": "/", "headers": matchers(route.match)},
        "route": action,
        "requestHeadersToAdd": _mutations(route.request_mutation),
        "responseHeadersToAdd": _mutations(route.response_mutation),
    }


def destinations(routing: Routing, place: str, route: Iterable[RouteDestination]) -> Json:
    """Return the cluster, or several with their weights, of a route's destinations."""
    named = [
        (cluster_of(routing, f"{place}[{at}].destination", one.destination), one.weight) for at, one in enumerate(route)
    ]
    if len(named) == 1:
        return {"cluster": named[0][0]}
    weighted = [{"name": name, "weight": weight} for name, weight in named]
    return {"weightedClusters": {"clusters": weighted, "totalWeight": sum(weight for _, weight in named)}}


def cluster_of(routing: Routing, place: str, destination: Destination) -> str:
    """Return the cluster of a destination. One that is not there is noted at the MetaRouter."""
    port = destination.port.number if destination.port is not None else routing.port
    service = routing.service_of(destination.host)
    if service is None:
        routing.note(f"{place}: no ServiceEntry or Service has the host {destination.host}")
    elif port not in [one.number for one in service.ports]:
        known = ", ".join(str(one.number) for one in service.ports)
        routing.note(f"{place}: {destination.host} has no port {port}; there is {known}")
    elif destination.subset:
        _check_subset(routing, place, destination, service)
    return cluster_name(port, destination.subset, destination.host)


def _check_subset(routing: Routing, place: str, destination: Destination, service: ServiceModel) -> None:
    rule = routing.rule_of(service)
    known = {one.name: one for one in rule.subsets} if rule is not None else {}
    subset = known.get(destination.subset)
    if subset is None:
        hint = did_you_mean(destination.subset, known, f"there is {', '.join(known)}" if known else "")
        text = f"{place}: no DestinationRule gives {service.host} a subset {destination.subset!r}"
        routing.note(f"{text}; {hint}" if hint else text)
    elif not any(one.has(subset.labels) for one in service.workloads):
        routing.note(f"{place}: no server of {service.host} has the labels of the subset {destination.subset!r}")


def hash_policies(routing: Routing, where: Iterable[Destination]) -> Json:
    """Return the attributes whose values decide which server of a destination a request goes to."""
    keys: dict[str, None] = {}
    for one in where:
        service = routing.service_of(one.host)
        if service is None:
            continue
        port = one.port.number if one.port is not None else routing.port
        key = policy_of(routing.rule_of(service), one.subset, port).hash_key
        if key is not None:
            keys[key] = None
    return {"hashPolicy": [{"header": {"headerName": key}} for key in keys]} if keys else {}


def matchers(match: Match | None) -> list[Json]:
    """Return a match as HeaderMatchers, which stand for attributes of any protocol."""
    return attributes(match.attributes) if match is not None else []


def attributes(given: Mapping[str, StringMatch]) -> list[Json]:
    """Return comparisons of attributes as HeaderMatchers. One without a value holds always, and is left out."""
    return [{"name": name, **how} for name, one in given.items() if (how := _matcher(one))]


def _matcher(match: StringMatch) -> Json:
    if match.exact == "":
        return {"presentMatch": True}
    return without_nothing(
        {
            "exactMatch": match.exact,
            "prefixMatch": match.prefix,
            "safeRegexMatch": None if match.regex is None else {"regex": match.regex},
        }
    )


def _mutations(mutations: Iterable[Mutation]) -> list[Json]:
    return [
        {"header": {"key": one.key, "value": one.value}, "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for one in mutations
    ]
