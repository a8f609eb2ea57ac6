"""The admin API of one worker: all that can be looked at, nothing that can be changed."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from metaproxy.config.model import Config, Node
from metaproxy.workers.admin import WorkerConfiguration


def configuration() -> WorkerConfiguration:
    reactor: Any = Clock()
    return WorkerConfiguration(reactor)


def test_it_shows_the_configuration_that_it_was_given() -> None:
    shown = configuration()
    shown.config = Config(node=Node(id="sidecar-1"))
    assert shown.dump()["node"]["id"] == "sidecar-1"  # type: ignore[index]


def test_each_change_is_refused_with_who_can_make_it() -> None:
    shown = configuration()
    for lines in (shown.reload(), shown.put_text("{}"), shown.set_live("a", 1)):
        assert lines == ["this is one worker: ask the supervisor"]
    ((problem,), difference) = shown.check_put("{}")
    assert "ask the supervisor" in str(problem)
    assert difference is None


def test_what_it_has_no_part_in_is_shown_as_nothing() -> None:
    shown = configuration()
    assert (shown.refused, shown.xds_status(), shown.mesh_status()) == (None, None, None)
    assert (shown.envoy_dump(), shown.xds_counts) == ({"configs": []}, {})
