"""MetaRouter: its defaults, and the checks of the admission webhook."""

from __future__ import annotations

import pytest
from mesh_objects import documents, problems_of, read_one, written

from metaproxy.mesh.objects.meta_router import Destination, GlobalRateLimit, MetaRouter, TokenBucket
from metaproxy.mesh.objects.values import StringMatch
from metaproxy.units import Seconds

ROUTE = "{route: [{destination: {host: a.b}}]}"
BUCKET = "{maxTokens: 2, tokensPerFill: 2, fillInterval: 60s}"


def router(spec: str) -> MetaRouter:
    made = read_one("MetaRouter", "x", spec).spec
    assert isinstance(made, MetaRouter)
    return made


def test_a_route_has_no_match_no_weight_and_no_port_where_none_is_given() -> None:
    (route,) = router(f"{{hosts: [a.b], routes: [{ROUTE}]}}").routes
    assert (route.match, route.mirror, route.mirror_percentage) == (None, None, None)
    assert route.route[0].destination == Destination(host="a.b")
    assert route.route[0].weight == 0


def test_attributes_are_compared_in_three_ways_and_an_empty_one_holds_always() -> None:
    match = router(
        "{hosts: [a.b], routes: [{match: {attributes: {a: {exact: x}, b: {prefix: x}, c: {regex: x.*}, d: {}, "
        'e: {exact: ""}}}, route: [{destination: {host: a.b}}]}]}'
    ).routes[0].match  # fmt: skip
    assert match is not None
    assert match.attributes == {
        "a": StringMatch(exact="x"),
        "b": StringMatch(prefix="x"),
        "c": StringMatch(regex="x.*"),
        "d": StringMatch(),
        "e": StringMatch(exact=""),
    }


def test_tokens_per_fill_are_one_where_they_are_not_given() -> None:
    limit = router(
        "{hosts: [a.b], localRateLimit: {tokenBucket: {maxTokens: 5, fillInterval: 1m30s}}}"
    ).local_rate_limit
    assert limit is not None
    assert limit.token_bucket == TokenBucket(max_tokens=5, tokens_per_fill=1, fill_interval=Seconds(90.0))


def test_a_rate_limit_service_has_20_ms_and_requests_pass_without_it() -> None:
    limit = router(
        "{hosts: [a.b], globalRateLimit: {domain: d, rateLimitService: s, descriptors: "
        "[{property: method, descriptorKey: m}]}}"
    ).global_rate_limit
    assert isinstance(limit, GlobalRateLimit)
    assert (limit.request_timeout, limit.deny_on_fail, limit.match) == (0.02, False, None)


