from __future__ import annotations

from typing import Any

import pytest
from harness import Stage, answer, call

from metaproxy.config.model import Node
from metaproxy.filters.istio.peer_metadata import KEY, encode
from metaproxy.filters.istio.stats import BOUNDS, IstioStats
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Reply
from metaproxy.plugins import OptionError, Registry
from metaproxy.telemetry.metrics.collector import exposition
from metaproxy.telemetry.metrics.merge import merged
from metaproxy.testing import FakeExchange, check_filter

NODE = Node(
    metadata={
        "WORKLOAD_NAME": "own", "NAMESPACE": "here", "CLUSTER_ID": "c1",
        "LABELS": {"app": "a", "version": "v1", "service.istio.io/canonical-revision": "r1"},
    }
)  # fmt: skip
PEER = encode({"WORKLOAD_NAME": "other", "NAMESPACE": "there", "LABELS": {"app": "b"}})
OWN = ("own", "here", "c1", "a", "v1", "own", "r1")
OTHER = ("other", "there", "unknown", "b", "unknown", "other", "latest")
UNKNOWN_PEER = ("unknown",) * 6 + ("latest",)
SIDE = ("workload", "workload_namespace", "cluster", "app", "version", "canonical_service", "canonical_revision")


class Ended(FakeExchange):
    """An exchange that is over."""

    def __init__(self, request: str | None = None, response: str | None = None, **changes: Any) -> None:
        super().__init__(
            message=Message(Kind.REQUEST, bytes(120), 1, {KEY: request} if request else {}),
            response=Message(Kind.RESPONSE, bytes(4096), 1, {KEY: response} if response else {}),
            started=10.0,
            cluster="outbound|20880|v1|greeter.demo.svc",
            protocol="dubbo",
        )
        self.complete(ended=10.007)
        for name, value in changes.items():
            setattr(self, name, value)


def requests(*filters: IstioStats) -> list[tuple[dict[str, str], float]]:
    (family, *_) = merged(filters)
    return [(sample.labels, sample.value) for sample in family.samples]


def side(labels: dict[str, str], name: str) -> tuple[str, ...]:
    return tuple(labels[f"{name}_{one}"] for one in SIDE)


def test_an_inbound_listener_knows_its_client_from_the_request() -> None:
    stats = IstioStats(NODE, "inbound", "greeter.demo.svc")
    stats.on_complete(Ended(request=PEER, response="ignored"))
    ((labels, number),) = requests(stats)
    assert (side(labels, "source"), side(labels, "destination"), number) == (OTHER, OWN, 1)
    assert labels["reporter"] == "destination"
    assert labels["destination_service_namespace"] == "here"
    assert labels["destination_service"] == labels["destination_service_name"] == "greeter.demo.svc"
    assert (labels["response_code"], labels["request_protocol"]) == ("0", "dubbo")
    assert len(labels) == 20


@pytest.mark.parametrize("direction", ["outbound", "unspecified"])
def test_an_outbound_listener_knows_its_server_from_the_answer(direction: Any) -> None:
    stats = IstioStats(NODE, direction)
    stats.on_complete(Ended(request="ignored", response=PEER))
    ((labels, _),) = requests(stats)
    assert (side(labels, "source"), side(labels, "destination")) == (OWN, OTHER)
    assert (labels["reporter"], labels["destination_service_namespace"]) == ("source", "there")
    assert labels["destination_service"] == labels["destination_service_name"] == "greeter.demo.svc"


def test_b23_whatever_ended_it_an_exchange_counts() -> None:
    stats = IstioStats(NODE, "outbound")
    for outcome in ("ok", "oneway", "error", "timeout", "limited", "downstream_gone", "not_found"):
        stats.on_complete(Ended(outcome=outcome, response=None, cluster="-" if outcome == "not_found" else "demo"))
    found = {(labels["destination_service"], labels["response_code"]): number for labels, number in requests(stats)}
    assert found == {("demo", "0"): 2, ("demo", "1"): 4, ("unknown", "1"): 1}


