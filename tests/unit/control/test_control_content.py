"""Whom a document is for."""

from __future__ import annotations

import pytest

from metaproxy.control.content import Content, Scope, scope_of
from metaproxy.control.documents import read_document
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import CLUSTERS
from metaproxy.control.snapshot import Snapshot


def content(before: Content | None = None, **texts: str) -> Content:
    """Each text is `name: content` of a cluster; '__' in the keys stands for '/'."""
    made = {}
    for key, text in texts.items():
        path = f"{key.replace('__', '/')}.yaml"
        made[path] = read_document(path, text.encode())
    return Content(made, before)


def cluster(name: str, stat: str = "") -> str:
    return f"resources: [{{'@type': type.googleapis.com/{CLUSTERS.message}, name: {name}, alt_stat_name: '{stat}'}}]"


def stats(snapshot: Snapshot) -> dict[str, object]:
    return {name: getattr(one.message, "alt_stat_name") for name, one in snapshot.of(CLUSTERS.url).items()}  # noqa: B009


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("a.yaml", Scope()),
        ("x/a.yaml", Scope()),
        ("versions/v1/a.yaml", Scope("v1")),
        ("groups/edge/x/a.yaml", Scope(group="edge")),
        ("groups/edge/versions/v1/a.yaml", Scope("v1", "edge")),
        ("versions/v1/groups/edge/a.yaml", Scope("v1", "edge")),
        ("versions/a.yaml", Scope()),
    ],
)
def test_folders_say_whom_a_document_is_for(path: str, scope: Scope) -> None:
    assert scope_of(path) == scope


def test_a_node_gets_what_is_for_all_and_what_is_for_its_group() -> None:
    made = content(a=cluster("a"), groups__edge__b=cluster("b"))
    assert stats(made.snapshot("", Node("x"))).keys() == {"a"}
    assert stats(made.snapshot("", Node("x", cluster="edge"))).keys() == {"a", "b"}


def test_of_one_name_that_of_a_version_counts_and_before_it_that_of_a_group() -> None:
    made = content(
        a=cluster("a", "all"), versions__v1__a=cluster("a", "v1"), groups__edge__a=cluster("a", "edge"),
        groups__core__versions__v1__a=cluster("a", "core v1"),
    )  # fmt: skip
    assert stats(made.snapshot("", Node("x"))) == {"a": "all"}
    assert stats(made.snapshot("v1", Node("x"))) == {"a": "v1"}
    assert stats(made.snapshot("v1", Node("x", cluster="edge"))) == {"a": "edge"}
    assert stats(made.snapshot("v1", Node("x", cluster="core"))) == {"a": "core v1"}


def test_nodes_that_get_the_same_have_the_same_snapshot() -> None:
    made = content(a=cluster("a"), groups__edge__b=cluster("b"))
    assert made.snapshot("", Node("x", cluster="one")) is made.snapshot("", Node("y", cluster="two"))


def test_what_is_as_before_is_the_snapshot_of_before() -> None:
    before = content(a=cluster("a"))
    first = before.snapshot("", Node("x"))
    assert content(before, a=cluster("a")).snapshot("", Node("x")) is first
    assert content(before, a=cluster("a", "other")).snapshot("", Node("x")) is not first


def test_two_documents_for_the_same_nodes_must_not_have_one_name() -> None:
    (problem,) = content(a=cluster("x"), b=cluster("x")).problems
    assert problem.file == "b.yaml"
    assert "'x' stands in a.yaml" in problem.text


def test_versions_and_groups_are_known_by_their_folders() -> None:
    made = content(versions__v2__a=cluster("a"), versions__v1__a=cluster("a"), groups__edge__a=cluster("b"))
    assert (made.versions, made.groups) == (["v1", "v2"], ["edge"])
