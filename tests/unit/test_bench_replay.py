"""The path that `bench.replay` counts is the proxy's own: each row's requests are answered well, round after round."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.replay import CONFIG, PROTOCOLS, ROWS, Replay
from bench.replayed import Answers, Request


def test_every_row_is_of_a_protocol_that_can_be_replayed() -> None:
    assert {row.split()[0] for row in ROWS} == set(PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_request_of_a_round_is_answered_and_counting_brackets_what_the_proxy_does(protocol: str) -> None:
    replay = Replay(protocol, connections=2, depth=3)
    marks: list[None] = []
    for _ in range(3):
        replay.cycle(lambda: marks.append(None))
    assert replay.size == 6
    assert marks
    assert len(marks) % 2 == 0


@pytest.mark.parametrize("protocol", ["dubbo", "thrift", "multiplex", "redis"])
def test_large_bodies_and_many_routes_are_answered_too(protocol: str) -> None:
    replay = Replay(protocol, connections=2, depth=8, body=40_000, routes=3 if protocol != "redis" else 1)
    replay.cycle(lambda: None)
    replay.cycle(lambda: None)


FAILURES: dict[str, Callable[[bytes], bytes]] = {
    "dubbo": lambda answers: answers.replace(b"\xda\xbb\x02\x14", b"\xda\xbb\x02\x50"),  # SERVER_ERROR
    "thrift": lambda answers: answers.replace(b"\x80\x01\x00\x02", b"\x80\x01\x00\x03"),  # an exception
    "redis": lambda answers: b"-ERR no\r\n" * answers.count(b"$64"),
}


@pytest.mark.parametrize("protocol", FAILURES)
def test_a_round_in_which_the_answers_are_failures_is_refused(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peers, fail = PROTOCOLS[protocol].peers, FAILURES[protocol]

    def failing(body: bytes, routes: int) -> tuple[Request, Answers]:
        request, answers = peers(body, routes)
        return request, lambda data: fail(answers(data))

    monkeypatch.setitem(PROTOCOLS, protocol, replace(PROTOCOLS[protocol], peers=failing))
    replay = Replay(protocol, connections=2, depth=3)
    with pytest.raises(SystemExit, match=r"answered well; so far there are .*'error': 6"):
        replay.cycle(lambda: None)


def test_a_round_in_which_the_proxy_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bench.replay.CONFIG", CONFIG.replace("limit: 100000000", "limit: 1").replace("burst: 100000000", "burst: 1")
    )
    replay = Replay("redis", connections=2, depth=3)
    with pytest.raises(SystemExit, match="answered well"):
        replay.cycle(lambda: None)
