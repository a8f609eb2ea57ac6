"""Which nodes get a new version when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metaproxy.config.schema.load import load
from metaproxy.control.nodes import Node
from metaproxy.control.rollout import FOREVER, Rollout, Stage
from metaproxy.control.rollout_spec import ReturnedSpec, moment, read_returned, read_rollout
from metaproxy.envoy.reading import plain_of

START = moment("2026-01-31T12:00:00Z")
STEPS = "[{percent: 10, hold: 60s}, {percent: 50, hold: 60s}]"


def rollout(steps: str = STEPS, more: str = "", returned: ReturnedSpec | None = None) -> Rollout:
    text = f"{{version: v2, before: v1, start: '2026-01-31T12:00:00Z', steps: {steps}{more}}}"
    root, _ = load(text, "r.yaml", {})
    assert root is not None
    spec, problems = read_rollout("r.yaml", plain_of(root), ["v1", "v2"])
    assert spec is not None, problems
    return Rollout("a/rollout.yaml", "", spec, returned)


NODES = [Node(f"node-{i}") for i in range(400)]


def share(one: Rollout, now: float) -> float:
    return sum(one.version(node, now) == "v2" for node in NODES) / len(NODES)


def test_the_shares_follow_one_after_the_other() -> None:
    one = rollout()
    assert one.stage(START - 1) == Stage(0, -1, START)
    assert one.stage(START) == Stage(10, 0, START + 60)
    assert one.stage(START + 60) == Stage(50, 1, START + 120)
    assert one.stage(START + 120) == Stage(100, 2, FOREVER)


def test_about_as_many_nodes_have_the_version_as_the_step_says() -> None:
    one = rollout()
    assert share(one, START - 1) == 0
    assert 0.05 < share(one, START) < 0.15
    assert 0.42 < share(one, START + 60) < 0.58
    assert share(one, START + 120) == 1


def test_a_node_that_has_the_version_keeps_it_in_later_steps() -> None:
    one = rollout()
    first = {node.id for node in NODES if one.version(node, START) == "v2"}
    second = {node.id for node in NODES if one.version(node, START + 60) == "v2"}
    assert first < second


def test_two_servers_and_one_that_was_restarted_say_the_same() -> None:
    one, other = rollout(), rollout()
    assert [one.version(node, START + 5) for node in NODES] == [other.version(node, START + 9) for node in NODES]


def test_another_rollout_begins_with_other_nodes() -> None:
    one = rollout()
    later = moment("2026-02-01T00:00:00Z")
    other = replace(one, spec=replace(one.spec, start=later))
    first = {node.id for node in NODES if one.version(node, START) == "v2"}
    assert first != {node.id for node in NODES if other.version(node, later) == "v2"}


def test_nodes_with_the_metadata_of_first_have_it_with_the_first_step() -> None:
    one = rollout("[{percent: 0, hold: 60s}]", ", first: {canary: 'true'}")
    assert one.version(Node("x", metadata={"canary": "true"}), START) == "v2"
    assert one.version(Node("x", metadata={"canary": "true"}), START - 1) == "v1"
    assert one.version(Node("x"), START) == "v1"


def test_a_rollout_that_was_ended_gives_all_nodes_the_version_before() -> None:
    one = rollout(returned=ReturnedSpec(version="v2", start=START, at=START + 5, reason="errors"))
    assert {one.version(node, START + 500) for node in NODES} == {"v1"}
    assert not one.under_way(START)


def test_it_is_under_way_from_the_first_step_to_the_end_of_the_last_hold() -> None:
    one = rollout()
    assert [one.under_way(START + at) for at in (-1, 0, 119, 120)] == [False, True, True, False]


def test_without_steps_a_version_is_in_force_at_once() -> None:
    spec, problems = read_rollout("r.yaml", {"version": "v2"}, ["v2"])
    assert spec is not None, problems
    assert {Rollout("r.yaml", "", spec).version(node, 0.0) for node in NODES} == {"v2"}


def test_the_end_is_written_beside_the_rollout_and_read_again() -> None:
    one = rollout()
    assert one.returned_path() == "a/rollout-returned.yaml"
    root, problems = load(one.returned_text(START + 5, "it's\nbad"), "x", {})
    assert root is not None, problems
    plain = plain_of(root)
    assert isinstance(plain, dict)
    found, wrong = read_returned("x", plain["returned"])
    assert wrong == []
    assert found == ReturnedSpec(version="v2", start=START, at=START + 5, reason="it's bad")


@pytest.mark.parametrize("path", ["rollout.yaml"])
def test_a_rollout_at_the_top_has_its_end_there_too(path: str) -> None:
    assert Rollout(path, "", rollout().spec).returned_path() == "rollout-returned.yaml"
