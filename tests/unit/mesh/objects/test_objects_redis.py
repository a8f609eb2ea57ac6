"""RedisService and RedisDestination: what is refused as the proxy can't do it yet."""

from __future__ import annotations

import pytest
from mesh_objects import problems_of, read_one

from metaproxy.mesh.objects.redis import RedisService


@pytest.mark.parametrize(
    ("kind", "spec", "said"),
    [
        ("RedisService", "{host: [r], faults: [{type: DELAY}]}", "DELAY needs delay"),
        ("RedisService", "{host: [r], settings: {readPolicy: SOME}}", "SOME"),
        (
            "RedisService",
            "{host: [r], redis: [{route: {host: r}}, {route: {host: s}}]}",
            "a second route without a key",
        ),
        ("RedisService", "{host: [r], settings: {auth: {secret: {name: s}, plain: {password: p}}}}", "exclude"),
        ("RedisDestination", "{host: r, trafficPolicy: {connectionPool: {redis: {mode: NONE}}}}", "PROXY, CLUSTER"),
        (
            "RedisDestination",
            "{host: r, trafficPolicy: {connectionPool: {redis: {discoveryEndpoints: [a]}}}}",
            "is for mode: CLUSTER",
        ),
        (
            "RedisDestination",
            "{host: r, trafficPolicy: {connectionPool: {redis: {mode: CLUSTER, discoveryEndpoints: ['a:b']}}}}",
            "port",
        ),
    ],
)
def test_it_is_refused_with_the_reason(kind: str, spec: str, said: str) -> None:
    assert any(said in text for text in problems_of(kind, spec))


def test_a_password_is_not_shown() -> None:
    made = read_one("RedisService", "x", "{host: [r], settings: {auth: {plain: {password: hunter2}}}}").spec
    assert isinstance(made, RedisService)
    assert made.settings.auth is not None and made.settings.auth.plain is not None
    assert made.settings.auth.plain.password == "hunter2"
    assert "hunter2" not in repr(made)


def test_settings_without_effect_are_warnings() -> None:
    found = read_one("RedisService", "x", "{host: [r], settings: {caseInsensitive: true}}").warnings
    assert [text.split(": ", 2)[2] for text in found] == ["spec.settings.caseInsensitive: has no effect here"]
