"""What is still known of a policy that can't be read."""

from __future__ import annotations

import pytest

from metaproxy.config.values import node_of
from metaproxy.mesh.objects.unread_policy import namespace_of, policy_in, refused_kind

KIND = "DubboAuthorizationPolicy"


@pytest.mark.parametrize(
    ("data", "namespace"),
    [
        ({"metadata": {"namespace": "shop"}}, "shop"),
        ({"metadata": {"name": "p"}}, "default"),
        ({}, "default"),
        ({"metadata": {"namespace": "Shop!"}}, "istio-system"),
        ({"metadata": {"namespace": ["shop"]}}, "istio-system"),
        ({"metadata": ["shop"]}, "istio-system"),
    ],
)
def test_its_namespace_is_the_one_that_stands_there_or_all(data: dict[str, object], namespace: str) -> None:
    assert namespace_of(node_of(data)) == namespace


@pytest.mark.parametrize(
    ("kind", "version", "found"),
    [
        (KIND, "dubbo.aeraki.io/v2", KIND),
        (KIND, "", KIND),
        ("", "dubbo.aeraki.io/v1alpha1", KIND),
        (KIND, "other.io/v1", None),
        ("MetaRouter", "metaprotocol.aeraki.io/v2", None),
    ],
)
def test_a_kind_or_version_that_is_not_read_is_told_by_what_stands_there(
    kind: str, version: str, found: str | None
) -> None:
    meant = refused_kind(kind, version)
    assert (meant.name if meant is not None else None) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"kind: {KIND}\nmetadata: {{namespace: shop}}\n", ("shop", 1)),
        (f'{{"kind": "{KIND}", "metadata": {{"namespace": "shop"}}}}', ("shop", 1)),
        (f"kind: '{KIND}'\n---\nkind: {KIND}\n", ("default", 2)),
        (f"kind: {KIND}\nmetadata: {{namespace: a}}\n---\nmetadata: {{namespace: b}}\n", ("istio-system", 1)),
        (f"kind: {KIND}\nmetadata: {{namespace: \xff}}\n", ("istio-system", 1)),
        (f"kind: {KIND}s\n", None),
        (f"# see {KIND}\nkind: MetaRouter\nmetadata: {{namespace: shop}}\n", None),
        ("rules: [{from: [{source: {namespaces: [a]}}]}]", None),
    ],
)
def test_a_text_that_is_no_yaml_is_looked_through_for_policies(text: str, found: tuple[str, int] | None) -> None:
    policy = policy_in(text.encode("latin-1"))
    assert (policy[1:] if policy is not None else None) == found
