"""`metaproxy fleet` and `metaproxy rollouts`, against a control plane in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from asking import DeskAdmin
from control_plane import NOON, AdminDesk, Planted, cluster_text
from rich.console import Console

from metaproxy.cli.main import parser
from metaproxy.cli.output import Output
from metaproxy.control.rollout_spec import shown_moment

RATES: dict[str, object] = {
    "rates": {side: {"requests": 0.0, "errors": 0.0, "percent": 0.0} for side in ("new", "others")}
}


class Shell:
    """run(*arguments): the exit code; out: what was written."""

    def __init__(self, **texts: str) -> None:
        self.planted = Planted(**texts)
        self.planted.start()
        self.desk = AdminDesk(self.planted, RATES)
        self.out = ""

    def run(self, *arguments: str) -> int:
        given = parser().parse_args(arguments)
        out = io.StringIO()
        output = Output(getattr(given, "json", False), Console(file=out, width=200, highlight=False, soft_wrap=True))
        code: int = given.run(given, DeskAdmin(self.desk), output)
        self.out = out.getvalue()
        return code


@pytest.fixture
def shell() -> Iterator[Shell]:
    made = Shell(a=cluster_text("one"))
    yield made
    made.planted.plane.stopService()


def test_the_nodes_are_shown_with_what_they_run(shell: Shell) -> None:
    shell.planted.client("a")
    assert shell.run("fleet") == 0
    assert "nothing is wrong" in shell.out
    assert "1 in force" in shell.out
    assert shell.planted.fleet.nodes["a"].version in shell.out


def test_a_node_that_refuses_something_is_an_exit_code_of_1(shell: Shell) -> None:
    shell.planted.client("a", refuses="one")
    assert shell.run("fleet") == 1
    assert "a refuses a of clusters: refused by the test" in shell.out
    assert shell.run("fleet", "--cluster", "edge") == 1


def test_a_source_that_is_refused_or_away_is_an_exit_code_of_1(shell: Shell) -> None:
    shell.planted.source.set(b="x: 1")
    assert shell.run("fleet") == 1
    assert "b.yaml:1:1" in shell.out
    shell.planted.source.set(b="{}")
    shell.planted.plane.failed("no such folder")
    assert shell.run("fleet") == 1
    assert "no such folder" in shell.out


def test_scripts_get_json(shell: Shell) -> None:
    shell.planted.client("a")
    assert shell.run("fleet", "--json") == 0
    assert [one["id"] for one in json.loads(shell.out)["nodes"]] == ["a"]


def test_without_a_rollout_that_is_said(shell: Shell) -> None:
    assert shell.run("rollouts") == 0
    assert shell.out == "no rollout\n"


def test_a_rollout_is_shown_and_can_be_ended() -> None:
    rollout = f'rollout: {{version: v2, before: v1, start: "{shown_moment(NOON)}", steps: [{{percent: 30}}]}}'
    shell = Shell(versions__v1__a=cluster_text("one"), versions__v2__a=cluster_text("two"), rollout=rollout)
    assert shell.run("rollouts") == 0
    assert "under way" in shell.out
    assert shell.run("rollouts", "--return", "orders fail") == 0
    assert "v1" in shell.out
    assert shell.run("rollouts") == 1
    assert "ended: orders fail" in shell.out
    shell.planted.plane.stopService()
