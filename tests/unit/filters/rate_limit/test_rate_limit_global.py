from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest
from harness import HEAD, Stage, answer, call
from reachable import reachable
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metaproxy.filters.rate_limit.fixed_window import Decision
from metaproxy.filters.rate_limit.global_ import GlobalRateLimit
from metaproxy.filters.rate_limit.quota_headers import Quota
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind, Reply
from metaproxy.plugins import OptionError, Registry
from metaproxy.support.worker_share import set_workers
from metaproxy.testing import check_filter
from metaproxy.units import Percent, Seconds

LIMIT = {"requests_per_unit": 2, "unit": "minute"}
BY_USER = {"entries": [{"key": "user", "from": "user"}], "limit": LIMIT}


class Asking:
    """An exchange, as far as a limit looks at it; what is put into it or its answer is in `noted`."""

    def __init__(self, **metadata: str) -> None:
        self.get = metadata.get
        self.noted: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.noted[key] = value


class Broken(Exception):
    """The service can't be asked."""


class Service:
    """A service whose answers the test gives."""

    failures = (Broken,)

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answers: list[Deferred[Any]] = []
        self.stopped = False

    def ask(self, asked: Any, hits: int) -> Any:
        self.asked.append(([one.entries for one in asked], hits))
        self.answers.append(Deferred())
        return self.answers[-1]

    def stop(self) -> None:
        self.stopped = True


def limiter(**options: Any) -> Any:
    options = {"descriptors": [BY_USER], **options}
    return GlobalRateLimit(clock=Clock(), **options)


def asking_a_service(**options: Any) -> tuple[Any, Service]:
    found = limiter(service={"grpc": "127.0.0.1:1"}, **options)
    service = found.service = Service()
    return found, service


def outcome(result: Any) -> list[Any]:
    """What a Deferred gave, if it did by now."""
    found: list[Any] = []
    result.addBoth(found.append)
    return found


@pytest.mark.parametrize("service", [None, {"redis": "127.0.0.1:1"}, {"grpc": "127.0.0.1:1"}, {"grpc": "unix:/x"}])
def test_it_keeps_the_contract_and_stops_without_having_asked(service: dict[str, object] | None) -> None:
    found = limiter(service=service, headers=True)
    check_filter(found)
    found.stop()


def test_without_a_service_it_counts_in_this_process() -> None:
    found = limiter()
    replies = [found.on_request(Asking(user=user)) for user in ("ann", "ann", "ann", "bob")]
    assert [reply is None for reply in replies] == [True, True, False, True]
    assert (replies[2].kind, replies[2].text) == (ErrorKind.LIMITED, "global_rate_limit: too many requests")
    assert found.counters == {"ok": 3, "over_limit": 1, "enforced": 1, "error": 0, "failure_mode_allowed": 0}


def test_B7_an_empty_match_asks_for_every_request_and_another_for_those_that_it_holds() -> None:
    """The original lets everything pass unasked when its match is empty."""
    for match, asked in ((None, 2), ({}, 2), ({"method": "pay"}, 1)):
        found, service = asking_a_service(match=match)
        for method in ("pay", "buy"):
            found.on_request(Asking(method=method))
        assert len(service.asked) == asked


def test_B7_a_slow_limiter_holds_up_its_own_request_and_nothing_else() -> None:
    """The original blocks its thread until the limiter answers."""
    found, service = asking_a_service(match={"service": "slow"})
    stage = Stage(hooks={"on_request": (found.on_request,), "on_complete": (found.on_complete,)})
    client = stage.client()
    stage.say(client, call(1, "slow") + call(2, "quick"))
    stage.say(stage.server, answer(1))
    assert client.take() == answer(2)
    service.answers[0].callback(Decision(False))
    stage.clock.advance(0)
    text = b"global_rate_limit: too many requests"
    assert client.take() == HEAD.pack(9 + len(text), 1, 0x80) + text
    assert stage.cluster.breaker.requests == 0


def test_B7_the_answer_is_waited_for_20_ms_by_default() -> None:
    assert limiter(service={"grpc": "127.0.0.1:1"}).service.timeout == 0.02
    assert limiter(service={"redis": "127.0.0.1:1"}, timeout=Seconds(0.5)).service.redis.timeout == 0.5


def test_B7_a_limiter_without_an_address_that_answers_is_counted_and_refuses_nobody() -> None:
    found, service = asking_a_service()
    result = outcome(found.on_request(Asking(user="ann")))
    service.answers[0].errback(Broken("away"))
    assert result == [None]
    assert found.counters == {"ok": 0, "over_limit": 0, "enforced": 0, "error": 1, "failure_mode_allowed": 1}


def test_on_failure_deny_refuses_what_can_not_be_asked() -> None:
    found, service = asking_a_service(on_failure="deny")
    result = outcome(found.on_request(Asking(user="ann")))
    service.answers[0].errback(Broken("away"))
    (reply,) = result
    assert (reply.kind, reply.text) == (ErrorKind.LIMITED, "global_rate_limit: the limit can't be asked")
    assert found.counters == {"ok": 0, "over_limit": 0, "enforced": 0, "error": 1, "failure_mode_allowed": 0}


def test_a_mistake_of_ours_is_no_failure_of_the_service() -> None:
    found, service = asking_a_service()
    result = outcome(found.on_request(Asking(user="ann")))
    service.answers[0].errback(ZeroDivisionError())
    assert result[0].check(ZeroDivisionError)
    assert found.counters["error"] == 0