def test_b23_local_replies_and_time_outs_of_the_path_count() -> None:
    stats = IstioStats(NODE, "outbound")
    refuse = [False]
    hooks = {
        "on_request": (lambda exchange: Reply(ErrorKind.LIMITED, "no") if refuse[0] else None,),
        "on_complete": (stats.on_complete,),
    }
    stage = Stage(hooks=hooks)
    client = stage.client()
    stage.say(client, call(1))
    stage.say(stage.server, answer(1))
    stage.say(client, call(2))
    stage.clock.advance(20)
    refuse[0] = True
    stage.say(client, call(3))
    found = [(labels["destination_service"], labels["response_code"], number) for labels, number in requests(stats)]
    assert found == [("demo", "0", 1), ("demo", "1", 1), ("unknown", "1", 1)]  # the refused one went nowhere


def test_histograms_have_istios_names_and_buckets() -> None:
    stats = IstioStats(NODE)
    stats.on_complete(Ended())
    text = b"".join(exposition(stats.collect(), "")[1]).decode()
    for name, least in (("duration_milliseconds", "10.0"), ("bytes", "250.0")):
        assert f"istio_request_{name}_bucket{{" in text
        assert f'le="{least}"' in text
    (received,) = [one for one in stats.collect() if one.name == "istio_request_bytes"]
    buckets = {one.labels["le"]: one.value for one in received.samples if one.name.endswith("_bucket")}
    assert (len(buckets), buckets["100.0"], buckets["250.0"], buckets["+Inf"]) == (len(BOUNDS) + 1, 0, 1, 1)
    assert [one.value for one in received.samples if one.name.endswith(("_sum", "_count"))] == [1, 120]
    durations = next(one for one in stats.collect() if one.name == "istio_request_duration_milliseconds").samples
    assert [round(one.value, 3) for one in durations if one.name.endswith("_sum")] == [7.0]


@pytest.mark.parametrize("told", ["nonsense", "A" * 100000, ""])
def test_a_peer_that_can_not_be_read_is_unknown(told: str) -> None:
    stats = IstioStats(NODE, "inbound")
    stats.on_complete(Ended(request=told))
    ((labels, _),) = requests(stats)
    assert side(labels, "source") == UNKNOWN_PEER


def test_metadata_that_can_not_be_decoded_are_no_ones() -> None:
    def more(message: Message) -> None:
        raise FrameError("nonsense")

    stats = IstioStats(NODE, "inbound")
    exchange = Ended()
    exchange.message = Message(Kind.REQUEST, b"", 1, {}, more)
    stats.on_complete(exchange)
    assert requests(stats)[0][1] == 1


def test_b21_peers_can_not_make_series_without_bound() -> None:
    stats = IstioStats(NODE, "inbound", max_series=3)
    for number in range(100):
        stats.on_complete(Ended(request=encode({"WORKLOAD_NAME": f"w{number}"})))
        stats.on_complete(Ended(request=encode({"WORKLOAD_NAME": f"w{number}"}), outcome="error"))
    found = requests(stats)
    assert sum(number for _, number in found) == 200
    assert len(found) == 5  # three, and what is beyond them by response code
    assert {labels["source_workload"] for labels, _ in found} == {"w0", "w1", "overflow"}
    assert stats.gauges == {"series": 5}
    with pytest.raises(OptionError, match="0 is less than 1"):
        Registry().factory(IFilter, "istio_stats", {"max_series": 0}, {"node": NODE})


def test_two_listeners_have_one_family() -> None:
    first, second = IstioStats(NODE, "outbound"), IstioStats(NODE, "outbound")
    first.on_complete(Ended())
    second.on_complete(Ended())
    assert [number for _, number in requests(first, second)] == [2]


def test_it_keeps_the_contract_of_filters() -> None:
    check_filter(Registry().factory(IFilter, "istio_stats", {"direction": "inbound"}, {"node": NODE})())


def test_a_servers_push_is_no_request() -> None:
    stats = IstioStats(NODE)
    stats.on_complete(Ended(outcome="event"))
    assert requests(stats) == []
