"""Hold and switch: requests wait while a cluster's servers are replaced."""

from __future__ import annotations

from typing import Any, cast

from harness import LineCodec, Stage, Wire, answer, call

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, Target
from metaproxy.message import ErrorKind
from metaproxy.proxy.pause import Pause


def held(stage: Stage, most: int = 10) -> Pause:
    pause = stage.cluster.paused_by = Pause(stage.clock, most)
    return pause


def release(stage: Stage, pause: Pause, cluster: Cluster | None = None) -> int:
    stage.cluster.paused_by = None
    released = pause.release(cluster or stage.cluster)
    stage.clock.advance(0)
    return released


def answered(stage: Stage, client: Wire, server: Wire) -> bytes:
    stage.say(server, answer(1))
    return client.take()


def test_a_held_request_goes_on_when_its_cluster_does() -> None:
    stage = Stage()
    client, pause = stage.client(), held(stage)
    stage.say(client, call(7))
    assert stage.network.upstreams == [] and len(pause) == 1
    stage.clock.advance(0.25)
    assert release(stage, pause) == 1
    assert pause.longest == 0.25
    assert answered(stage, client, stage.server) == answer(7)


def test_what_is_under_way_is_not_held() -> None:
    stage = Stage()
    client = stage.client()
    stage.say(client, call(7))
    held(stage)
    assert answered(stage, client, stage.server) == answer(7)


def test_more_than_the_bound_is_refused_as_overload_and_room_is_made_by_those_that_ended() -> None:
    stage = Stage()
    first, second, pause = stage.client(), stage.client(), held(stage, most=1)
    stage.say(first, call(7))
    stage.say(second, call(8))
    assert b"paused" in second.take() and pause.refused == 1
    first.end()
    stage.say(second, call(9))
    assert b"paused" in second.take()  # a full queue is looked through once a second and not for each that comes
    stage.clock.advance(1.0)
    stage.say(second, call(9))
    assert second.take() == b"" and len(pause) == 1


def test_a_held_request_keeps_its_own_deadline() -> None:
    stage = Stage(request_timeout=2.0)
    client, pause = stage.client(), held(stage)
    stage.say(client, call(7))
    stage.clock.advance(2.0)
    assert b"no answer within 2 s" in client.take()
    assert len(pause) == 0 and release(stage, pause) == 0
    assert stage.route.targets[0].counts.outcomes == {ErrorKind.TIMEOUT.value: 1}


def test_it_goes_on_to_what_has_the_clusters_name_now() -> None:
    stage = Stage()
    client, pause = stage.client(), held(stage)
    stage.say(client, call(7))
    other = Stage()
    assert release(stage, pause, other.cluster) == 1
    assert stage.endpoints[0].active == 0 and other.endpoints[0].active == 1


def test_a_route_with_retries_is_held_too() -> None:
    stage = Stage()
    stage.snapshot.routes.routes[0].retry = RetryPolicy(1, ("connect",))
    client, pause = stage.client(), held(stage)
    stage.say(client, call(7))
    assert stage.network.upstreams == []
    release(stage, pause)
    assert answered(stage, client, stage.server) == answer(7)


def test_the_order_of_a_pipeline_is_kept() -> None:
    stage = Stage(codec=LineCodec())
    client, pause = stage.client(), held(stage)
    stage.say(client, b"get a\nget b\n")
    release(stage, pause)
    assert stage.server.take() == b"get a\nget b\n"
    stage.say(stage.server, b"1\n2\n")
    assert client.take() == b"1\n2\n"


def test_a_client_with_state_on_a_connection_goes_on() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"begin\n")
    stage.say(stage.server, b"ok\n")
    client.take()
    held(stage)
    stage.say(client, b"get a\n")
    stage.say(stage.server, b"1\n")
    assert client.take() == b"1\n"


def test_a_cluster_without_endpoints_falls_back_and_each_is_counted_where_it_went() -> None:
    stage, other = Stage(endpoints=0), Stage()
    fallback = Target(other.cluster)
    route = stage.snapshot.routes.routes[0]
    route.targets[0].fallback = fallback
    client = stage.client()
    stage.say(client, call(7))
    assert stage.network.dialled[0][0] == other.endpoints[0].address
    assert answered(stage, client, stage.server) == answer(7)
    assert fallback.counts.outcomes == {"ok": 1} and route.targets[0].counts.fallbacks == 1


def test_a_subset_without_endpoints_falls_back_with_the_changes_that_filters_made() -> None:
    seen: list[dict[str, str]] = []

    class Noting(type(Stage().codec)):  # type: ignore[misc]
        mutable = ""

        def mutate(self, message: Any, mutation: Any) -> Any:
            seen.append(dict(mutation.set))
            return message.frame

    codec = Noting()
    other = Stage(codec=codec)
    stage = Stage(codec=codec, hooks={"on_request": (lambda exchange: exchange.set("a", "b"),)})
    route: Route = stage.snapshot.routes.routes[0]
    route.subset = {"version": "v9"}
    route.targets[0].fallback = Target(other.cluster)
    other.endpoints[0].metadata["version"] = "v9"
    stage.say(stage.client(), call(7))
    assert seen == [{"a": "b"}, {"a": "b"}]
    assert other.endpoints[0].active == 1


def test_a_filter_may_shorten_the_time_but_not_lengthen_it() -> None:
    for limit, ends in ((0.5, 0.5), (9.0, 2.0)):
        stage = Stage(request_timeout=2.0, hooks={"on_request": (lambda exchange: exchange.limit(limit),)})  # noqa: B023
        client = stage.client()
        stage.say(client, call(7))
        stage.clock.advance(ends - 0.01)
        assert client.take() == b""
        stage.clock.advance(0.02)
        assert f"no answer within {ends:g} s".encode() in client.take()


def test_a_released_request_that_a_balancer_fails_for_ends_at_once_and_those_behind_it_go_on() -> None:
    class Once(RoundRobin):
        picks = 0

        def pick(self, hash_value: int = 0) -> Endpoint:
            Once.picks += 1
            if Once.picks == 1:
                raise SystemExit(1)
            return cast(Endpoint, super().pick(hash_value))

    stage = Stage(balancer=Once, endpoints=2)
    client, pause = stage.client(), held(stage)
    stage.say(client, call(7) + call(8))
    assert release(stage, pause) == 2
    assert b"a plugin of the proxy failed" in client.take()
    assert answered(stage, client, stage.server) == answer(8)
    assert stage.listener.counts.active_exchanges == 0