def test_only_the_first_failure_of_a_minute_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    log = sys.modules["metaproxy.filters.outage_log"].log
    monkeypatch.setattr(log, "emit", lambda level, text=None, **values: logged.append(level.name))
    found, service = asking_a_service()
    for number, end in enumerate(["errback", "errback", "callback", "callback", "errback"]):
        found.on_request(Asking(user="ann"))
        getattr(service.answers[number], end)(Broken("away") if end == "errback" else Decision(True))
    assert logged == ["warn", "info"]  # the one that fails and answers in turns would else fill the log


def test_nothing_is_asked_where_every_descriptor_is_left_out() -> None:
    entry = {"key": "user", "from": "user", "skip_if_absent": True}
    found, service = asking_a_service(descriptors=[[entry], [{"key": "a", "from": "a", "skip_if_absent": True}]])
    assert found.on_request(Asking()) is None
    found.on_request(Asking(user="ann"))
    assert service.asked == [([(("user", "ann"),)], 1)]


def test_headers_of_the_service_reach_request_and_answer() -> None:
    found, service = asking_a_service(hits_addend=3)
    exchange = Asking(user="ann")
    result = outcome(found.on_request(exchange))
    service.answers[0].callback(Decision(True, None, {"to-server": "1"}, {"to-client": "2"}))
    assert (result, exchange.noted, service.asked[0][1]) == ([None], {"to-server": "1"}, 3)
    exchange.noted.clear()
    found.on_response(exchange)
    assert exchange.noted == {"to-client": "2"}
    found.on_complete(exchange)
    assert not [one for one in reachable(found) if one is exchange]


@pytest.mark.parametrize("headers", [True, False])
def test_what_is_left_is_told_if_that_is_asked_for(headers: bool) -> None:
    found = limiter(headers=headers)
    exchanges = [Asking(user="ann") for _ in range(3)]
    replies: list[Reply | None] = [found.on_request(exchange) for exchange in exchanges]
    assert replies[2] is not None
    if headers:
        found.on_response(exchanges[0])
        assert exchanges[0].noted["x-ratelimit-remaining"] == "1"
        assert replies[2].text == "global_rate_limit: too many requests; retry in 60 s"
        assert replies[2].metadata == Quota(2, 60, -1, 60).metadata()
    else:
        assert not hasattr(found, "on_response")
        assert (replies[2].text, replies[2].metadata) == ("global_rate_limit: too many requests", None)


def test_with_nothing_enforced_everything_passes_and_what_would_be_refused_is_counted() -> None:
    found = limiter(enforced=Percent(0.0), headers=True)
    exchanges = [Asking(user="ann") for _ in range(3)]
    assert [found.on_request(exchange) for exchange in exchanges] == [None] * 3
    assert (found.counters["over_limit"], found.counters["enforced"]) == (1, 0)
    found.on_response(exchanges[2])
    assert exchanges[2].noted["x-ratelimit-remaining"] == "0"


def test_what_is_remembered_to_be_over_its_limit_is_refused_without_asking() -> None:
    found = limiter(service={"redis": "127.0.0.1:1"}, remember_over_limit=True)
    service = found.service.service = Service()
    outcome(found.on_request(Asking(user="ann")))
    service.answers[0].callback(Decision(False, over=[(0, Quota(2, 60, -1, 50))]))
    reply = found.on_request(Asking(user="ann"))
    assert (reply.kind, len(service.asked)) == (ErrorKind.LIMITED, 1)
    found.on_request(Asking(user="bob"))
    assert len(service.asked) == 2
    assert found.counters["over_limit"] == 2


def test_stop_stops_who_counts() -> None:
    found, service = asking_a_service()
    found.stop()
    assert service.stopped


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        ({"service": {}}, "write grpc: HOST:PORT, or redis"),
        ({"service": {"grpc": "a:1", "redis": "b:1"}}, "one of them"),
        ({"service": {"grpc": "a:1", "password": "x"}}, "go with redis"),
        ({"service": {"grpc": "nowhere"}}, "'nowhere' is not an address"),
        ({"service": {"redis": "a:0"}}, "'a:0' is not an address"),
        ({"descriptors": [[{"key": "user", "from": "user"}]]}, "limit is missing"),
        ({"descriptors": []}, "an empty list"),
        ({"match": {"a": {"prefx": "b"}}}, "did you mean 'prefix'"),
        ({"timeout": 0}, "must be greater than 0"),
        ({"hits_addend": 0}, "0 is out of bounds; allowed are 1 to"),
        ({"domain": ""}, "an empty text"),
        ({"remember_over_limit": True}, "no service that would be asked less"),
        ({"on_failure": "shrug"}, "'shrug' is none of allow, deny"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], noted: str) -> None:
    with pytest.raises((ValueError, OptionError), match=noted):
        Registry().factory(IFilter, "global_rate_limit", {"descriptors": [BY_USER], **options}, {"clock": Clock()})()


def test_without_grpcio_a_service_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "grpc":
            raise ModuleNotFoundError("No module named 'grpc'")
        return real(name, *args, **kwargs)

    for module in ("metaproxy.clients.grpc", "metaproxy.filters.rate_limit.service"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install '\.\[grpc\]'"):
        limiter(service={"grpc": "127.0.0.1:1"})
    limiter(service={"redis": "127.0.0.1:1"})


def test_of_several_workers_each_counts_a_part_of_the_limit_unless_a_service_counts() -> None:
    set_workers(2)
    try:
        alone = limiter(descriptors=[BY_USER])
    finally:
        set_workers(1)
    user = Asking(user="anna")
    assert alone.on_request(user) is None
    assert alone.on_request(user) is not None
