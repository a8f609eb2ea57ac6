"""
Which endpoints a cluster's requests go to, and in what shares: priorities, zones, health, panic.

Lives here: `plan`, a pure function of what is known of the endpoints. Does not: how that is found out, the balancers.
Semantics: Envoy's priority levels, overprovisioning factor and panic threshold; the preference of a zone is its
locality failover, where each zone counts as a priority of its own inside the endpoints' priority.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from metaproxy.cluster.endpoint import Endpoint

OVERPROVISIONING = 1.4
"""A priority with 1 / 1.4 = 71 percent of its endpoints usable still takes everything, as in Envoy."""


@dataclass(frozen=True, slots=True)
class Settings:
    """
    panic_threshold: percent of usable endpoints below which a priority's health is disregarded, 0 for never; zone: the
    proxy's own, which requests stay in, '' for no preference; min_healthy: percent of usable endpoints down to which
    the zone takes everything.
    """

    panic_threshold: float = 50.0
    zone: str = ""
    min_healthy: float = 70.0


class Level(NamedTuple):
    """share: of the cluster's requests, above 0 to 1; members: endpoints, each with its weight among them."""

    share: float
    members: tuple[tuple[Endpoint, int], ...]


def plan(endpoints: Sequence[Endpoint], settings: Settings) -> tuple[Level, ...]:
    """
    Levels whose shares add up to 1; none when no endpoint may be used. Drained endpoints are in none of them; nor are
    those that log off, while any other is usable.
    """
    groups = _groups(_in_service(endpoints))
    usable = [sum(endpoint.usable for endpoint in group) for group in groups]
    health = [
        min(1.0, OVERPROVISIONING * able / len(group)) if able else 0.0
        for group, able in zip(groups, usable, strict=True)
    ]
    enough = sum(health) >= 1.0
    panic = [
        not enough and 100.0 * able / len(group) < settings.panic_threshold
        for group, able in zip(groups, usable, strict=True)
    ]
    if not any(usable) and all(panic):
        sizes = [float(len(group)) for group in groups]
        shares = [size / sum(sizes) for size in sizes]
    else:
        shares = spread(health)
    levels: list[Level] = []
    for group, share, panics in zip(groups, shares, panic, strict=True):
        if not share:
            continue
        if panics:
            levels.append(_level(share, group))
        else:
            levels += [_level(share * own, members) for own, members in _zones(group, settings)]
    return tuple(levels)


def spread(health: Sequence[float]) -> list[float]:
    """
    The shares of levels in their order: each takes what its health, 0 to 1, allows and passes on the rest. Where all
    together have less than 1, each takes in proportion to what it has; zeros when none has any.
    """
    total = min(1.0, sum(health))
    left, shares = 1.0, []
    for one in health:
        share = min(left, one / total) if total else 0.0
        # What is left of 1 by rounding is no share.
        shares.append(share if share > 1e-9 else 0.0)
        left -= share
    return shares


def _in_service(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    found = [endpoint for endpoint in endpoints if not endpoint.drained]
    staying = [endpoint for endpoint in found if not endpoint.logged_off]
    return staying if any(endpoint.usable for endpoint in staying) else found


def _groups(endpoints: Iterable[Endpoint]) -> list[list[Endpoint]]:
    """By priority, the first one first."""
    found: dict[int, list[Endpoint]] = {}
    for endpoint in endpoints:
        found.setdefault(endpoint.priority, []).append(endpoint)
    return [found[priority] for priority in sorted(found)]


def _zones(group: Sequence[Endpoint], settings: Settings) -> list[tuple[float, list[Endpoint]]]:
    """The usable endpoints of one priority in one piece, or those of the own zone apart; each with its share."""
    usable = [endpoint for endpoint in group if endpoint.usable]
    own = [endpoint for endpoint in usable if settings.zone and endpoint.zone == settings.zone]
    others = [endpoint for endpoint in usable if endpoint.zone != settings.zone]
    if not own or not others:
        return [(1.0, usable)]
    members = sum(endpoint.zone == settings.zone for endpoint in group)
    healthy = 100.0 * len(own) / members
    share = min(1.0, healthy / settings.min_healthy) if settings.min_healthy else 1.0
    return [(share, own), (1.0 - share, others)] if share < 1.0 else [(1.0, own)]


def _level(share: float, members: Sequence[Endpoint]) -> Level:
    return Level(share, tuple((endpoint, endpoint.weight) for endpoint in members))
