"""No command prints where an object lies in memory."""

from __future__ import annotations

import random

import pytest
from asking import Terminal

from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Route, RouteTable, Target
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget
from metaproxy.routing.sticky import Sticking


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("arguments", [["status"], ["top"], ["drain"]], ids=lambda one: one[0])
def test_no_command_prints_an_object(arguments: list[str], as_json: bool) -> None:
    terminal = Terminal()
    cluster = terminal.desk.running.cluster
    route = Route(
        "all", [], [Target(cluster)], retry=RetryPolicy(2), sticky=Sticking(["user"]),
        mirror=Mirror([MirrorTarget(cluster, share=0.0, compare=True)], lambda: 0.5),
    )  # fmt: skip
    object.__setattr__(terminal.desk.proxy.listeners["front"].snapshot, "routes", RouteTable([route], random.Random(1)))
    terminal.desk.get("/flows")
    terminal.traffic("echo")
    assert terminal.run(*arguments, *(["--json"] if as_json else [])) == 0
    assert terminal.out
    assert " at 0x" not in terminal.out + terminal.err
