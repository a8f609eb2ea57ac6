"""What resources became; test_xds_source.py shows it in force."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from xds_stage import CLUSTERS, cluster

from metaproxy.xds.built import BuiltResources
from metaproxy.xds.interest import Interest
from metaproxy.xds.store import Change
from metaproxy.xds.translate import Built, Need
from metaproxy.xds.update import Resource


class Failing:
    """A translator with a bug for one name. The others it skips."""

    def build(self, kind: str, value: bytes) -> Built:
        if b"bad" in value:
            raise RuntimeError("a bug")
        return Built(skipped="no need of it here")


def interest() -> Interest:
    return Interest(Clock(), lambda server: 15.0, lambda need: None)


def change(*names: str) -> Change:
    return Change(CLUSTERS, tuple(Resource(name, "1", cluster(name).SerializeToString()) for name in names))


def test_a_bug_of_ours_refuses_one_resource_and_no_other() -> None:
    failing: Any = Failing()
    built = BuiltResources(lambda server: failing, lambda need: None, lambda text: None, interest())
    verdict = built.look("s", change("good", "bad", "fine"))
    assert list(verdict.refused) == ["bad"]
    assert "RuntimeError: a bug" in verdict.refused["bad"]
    assert list(verdict.skipped) == ["good", "fine"]


def test_what_was_refused_is_not_in_use() -> None:
    failing: Any = Failing()
    built = BuiltResources(lambda server: failing, lambda need: None, lambda text: None, interest())
    built.look("s", change("good", "bad"))
    built.use("s", change("good"))
    assert Need("s", "clusters", "good") in built
    assert Need("s", "clusters", "bad") not in built
