"""What filters may have besides hooks: an end, counters, metrics of their own, and who they are asked for by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from observing import observing
from stand import Stand
from twisted.internet.defer import Deferred

from metaproxy.telemetry.metrics.collector import Metrics, exposition

FILTER = """
from prometheus_client.core import CounterMetricFamily
from zope.interface import implementer
from metaproxy.interfaces import IFilter, IOnRequest
from metaproxy.plugins import Declaration

made = []

@implementer(IOnRequest)
class Counting:
    def __init__(self, node, much: int = 1):
        self.node, self.much, self.stopped = node, much, 0
        self.counters = {"seen": much}
        self.gauges = {"level": much / 2}
        made.append(self)

    def on_request(self, exchange):
        return None

    def collect(self):
        yield CounterMetricFamily("theirs", "Of their own.", value=self.much)

    def stop(self):
        self.stopped += 1

counting = Declaration(IFilter, "counting", Counting)
"""


def config(folder: Path, *filters: dict[str, Any], node: str = "a") -> str:
    return json.dumps(
        {
            "node": {"id": node},
            "plugins": [str(folder), str(Path(__file__).parents[3] / "docs" / "examples")],
            "listeners": [
                {
                    "name": "front", "listen": "127.0.0.1:7000", "protocol": "quill", "routes": [{"cluster": "one"}],
                    "filters": [{"counting": one} for one in filters],
                }
            ],
            "clusters": [{"name": "one", "endpoints": ["127.0.0.1:1"]}],
        }
    )  # fmt: skip


def stand(tmp_path: Path, *filters: dict[str, Any]) -> tuple[Stand, Path]:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "counting.py").write_text(FILTER)
    made = Stand(tmp_path, config(folder, *filters))
    assert made.errors == []
    return made, folder


def plugins(one: Stand) -> list[Any]:
    return [use.plugin for use in one.snapshot.filters]


def test_a_filter_is_stopped_once_nothing_names_it_any_more(tmp_path: Path) -> None:
    one, folder = stand(tmp_path, {"much": 1}, {"much": 2})
    first, second = plugins(one)
    one.write(config(folder, {"much": 2}, {"much": 3}))
    assert one.configuration.reload() == []
    assert (first.stopped, second.stopped) == (1, 1)  # their places changed: the n-th of its name is one bucket
    assert [each.stopped for each in plugins(one)] == [0, 0]


def test_a_refused_configuration_stops_nothing_but_what_it_tried(tmp_path: Path) -> None:
    one, folder = stand(tmp_path, {"much": 1})
    one.write(config(folder, {"much": 2}, {"mcuh": 2}))
    assert one.configuration.reload()
    assert plugins(one)[0].stopped == 0


def test_what_is_only_checked_is_stopped_at_once(tmp_path: Path) -> None:
    one, folder = stand(tmp_path, {"much": 1})
    made = plugins(one)[0].__init__.__globals__["made"]
    one.configuration.check(config(folder, {"much": 5}))
    assert made[-1].much == 5 and made[-1].stopped == 1


def test_a_stop_that_fails_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    one, folder = stand(tmp_path, {"much": 1})
    plugins(one)[0].stop = lambda: 1 / 0
    one.write(config(folder))
    told: list[Any] = []
    with observing(told.append):
        assert one.configuration.reload() == []
    assert [event["plugin"] for event in told if "log_failure" in event] == ["Counting"]


def test_the_end_of_the_proxy_waits_for_filters_that_stop(tmp_path: Path) -> None:
    one, _ = stand(tmp_path, {"much": 1})
    one.proxy.startService()
    (plugin,) = plugins(one)
    waits: Deferred[None] = Deferred()
    plugin.stop = lambda: waits
    ends: list[object] = []
    one.proxy.stopService().addCallback(ends.append)
    assert ends == []
    waits.callback(None)
    assert len(ends) == 1


def test_a_filter_is_handed_the_node_and_made_anew_when_that_changes(tmp_path: Path) -> None:
    one, folder = stand(tmp_path, {"much": 1})
    (before,) = plugins(one)
    assert before.node.id == "a"
    one.write(config(folder, {"much": 1}, node="b"))
    assert one.configuration.reload() == []
    assert plugins(one)[0].node.id == "b" and before.stopped == 1


def test_counters_gauges_and_metrics_of_their_own_are_shown(tmp_path: Path) -> None:
    one, _ = stand(tmp_path, {"much": 1}, {"much": 2})
    metrics = Metrics(one.proxy)
    flat = dict(metrics.flat())
    assert flat['metaproxy_filter_events_total{event="seen",filter="counting",listener="front"}'] == 3
    assert flat['metaproxy_filter_value{filter="counting",listener="front",name="level"}'] == 1.5
    assert flat["theirs_total"] == 3
    text = b"".join(exposition(metrics.pieces(), "")[1]).decode()
    assert "theirs_total 3.0" in text  # one family, one series: both filters count it
