"""Which snapshot a node is to have now."""

from __future__ import annotations

from metaproxy.control.documents import read_document
from metaproxy.control.nodes import Node
from metaproxy.control.plan import Plan
from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.rollout_spec import moment

START = moment("2026-01-31T12:00:00Z")
ROLLOUT = """
rollout: {version: v2, before: v1, start: "2026-01-31T12:00:00Z", steps: [{percent: 50, hold: 1m}]}
"""


def cluster(stat: str) -> str:
    return f"resources: [{{'@type': type.googleapis.com/{CLUSTERS.message}, name: a, alt_stat_name: {stat}}}]"


class Time:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def plan(time: Time, **texts: str) -> Plan:
    versions = {"versions/v1/a.yaml": cluster("one"), "versions/v2/a.yaml": cluster("two")}
    given = versions | {f"{key.replace('__', '/')}.yaml": text for key, text in texts.items()}
    return Plan({path: read_document(path, text.encode()) for path, text in given.items()}, time)


def test_a_node_has_the_version_of_its_rollout_and_the_snapshot_of_that_version() -> None:
    time = Time()
    made = plan(time, rollout=ROLLOUT)
    nodes = [Node(f"n{i}") for i in range(50)]
    assert {made.version(node) for node in nodes} == {"v1", "v2"}
    time.now += 60
    assert {made.target(node).version for node in nodes} == {made.content.snapshot("v2", nodes[0]).version}


def test_without_a_rollout_no_version_is_chosen() -> None:
    assert plan(Time()).version(Node("n")) == ""


def test_a_group_may_have_a_rollout_of_its_own() -> None:
    made = plan(Time(), rollout="rollout: {version: v1}", groups__edge__rollout="rollout: {version: v2}")
    assert made.problems == []
    assert made.version(Node("n", cluster="edge")) == "v2"
    assert made.version(Node("n")) == "v1"


def test_two_rollouts_for_the_same_nodes_are_refused() -> None:
    (problem,) = plan(Time(), a="rollout: {version: v1}", b="rollout: {version: v2}").problems
    assert "a.yaml" in problem.text


def test_a_rollout_within_a_version_is_refused() -> None:
    (problem,) = plan(Time(), versions__v1__rollout="rollout: {version: v1}").problems
    assert "within a version" in problem.text


def test_the_end_of_a_rollout_counts_for_that_rollout_and_for_no_other() -> None:
    ended = 'returned: {version: v2, start: "2026-01-31T12:00:00Z", at: "2026-01-31T12:00:05Z", reason: errors}'
    assert plan(Time(), rollout=ROLLOUT, **{"rollout-returned": ended}).version(Node("n")) == "v1"
    other = ended.replace('start: "2026-01-31', 'start: "2026-01-30')
    time = Time()
    time.now += 60
    assert plan(time, rollout=ROLLOUT, **{"rollout-returned": other}).version(Node("n")) == "v2"


def test_it_is_known_when_a_rollout_goes_on() -> None:
    time = Time()
    assert plan(time, rollout=ROLLOUT).next_change() == START + 60
    time.now = START - 10
    assert plan(time, rollout=ROLLOUT).next_change() == START
    assert plan(time).next_change() == float("inf")