WRONG = {
    "no host": (f"{{hosts: [], routes: [{ROUTE}]}}", "an empty list"),
    "two hosts": (f"{{hosts: [a.b, c.d], routes: [{ROUTE}]}}", "2 hosts"),
    "a wildcard": (f'{{hosts: ["*.b"], routes: [{ROUTE}]}}', "fully qualified"),
    "nothing to do": ("{hosts: [a.b]}", "one of routes, localRateLimit, globalRateLimit is missing"),
    "no destination": ("{hosts: [a.b], routes: [{route: []}]}", "an empty list"),
    "a weight above 100": (
        "{hosts: [a.b], routes: [{route: [{destination: {host: a.b}, weight: 101}]}]}",
        "out of bounds",
    ),
    "weights without the sum 100": (
        "{hosts: [a.b], routes: [{route: [{destination: {host: a.b}, weight: 90}, {destination: {host: c.d}}]}]}",
        "have the sum 90",
    ),
    "an empty mutation key": (
        '{hosts: [a.b], routes: [{route: [{destination: {host: a.b}}], requestMutation: [{key: "", value: x}]}]}',
        "requestMutation[0].key: an empty text",
    ),
    "an empty mutation value": (
        '{hosts: [a.b], routes: [{route: [{destination: {host: a.b}}], responseMutation: [{key: x, value: ""}]}]}',
        "responseMutation[0].value: an empty text",
    ),
    "a share of no mirror": (
        "{hosts: [a.b], routes: [{route: [{destination: {host: a.b}}], mirrorPercentage: {value: 5}}]}",
        "no mirror",
    ),
    "a mirror that gets nothing": (
        "{hosts: [a.b], routes: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, "
        "mirrorPercentage: {value: 0}}]}",
        "more than 0",
    ),
    "a share above 100": (
        "{hosts: [a.b], routes: [{route: [{destination: {host: a.b}}], mirror: {host: c.d}, "
        "mirrorPercentage: {value: 101}}]}",
        "0 to 100",
    ),
    "an attribute that is null": (
        "{hosts: [a.b], routes: [{match: {attributes: {x: null}}, route: [{destination: {host: a.b}}]}]}",
        "attributes.x: nothing",
    ),
    "two ways to compare": (
        "{hosts: [a.b], routes: [{match: {attributes: {x: {exact: a, prefix: b}}}, route: "
        "[{destination: {host: a.b}}]}]}",
        "exclude each other",
    ),
    "a regular expression that does not compile": (
        '{hosts: [a.b], routes: [{match: {attributes: {x: {regex: "*"}}}, route: [{destination: {host: a.b}}]}]}',
        "not a regular expression",
    ),
    "a limit without a bucket": ("{hosts: [a.b], localRateLimit: {}}", "one of tokenBucket, conditions is missing"),
    "a bucket without tokens": (
        "{hosts: [a.b], localRateLimit: {tokenBucket: {maxTokens: 0, fillInterval: 1s}}}",
        "out of bounds",
    ),
    "a bucket without an interval": ("{hosts: [a.b], localRateLimit: {tokenBucket: {maxTokens: 1}}}", "is missing"),
    "a bucket that is never filled": (
        "{hosts: [a.b], localRateLimit: {tokenBucket: {maxTokens: 1, fillInterval: 0s}}}",
        "more than nothing",
    ),
    "a bucket that is filled too often": (
        "{hosts: [a.b], localRateLimit: {tokenBucket: {maxTokens: 1, fillInterval: 49ms}}}",
        "shorter than 50ms",
    ),
    "a condition without a match": (
        f"{{hosts: [a.b], localRateLimit: {{conditions: [{{tokenBucket: {BUCKET}}}]}}}}",
        "match is missing",
    ),
    "a condition without a bucket": (
        "{hosts: [a.b], localRateLimit: {conditions: [{match: {}}]}}",
        "tokenBucket is missing",
    ),
    "a global limit without a service": (
        "{hosts: [a.b], globalRateLimit: {domain: d, descriptors: [{property: p, descriptorKey: d}]}}",
        "rateLimitService is missing",
    ),
    "a global limit without descriptors": (
        "{hosts: [a.b], globalRateLimit: {domain: d, rateLimitService: s, descriptors: []}}",
        "an empty list",
    ),
    "a namespace twice": (f"{{hosts: [a.b], routes: [{ROUTE}], exportTo: [x, x]}}", "'x' stands there twice"),
    "all namespaces and one": (f'{{hosts: [a.b], routes: [{ROUTE}], exportTo: ["*", x]}}', "leave out the others"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_it_is_refused_with(fault: str) -> None:
    spec, said = WRONG[fault]
    found = problems_of("MetaRouter", spec)
    assert len(found) >= 1
    assert any(said in text for text in found), found


def test_a_route_that_hides_the_next_is_a_warning() -> None:
    (document,) = documents(written("MetaRouter", "x", f"{{hosts: [a.b], routes: [{ROUTE}, {ROUTE}]}}"))
    assert document.object is not None
    (text,) = document.object.warnings
    assert "spec.routes[0]: matches every request, so routes[1] and later ones are never used" in text
