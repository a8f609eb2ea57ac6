"""How long an exchange may take, and from when on."""

from __future__ import annotations

import pytest
from harness import LineCodec, Stage, call
from twisted.internet.defer import Deferred

from metaproxy.interfaces import IExchange
from metaproxy.proxy.request_timeout import DEFAULT


def timed_out_after(stage: Stage, request: bytes) -> float:
    """Seconds until the client hears that there was no answer in time."""
    client = stage.client()
    stage.say(client, request)
    for tenth in range(1, 400):
        stage.clock.advance(0.1)
        if b"no answer within" in client.take():
            return tenth / 10
    return 0.0


@pytest.mark.parametrize(
    ("route", "cluster", "limit", "expected"),
    [
        (None, 5.0, None, 5.0),
        (2.0, 5.0, None, 2.0),
        (9.0, 5.0, None, 9.0),
        (None, 5.0, 1.0, 1.0),
        (None, 5.0, 8.0, 5.0),
        (0.0, 5.0, 3.0, 3.0),
        (0.0, 5.0, None, 0.0),
    ],
)
def test_the_routes_time_wins_over_the_clusters_and_a_filter_can_only_shorten_it(
    route: float | None, cluster: float, limit: float | None, expected: float
) -> None:
    def hook(exchange: IExchange) -> None:
        if limit is not None:
            exchange.limit(limit)

    stage = Stage(request_timeout=cluster)
    stage.route.timeout = route
    stage.route.on_request = (hook,)
    assert timed_out_after(stage, call(7)) == pytest.approx(expected, abs=0.15)


def test_an_exchange_that_waits_in_a_filter_is_bounded_before_its_cluster_is_known() -> None:
    waiting: Deferred[None] = Deferred()
    stage = Stage(request_timeout=100.0, hooks={"on_request": (lambda exchange: waiting,)})
    assert timed_out_after(stage, call(7)) == pytest.approx(DEFAULT, abs=0.15)


def test_a_client_that_asks_to_wait_for_as_long_as_it_takes_does() -> None:
    assert timed_out_after(Stage(codec=LineCodec(), request_timeout=5.0), b"block q\n") == 0.0
