"""Nothing that an operator reads is the place of an object in memory."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from browser import Desk
from twisted.internet.defer import Deferred

from metaproxy.admin.resource import encoded
from metaproxy.app.texts import loader_of
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.proxy.snapshot import Template
from metaproxy.routing.sticky import Sticking
from metaproxy.support.compiled import running
from metaproxy.support.words import words
from metaproxy.telemetry.access_log.files import LogFiles

CONF = Path(__file__).parents[3] / "conf"
ADDRESS = " at 0x"


def everything(desk: Desk) -> dict[str, str]:
    """What each endpoint answers that is asked without a body, and where a request to each listener would go."""
    paths = [one.path for one in desk.admin.root.endpoints if hasattr(one, "get") and "{" not in one.path]
    told = {path: desk.get(path).text for path in paths if path != "/tap"}
    for name in desk.proxy.listeners:
        told[f"/explain {name}"] = desk.post("/explain", json.dumps({"listener": name, "metadata": {}})).text
    return told


def desk_with(route: Route) -> Desk:
    desk = Desk()
    object.__setattr__(desk.proxy.listeners["front"].snapshot, "routes", RouteTable([route], random.Random(1)))
    return desk


class Odd:
    """A plugin whose explanation is not a text."""

    def on_request(self, exchange: Any) -> None:
        return None

    def explain(self, get: Any) -> Any:
        return Deferred()


def test_a_route_with_all_that_it_can_have_is_told_in_words() -> None:
    desk = Desk()
    cluster, odd = desk.running.cluster, Odd()
    retry = RetryPolicy(2, ["connect", "reset"], 0.5, unsafe=True)
    route = Route(
        "all", [], [Target(cluster, 1), Target(cluster, 2)], retry=retry,
        mirror=Mirror([MirrorTarget(cluster, share=0.25, compare=True)], lambda: 0.5), sticky=Sticking(["user"]),
        request=Template({"lane": "%source.address%"}, ("debug",)), on_request=(odd.on_request,),
    )  # fmt: skip
    desk = desk_with(route)
    for path, text in everything(desk).items():
        assert ADDRESS not in text, path
    (told,) = desk.get("/routes").json["listeners"][0]["routes"]
    assert told["retry"] == "2 more tries on connect, reset; each within 0.5 s; also where it may be executed twice"
    assert (told["mirror"], told["sticky"]) == ("demo 25 %, compared", "user")
    assert desk.post("/explain", json.dumps({"metadata": {}})).json["retry"] == told["retry"]


@pytest.mark.parametrize(
    "policy", [object(), Deferred(), Odd(), lambda: None, [object()]], ids=lambda one: type(one).__name__
)
def test_a_policy_of_whatever_kind_is_told_by_the_name_of_its_kind(policy: Any) -> None:
    desk = desk_with(Route("all", [], [Target(Desk().running.cluster)], retry=policy))
    for path, text in everything(desk).items():
        assert ADDRESS not in text, path


@pytest.mark.skipif(running() == "compiled", reason="a method of what is compiled can not be replaced")
@pytest.mark.parametrize("path", sorted({*CONF.glob("*.yaml")} - {CONF / "tls.yaml"}), ids=lambda path: path.name)
def test_what_conf_makes_is_told_in_words(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CERTIFICATES", str(tmp_path))
    registry, desk = Registry(), Desk()
    config, problems = check(path.read_text(), str(path), registry, loader=loader_of())
    assert config is not None, problems
    snapshot = Builder(registry, desk.clock, LogFiles(desk.clock)).build(config)
    monkeypatch.setattr(Cluster, "start", lambda self, network: None)
    desk.proxy.apply(snapshot)
    for where, text in everything(desk).items():
        assert ADDRESS not in text, where


def test_what_json_has_no_word_for_is_told_in_words() -> None:
    assert ADDRESS not in encoded({"a": object(), "b": [Deferred()]}).decode()
    assert (words(object()), words("x at 0x1"), words(1)) == ("object", "x at 0x1", "1")
