"""Where objects are found, and what is read of what a server says."""

from __future__ import annotations

from metaproxy.kubernetes.resources import Key, Resource, items, key_of, mapping, text, version_of

PODS = Resource("", "v1", "pods", "Pod")
ROUTERS = Resource("metaprotocol.aeraki.io", "v1alpha1", "metarouters", "MetaRouter")
PROTOCOLS = Resource("metaprotocol.aeraki.io", "v1alpha1", "applicationprotocols", "ApplicationProtocol", False)


def test_a_path_names_group_version_namespace_and_name() -> None:
    assert PODS.path(Key("", "")) == "/api/v1/pods"
    assert PODS.path(Key("shop", "")) == "/api/v1/namespaces/shop/pods"
    assert ROUTERS.path(Key("shop", "a"), "status") == (
        "/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/shop/metarouters/a/status"
    )
    assert PROTOCOLS.path(Key("shop", "a")) == "/apis/metaprotocol.aeraki.io/v1alpha1/applicationprotocols/a"


def test_a_name_can_not_leave_its_place_in_a_path() -> None:
    assert PODS.path(Key("../x", "a/b?c")) == "/api/v1/namespaces/..%2Fx/pods/a%2Fb%3Fc"


def test_a_kind_is_called_as_its_tools_call_it() -> None:
    assert (PODS.label, ROUTERS.label, PODS.api_version, ROUTERS.api_version) == (
        "pods", "metarouters.metaprotocol.aeraki.io", "v1", "metaprotocol.aeraki.io/v1alpha1",
    )  # fmt: skip
    assert str(Key("shop", "a")) == "shop/a" and str(Key("", "a")) == "a"


def test_parts_of_another_kind_count_as_absent() -> None:
    assert (mapping([1]), items({}), text(3)) == ({}, [], "")
    assert key_of({"metadata": {"name": 3}}) == Key("", "") and version_of({}) == ""
