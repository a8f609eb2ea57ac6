"""What the data path tells an outlier detection: each way in which a request can fail at an endpoint."""

from __future__ import annotations

from typing import Any

from harness import LineCodec, Stage, call

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.outlier import OutlierDetector, Settings
from metaproxy.cluster.retry import RetryPolicy


def watched(stage: Stage, errors: int = 2, local: int = 3) -> Stage:
    """With a detection that tells apart what the server answered and what it did not."""
    settings = Settings(consecutive_errors=errors, consecutive_local=local, split=True, max_ejected=100)
    stage.cluster.monitors = (OutlierDetector(settings, stage.clock),)
    stage.cluster.start(stage.network)
    return stage


def causes(stage: Stage) -> dict[str, int]:
    return stage.cluster.counts.ejections


def test_error_answers_are_told_and_the_next_request_goes_elsewhere() -> None:
    stage = watched(Stage(LineCodec(), endpoints=2))
    client = stage.client()
    for _ in range(4):
        stage.say(client, b"get a\n")
        for wire in stage.network.upstreams:
            if wire.take():
                stage.say(wire, b"fail\n" if wire.peer.endswith("0") else b"fine\n")
    assert causes(stage) == {"consecutive_errors": 1}
    assert [one.ejected for one in stage.endpoints] == [True, False]
    stage.say(client, b"get a\n" * 4)
    assert [wire.take() for wire in stage.network.upstreams if wire.peer.endswith("0")] == [b""]


def test_requests_without_an_answer_in_time_are_told() -> None:
    stage = watched(Stage(request_timeout=1.0))
    stage.say(stage.client(), call(1) + call(2) + call(3))
    stage.clock.advance(1.1)
    assert causes(stage) == {"consecutive_local": 1}


def test_tries_without_an_answer_in_time_are_told() -> None:
    stage = watched(Stage(), local=1)
    stage.route.retry = RetryPolicy(1, ["timeout"], per_try_timeout=0.5)
    stage.say(stage.client(), call(1))
    stage.clock.advance(0.6)
    assert causes(stage) == {"consecutive_local": 1}


def test_tries_that_are_answered_with_an_error_are_told() -> None:
    stage = watched(Stage(LineCodec()), errors=1)
    stage.route.retry = RetryPolicy(1)
    stage.say(stage.client(), b"get a\n")
    stage.say(stage.server, b"fail\n")
    assert causes(stage) == {"consecutive_errors": 1}


def test_requests_that_wait_for_a_connection_that_fails_are_told() -> None:
    stage = Stage()
    stage.network.accept = False
    watched(stage)
    stage.say(stage.client(), call(1) + call(2) + call(3))
    ((_, connection),) = stage.network.dialled
    connection.connectionFailed("refused", False)
    assert causes(stage) == {"consecutive_local": 1}
    assert stage.endpoints[0].counts.resets == 0


def test_requests_whose_connection_the_server_ends_are_told() -> None:
    stage = watched(Stage())
    stage.say(stage.client(), call(1) + call(2) + call(3))
    stage.server.end()
    assert causes(stage) == {"consecutive_local": 1}
    assert stage.endpoints[0].counts.resets == 3


def test_answers_that_are_not_the_protocol_are_told() -> None:
    stage = watched(Stage(), local=1)
    stage.say(stage.client(), call(1))
    stage.say(stage.server, b"\xff" * 13)
    assert causes(stage) == {"consecutive_local": 1}


def test_an_idle_connection_that_ends_tells_nothing() -> None:
    stage = watched(Stage(), local=1)
    client = stage.client()
    stage.say(client, call(1))
    client.end()
    stage.server.end()
    assert causes(stage) == {}


def test_what_the_proxy_ends_itself_is_no_fault_of_the_endpoint() -> None:
    stage = watched(Stage(connections=ConnectionSettings(mode="pool")), local=1)
    stage.say(stage.client(), call(1))
    pool: Any = stage.endpoints[0].pool
    pool.close()
    assert causes(stage) == {} and stage.endpoints[0].counts.resets == 1


def test_without_a_detection_nobody_is_told() -> None:
    stage = Stage(LineCodec())
    assert all(endpoint.monitor is None for endpoint in stage.endpoints)
    stage.say(stage.client(), b"get a\n")
    stage.say(stage.server, b"fail\n")
    assert stage.endpoints[0].counts.errors == 1
